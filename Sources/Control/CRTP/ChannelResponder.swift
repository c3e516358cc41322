public import Wire

/// The agent's end of the channels to all its directors. INIT without a good cookie leaves nothing behind; INIT with
/// one leaves a session that waits; the first good frame under it puts it in force.
public struct ChannelResponder: Sendable {
    public let description: AgentDescription
    /// The answer to KEEPALIVE.
    public var status = AgentStatus()
    /// Multicast groups that this agent listens to.
    public var groups: Set<Endpoint> = []
    /// Directors that hand connections over without asking, and when they may have said so.
    var handOffs = HandOffReceiver()
    /// What is to be done, in order; the caller carries it out and empties the list.
    public var actions: [ChannelAction] = []
    public internal(set) var counters = ChannelCounters()

    let configuration: ChannelConfiguration
    var keys: KeySchedule
    let cookies: CookieJar
    var random: any RandomNumberGenerator & Sendable
    var entries: [Director] = []
    /// Errors outside sessions, so that strangers cannot make the agent work or talk.
    var refusals = RateLimit(perSecond: 10)
    var lastTransaction: UInt32 = 0
    var handshakeSequence: UInt64 = 0

    /// What is kept of one director.
    struct Director: Sendable {
        let endpoint: Endpoint
        /// Answered, but nothing has come under it yet.
        var waiting: Negotiated?
        var current: Negotiated?
        /// Still understood, for what was under way.
        var previous: Session?
        var previousEnds: UInt64 = 0
        /// When the director counts as gone unless a frame comes.
        var silentAt: UInt64
        /// The group that its last KEEPALIVE named, if this agent listens to it.
        var group: GroupReceiver?
    }

    /// A session and what made it.
    struct Negotiated: Sendable {
        var session: Session
        let initiate: Initiate
        let accept: Accept

        /// Silence of this length means that the director is gone; it sends KEEPALIVE itself, and gives up itself.
        @inline(__always)
        var patienceMicroseconds: UInt64 {
            let interval = min(max(UInt64(initiate.keepaliveMicroseconds), 10_000), 60_000_000)
            return interval * (UInt64(initiate.detectMultiplier) + 1)
        }
    }

    public init(
        keys: KeyRing, description: AgentDescription, configuration: ChannelConfiguration = ChannelConfiguration(),
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.keys = KeySchedule(keys)
        self.description = description
        self.configuration = configuration
        var random = random
        cookies = CookieJar(secret: (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &random) })
        self.random = random
    }

    /// Those whose channel is up.
    public var directors: [Endpoint] { entries.filter { $0.current != nil }.map(\.endpoint) }

    /// Said in the INIT of the director's present session.
    public func isForwarder(_ director: Endpoint) -> Bool {
        entries.first { $0.endpoint == director }?.current?.initiate.isForwarder ?? false
    }

    /// Ends all channels with a TERMINATE each.
    public mutating func stop(now: UInt64) {
        let goodbye = Terminate(cause: .administrative, transfer: 0, psn: SequenceNumber(0))
        for director in directors {
            lastTransaction &+= 1
            if let bytes = send(Frame(.terminate(goodbye), transaction: lastTransaction), to: director) {
                actions.append(.transmit(bytes, to: director))
            }
            actions.append(.down(peer: director, .administrative))
        }
        entries.removeAll()
    }

    /// The connection that carried a director's frames is gone, and with it whatever was begun there.
    public mutating func disconnect(_ director: Endpoint) {
        guard let index = entries.firstIndex(where: { $0.endpoint == director }) else { return }
        let gone = entries.remove(at: index)
        if gone.current != nil { actions.append(.down(peer: director, .disconnected)) }
    }

    /// Uses other keys from now on; sessions whose key is gone go on until their director replaces them.
    public mutating func replaceKeys(_ ring: KeyRing, now: UInt64) {
        keys = KeySchedule(ring)
        handOffs.keep(keys)
    }

    /// Channels that are up, with the key of each one's session.
    public var keysInUse: [(director: Endpoint, keyID: UInt8)] {
        entries.compactMap { entry in entry.current.map { (entry.endpoint, $0.session.keyID) } }
    }

    /// The frame's datagram, to be sent to `director`; nil when there is no channel to it.
    public mutating func send(_ frame: Frame, to director: Endpoint) -> [UInt8]? {
        guard let index = entries.indices.first(where: { entries[$0].endpoint == director }),
            let bytes = entries[index].current?.session.seal(frame)
        else { return nil }
        counters.sent += 1
        return bytes
    }

    // MARK: time

    /// When `advance` must be called next.
    public var nextDeadline: UInt64? { entries.map(\.silentAt).min() }

    /// Lets everything happen that was due by `now`.
    public mutating func advance(to now: UInt64) {
        var index = 0
        while index < entries.count {
            if entries[index].previous != nil, now >= entries[index].previousEnds { entries[index].previous = nil }
            guard now >= entries[index].silentAt else {
                index += 1
                continue
            }
            let gone = entries.remove(at: index)
            if gone.current != nil { actions.append(.down(peer: gone.endpoint, .silent)) }
        }
    }
}

/// So many at once, and so many a second.
struct RateLimit: Sendable {
    private let perSecond: UInt64
    /// Millionths of one.
    private var credit: UInt64
    private var updated: UInt64 = 0

    init(perSecond: UInt64) {
        self.perSecond = perSecond
        credit = perSecond * 1_000_000
    }

    mutating func take(now: UInt64) -> Bool {
        let elapsed = min(now >= updated ? now - updated : 0, 1_000_000)
        updated = max(updated, now)
        credit = min(credit + elapsed * perSecond, perSecond * 1_000_000)
        guard credit >= 1_000_000 else { return false }
        credit -= 1_000_000
        return true
    }
}
