public import Wire

/// What a worker and the control core need for a capture: an order the one way, packets the other. Made before the
/// worker starts; while no capture is on, nothing of it is touched.
public struct CaptureLink: Sendable {
    /// Told of by `WorkerCommand.capture`; a worker takes the newest.
    public let orders: Ring<CaptureOrder>
    /// Each with the first bytes of its frame.
    public let packets: Ring<CapturedPacket>

    /// - Parameter capacity: packets that may wait for the control core; more are lost to the capture, and counted.
    public init(capacity: Int = 1_024) {
        orders = Ring(capacity: 4)
        packets = Ring(capacity: capacity, payloadCapacity: CaptureOrder.longestSnap)
    }
}

/// Which packets are wanted; `isOn` false ends the capture.
public struct CaptureOrder: Sendable, Equatable, BitwiseCopyable {
    /// Most bytes that are kept of a frame: a whole one of Ethernet's usual size, with two tags.
    @inlinable public static var longestSnap: Int { 1_536 }

    public var isOn = true
    /// Names the capture; its packets bear the number.
    public var capture: UInt32 = 0
    public var client: AddressPrefix = .any
    public var server: AddressPrefix = .any
    /// 0 for any.
    public var clientPort: UInt16 = 0
    public var serverPort: UInt16 = 0
    /// Only flows that this proxy has; `none` for all.
    public var proxy: ProxyIndex = .none
    /// Bytes kept of each frame.
    public var snapLength = UInt16(longestSnap)
    /// Of one worker; more are left out and counted.
    public var packetsPerSecond: UInt32 = 5_000

    public init() {}

    public static var off: CaptureOrder {
        var order = CaptureOrder()
        order.isOn = false
        return order
    }

    /// True when frames that belong to no connection are wanted as well.
    @inlinable
    public var wantsEverything: Bool {
        client.length == 0 && server.length == 0 && clientPort == 0 && serverPort == 0 && proxy == .none
    }

    @inlinable
    public func accepts(_ key: FlowKey) -> Bool {
        client.contains(key.client) && server.contains(key.server)
            && (clientPort == 0 || clientPort == key.clientPort) && (serverPort == 0 || serverPort == key.serverPort)
    }
}

/// A packet of a capture: when, on which side, and what the worker did with it.
public struct CapturedPacket: Sendable, BitwiseCopyable {
    /// The capture that wanted it.
    public var capture: UInt32 = 0
    /// TSC of the worker's turn.
    public var timestamp: UInt64
    /// Order among those of one worker. A packet's own record is given after those of what it caused, and has the lower
    /// number.
    public var serial: UInt64 = 0
    /// Bytes of the whole frame.
    public var length: UInt32
    /// The wire on which it came, or by which it leaves.
    public var isClientSide: Bool
    public var verdict: CaptureVerdict
    /// All zeros when it belongs to no connection.
    public var key = PackedFlowKey(addresses: 0, ports: 0)
    /// Meaningful when `before` or `after` is.
    public var handle = FlowHandle(worker: 0, index: 0, generation: 0)
    /// The flow's state when the packet came, and afterwards; nil: no entry.
    public var before: FlowState?
    public var after: FlowState?

    public init(timestamp: UInt64, length: UInt32, isClientSide: Bool, verdict: CaptureVerdict) {
        self.timestamp = timestamp
        self.length = length
        self.isClientSide = isClientSide
        self.verdict = verdict
    }
}

/// What a worker did with a packet that came in, or why it sends one itself.
public enum CaptureVerdict: Sendable, Equatable, BitwiseCopyable {
    case toServers
    case toClients
    case toProxy(ProxyIndex)
    /// Taken into a hold.
    case held
    /// The counter is the reason.
    case dropped(Counter)

    // what leaves later than it came, or never came
    case releasedToOrigin
    case releasedToProxy(ProxyIndex)
    /// The counter says which kind of reset.
    case reset(Counter)

    /// The director sends it of its own accord.
    public var isOwn: Bool {
        switch self {
        case .toServers, .toClients, .toProxy, .held, .dropped: false
        case .releasedToOrigin, .releasedToProxy, .reset: true
        }
    }
}
