public import Wire

/// Which of its flows a worker is to report: a fixed size, so that it travels in a command. Fields lie in an order that
/// leaves no gaps: a command shares one cache line with the ring's own word (`WorkerCommandTests`).
public struct FlowQuery: Sendable, Equatable, BitwiseCopyable {
    public var client: AddressPrefix = .any
    /// Bit n: flows whose state has the raw value n.
    public var states: UInt8 = 0xFF
    /// 0 for any.
    public var clientPort: UInt16 = 0
    /// The first place of the table to look at.
    public var cursor: UInt32 = 0
    public var server: AddressPrefix = .any
    /// `none` for any.
    public var proxy: ProxyIndex = .none
    /// 0 for any.
    public var serverPort: UInt16 = 0
    /// Milliseconds since the last packet, both ends included.
    public var leastIdle: UInt32 = 0
    public var mostIdle: UInt32 = .max
    /// Places of the table to look at: what is asked of a worker at once is bounded.
    public var places: UInt32 = FlowQuery.mostPlaces
    /// At most so many `flow` events.
    public var limit: UInt16 = 64
    /// Comes back with the answer, which so cannot be taken for that to an earlier question.
    public var ticket: UInt8 = 0

    /// Two seconds' work of a worker that has packets to move (`FlowWalk`).
    @inlinable public static var mostPlaces: UInt32 { 500_000 }

    public init() {}

    @inlinable
    public static func bit(_ state: FlowState) -> UInt8 { 1 &<< state.rawValue }

    /// Whether addresses or ports are asked for.
    @inlinable
    public var namesEndpoints: Bool {
        client.length | server.length != 0 || clientPort | serverPort != 0
    }

    @inlinable
    public func accepts(_ key: FlowKey) -> Bool {
        (clientPort == 0 || clientPort == key.clientPort) && (serverPort == 0 || serverPort == key.serverPort)
            && client.contains(key.client) && server.contains(key.server)
    }
}
