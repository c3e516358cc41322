public import Wire

/// The director's end of a channel to one agent.
///
/// ```
/// idle ── start ──► initiating ── ACCEPT ──► up ── silence, TERMINATE ──► initiating
///  ▲                                          │ BAD_SESSION, rekeying: a handshake beside the session,
///  └──────────────── stop ────────────────────┘ which goes on until the new one has taken its place
/// ```
public struct ChannelInitiator: Sendable {
    public let peer: Endpoint
    /// Who the agent said it is; kept while it is silent.
    public internal(set) var agent: AgentDescription?
    /// Goes with every KEEPALIVE.
    public var algorithm: SelectionAlgorithm = .roundRobin
    /// So does the multicast group.
    public var group: GroupDescription?
    /// Said in INIT: agents tell of all connections that they have and get.
    public var isForwarder = false
    /// What is to be done, in order; the caller carries it out and empties the list.
    public var actions: [ChannelAction] = []
    public internal(set) var counters = ChannelCounters()
    /// Ids of the keys that the agent has said it holds; empty while it has not.
    public internal(set) var heldByAgent: [UInt8] = []
    /// The last ERROR that the agent sent, for those who look for the reason of a channel that does not come up.
    public internal(set) var lastError: ErrorCode?

    let senderID: UInt32
    let epoch: UInt64
    var configuration: ChannelConfiguration
    var keys: KeySchedule
    var random: any RandomNumberGenerator & Sendable

    var current: Session?
    /// Still understood, for what was under way when `current` took its place.
    var previous: Session?
    var previousEnds: UInt64 = 0
    var handshake: Handshake?
    /// No handshake by the agent's hint alone before this time.
    var hintAllowedAt: UInt64 = 0
    var keepaliveAt: UInt64 = 0
    /// Unanswered KEEPALIVEs, the oldest first.
    var outstanding: [(transaction: UInt32, sentAt: UInt64)] = []
    var lastTransaction: UInt32 = 0
    /// Sequence number of the last handshake frame; only for those who read captures.
    var handshakeSequence: UInt64 = 0

    /// An attempt at a session.
    struct Handshake: Sendable {
        var nonce: [UInt8]
        var keyID: UInt8
        var wantsFlows: Bool
        var cookie: [UInt8]?
        var transaction: UInt32
        /// INITs without an answer that brought it on.
        var tries = 0
        var retryAt: UInt64
        /// CHALLENGEs answered since the last pause: somebody may repeat them.
        var challengesAnswered = 0
    }

    public init(
        peer: Endpoint, keys: KeyRing, senderID: UInt32, epoch: UInt64,
        configuration: ChannelConfiguration = ChannelConfiguration(),
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.peer = peer
        self.keys = KeySchedule(keys)
        self.senderID = senderID
        self.epoch = epoch
        self.configuration = configuration
        self.random = random
    }

    public var state: ChannelState {
        if current != nil { return .up }
        return handshake == nil ? .idle : .initiating
    }

    /// The id of the session that is up, which changes with every new one.
    public var session: UInt32? { current?.id }

    /// The key of the session that is up.
    public var keyID: UInt8? { current?.keyID }

    /// The key that a handshake asks for.
    public var soughtKeyID: UInt8? { handshake?.keyID }

    // MARK: events

    /// Opens the channel. The first INIT is an action afterwards.
    public mutating func start(now: UInt64) {
        guard state == .idle else { return }
        beginHandshake(wantsFlows: true, now: now)
    }

    /// Ends the channel with a TERMINATE; `start` opens it again.
    public mutating func stop(now: UInt64) {
        let goodbye = Terminate(cause: .administrative, transfer: 0, psn: SequenceNumber(0))
        lastTransaction &+= 1
        if let bytes = send(Frame(.terminate(goodbye), transaction: lastTransaction)) {
            actions.append(.transmit(bytes, to: peer))
        }
        handshake = nil
        goDown(.administrative)
    }

    /// The connection that carried the frames is gone: nothing more will come of what was said. `start` opens the
    /// channel again, over another one.
    public mutating func disconnect() {
        handshake = nil
        goDown(.disconnected)
    }

    /// A new session beside the old one, after which the agent announces its flows again.
    public mutating func reinitiate(now: UInt64) {
        switch state {
        case .idle: return
        case .initiating, .up:
            if handshake == nil { beginHandshake(wantsFlows: true, now: now) } else { handshake?.wantsFlows = true }
        }
    }

    /// Uses other keys from now on; the session goes on until one with the new current key has replaced it. An agent
    /// that does not have that key yet is asked again once it says that it does.
    public mutating func replaceKeys(_ ring: KeyRing, now: UInt64) {
        keys = KeySchedule(ring)
        guard state != .idle else { return }
        let wantsFlows = handshake?.wantsFlows ?? false
        if let current, current.keyID == keys.current {
            // A handshake under way may be for another key.
            if let handshake, handshake.keyID != keys.current { self.handshake = nil }
            if !wantsFlows { return }
        }
        beginHandshake(wantsFlows: wantsFlows, now: now)
    }

    /// Uses other times and another protection: a session beside the one in force tells the agent.
    public mutating func change(to configuration: ChannelConfiguration, now: UInt64) {
        self.configuration = configuration
        guard state != .idle else { return }
        beginHandshake(wantsFlows: handshake?.wantsFlows ?? false, now: now)
    }

    /// The frame's datagram, to be sent to `peer`; nil when the channel is not up.
    public mutating func send(_ frame: Frame) -> [UInt8]? {
        guard let bytes = current?.seal(frame) else { return nil }
        counters.sent += 1
        return bytes
    }

    // MARK: time

    /// When `advance` must be called next.
    public var nextDeadline: UInt64? {
        var next: UInt64?
        if let handshake { next = handshake.retryAt }
        if current != nil { next = min(next ?? .max, keepaliveAt) }
        return next
    }

    /// Lets everything happen that was due by `now`.
    public mutating func advance(to now: UInt64) {
        if previous != nil, now >= previousEnds { previous = nil }
        if let handshake, now >= handshake.retryAt { retryHandshake(now: now) }
        guard let session = current, now >= keepaliveAt else { return }
        if outstanding.count >= max(1, configuration.detectMultiplier) {
            handshake = nil
            goDown(.silent)
            beginHandshake(wantsFlows: true, now: now)
            return
        }
        let isDue = session.sent >= Session.frameLimit || (session.keyID != keys.current && agentMayHold(keys.current))
        if isDue, handshake == nil { beginHandshake(wantsFlows: false, now: now) }
        sendKeepalive(now: now)
    }

    /// An agent that does not say may hold any key.
    private func agentMayHold(_ keyID: UInt8) -> Bool { heldByAgent.isEmpty || heldByAgent.contains(keyID) }

    mutating func sendKeepalive(now: UInt64) {
        lastTransaction &+= 1
        keepaliveAt = now + configuration.keepaliveMicroseconds
        var keepalive = Keepalive(algorithm: algorithm)
        keepalive.group = group
        guard let bytes = send(Frame(.keepalive(keepalive), transaction: lastTransaction)) else { return }
        outstanding.append((lastTransaction, now))
        actions.append(.transmit(bytes, to: peer))
    }

    /// Forgets all sessions. `down` is told to those who were told `up`.
    mutating func goDown(_ reason: ChannelDown) {
        let wasUp = current != nil
        current = nil
        previous = nil
        outstanding.removeAll()
        if wasUp { actions.append(.down(peer: peer, reason)) }
    }
}
