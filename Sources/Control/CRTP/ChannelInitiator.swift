public import Wire

/// The director's end of a channel to one agent.
public struct ChannelInitiator: Sendable {
    public let peer: Endpoint
    public private(set) var state: ChannelState = .idle
    /// Who the agent said it is; kept while it is silent.
    public private(set) var agent: AgentDescription?
    /// Goes with every KEEPALIVE.
    public var algorithm: SelectionAlgorithm = .roundRobin
    /// What is to be done, in order; the caller carries it out and empties the list.
    public var actions: [ChannelAction] = []
    public private(set) var counters = ChannelCounters()

    public init(
        peer: Endpoint, keys: KeyRing, senderID: UInt32, epoch: UInt64,
        configuration: ChannelConfiguration = ChannelConfiguration(),
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.peer = peer
    }

    /// Opens the channel. The first INIT is an action afterwards.
    public mutating func start(now: UInt64) {}
    /// Ends the channel with a TERMINATE; `start` opens it again.
    public mutating func stop(now: UInt64) {}
    /// A new session beside the old one, after which the agent announces its flows again.
    public mutating func reinitiate(now: UInt64) {}
    /// Uses other keys from now on; the session goes on until one with the new current key has replaced it.
    public mutating func replaceKeys(_ keys: KeyRing, now: UInt64) {}
    public mutating func receive(_ datagram: [UInt8], now: UInt64) {}
    public mutating func advance(to now: UInt64) {}
    /// When `advance` must be called next.
    public var nextDeadline: UInt64? { nil }
    /// The frame's datagram, to be sent to `peer`; nil when the channel is not up.
    public mutating func send(_ frame: Frame) -> [UInt8]? { nil }
}
