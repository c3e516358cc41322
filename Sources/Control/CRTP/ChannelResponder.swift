public import Wire

/// The agent's end of the channels to all its directors.
public struct ChannelResponder: Sendable {
    public let description: AgentDescription
    /// The answer to KEEPALIVE.
    public var status = AgentStatus()
    /// What is to be done, in order; the caller carries it out and empties the list.
    public var actions: [ChannelAction] = []
    public private(set) var counters = ChannelCounters()

    public init(
        keys: KeyRing, description: AgentDescription, configuration: ChannelConfiguration = ChannelConfiguration(),
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.description = description
    }

    /// Those whose channel is up.
    public var directors: [Endpoint] { [] }
    /// Ends all channels with a TERMINATE each.
    public mutating func stop(now: UInt64) {}
    /// Uses other keys from now on; sessions under a key that is gone end.
    public mutating func replaceKeys(_ keys: KeyRing, now: UInt64) {}
    public mutating func receive(_ datagram: [UInt8], from source: Endpoint, now: UInt64) {}
    public mutating func advance(to now: UInt64) {}
    /// When `advance` must be called next.
    public var nextDeadline: UInt64? { nil }
    /// The frame's datagram, to be sent to `director`; nil when there is no channel to it.
    public mutating func send(_ frame: Frame, to director: Endpoint) -> [UInt8]? { nil }
}
