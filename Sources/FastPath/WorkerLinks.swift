import CDPDKShim
public import InterCore
public import Wire

/// One receive and transmit queue pair of a port.
public struct PortQueue: Sendable {
    public var port: UInt16
    public var queue: UInt16
    /// The descriptor of its receive interrupt, which must be armed before a sleep; -1 when it has none.
    public var interrupt: Int32

    public init(port: UInt16, queue: UInt16, interrupt: Int32 = -1) {
        self.port = port
        self.queue = queue
        self.interrupt = interrupt
    }

    func arm() { if interrupt >= 0 { shim_queue_arm(port, queue) } }
    func disarm() { if interrupt >= 0 { shim_queue_disarm(port, queue, interrupt) } }
}

/// A packet on its way to the worker that owns its flow.
public struct HandedOver: BitwiseCopyable, Sendable {
    /// The mbuf's address.
    public var packet: UInt
    public var fromClient: Bool
}

/// All that a worker shares with others. Rings and bells are made before any worker starts and live as long as the
/// process.
public struct WorkerLinks: @unchecked Sendable {
    public let clientQueue: PortQueue
    public let serverQueue: PortQueue
    /// The client port's own, where virtual servers are found.
    public let clientMAC: MACAddress
    /// The server port's own, where the director's ends of tunnels are found.
    public let serverMAC: MACAddress
    /// Where resets are made.
    public let pool: OpaquePointer
    public let events: Ring<WorkerEvent>
    public let commands: Ring<WorkerCommand>
    public let capture: CaptureLink
    /// Nil when the control channel goes by the kernel.
    public let own: OwnAddressLink?
    /// Of a director that stands on a host with an agent.
    public let replays: Ring<ReplayOrder>?
    public let counters: CounterBlock
    public let heartbeat: Heartbeat
    public let controlHeartbeat: Heartbeat
    public let controlDoorbell: Doorbell
    /// The bells of all workers, this one's included, by index.
    let doorbells: UnsafePointer<Doorbell>
    /// Rings from every other worker, and to every worker by index.
    let handOverIn: UnsafePointer<Ring<HandedOver>>
    let handOverOut: UnsafePointer<Ring<HandedOver>>
    let handOverSources: Int
    /// Descriptors that become readable when a packet has come, and the bell's (adaptive idling).
    let waitable: UnsafeMutableBufferPointer<Int32>
    /// False when a side has no descriptor: nothing but time wakes the worker when a packet comes there.
    package let canBeWoken: Bool
    /// NUMA node of the worker's lcore; -1 for any.
    let socket: Int

    /// - Parameters:
    ///   - handOver: ring from worker i to worker j at `[i][j]`.
    ///   - socket: NUMA node of the worker's lcore, where its tables will lie; -1 for any.
    ///   - clientWaitable, serverWaitable: descriptors of this worker's receive queue on either side.
    public init(
        index: Int, clientQueue: PortQueue, serverQueue: PortQueue, pool: PacketPool, events: Ring<WorkerEvent>,
        commands: Ring<WorkerCommand>, capture: CaptureLink = CaptureLink(capacity: 64), own: OwnAddressLink? = nil,
        replays: Ring<ReplayOrder>? = nil, counters: CounterBlock,
        clientMAC: MACAddress = .zero, serverMAC: MACAddress = .zero, heartbeat: Heartbeat, controlHeartbeat: Heartbeat,
        controlDoorbell: Doorbell, doorbells: [Doorbell], handOver: [[Ring<HandedOver>]],
        clientWaitable: [Int32], serverWaitable: [Int32], socket: Int = -1
    ) {
        self.socket = socket
        self.clientQueue = clientQueue
        self.serverQueue = serverQueue
        self.clientMAC = clientMAC
        self.serverMAC = serverMAC
        self.pool = pool.pointer
        self.events = events
        self.commands = commands
        self.capture = capture
        self.own = own
        self.replays = replays
        self.counters = counters
        self.heartbeat = heartbeat
        self.controlHeartbeat = controlHeartbeat
        self.controlDoorbell = controlDoorbell
        self.doorbells = UnsafePointer(lasting(doorbells))
        let others = handOver.indices.filter { $0 != index }
        handOverIn = UnsafePointer(lasting(others.map { handOver[$0][index] }))
        handOverOut = UnsafePointer(lasting(handOver.isEmpty ? [] : handOver[index]))
        handOverSources = others.count
        canBeWoken = !clientWaitable.isEmpty && !serverWaitable.isEmpty
        let all = clientWaitable + serverWaitable + [doorbells[index].descriptor]
        self.waitable = UnsafeMutableBufferPointer(start: lasting(all), count: all.count)
    }
}

/// A copy of an array in memory that is never freed.
private func lasting<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
    let copy = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
    copy.initialize(from: elements, count: elements.count)
    return copy
}

/// A worker's configuration in the form that its stages want: raw memory and TSC ticks.
struct CompiledConfiguration {
    let bindTries: Int
    let timestampOffset: UInt32
    let heldPacketLimit: Int
    let heldPacketsPerFlow: UInt32
    let heldFlowLimit: Int
    let headLimit: Int
    let maximumSegment: UInt16
    let hashSeed: UInt64
    let workerCount: Int
    let workerIndex: Int
    let proxiesOnClientSide: Bool
    let isForwarder: Bool
    let isClassifier: Bool
    /// TSC ticks.
    let incompleteHead, backstop, heartbeat, synOnly, idle, committedIdle, closed, recovery, microsecond, hertz: UInt64
    let transmitDelay, datagramIdle, bindRetry, unasked, millisecond: UInt64
    /// A busy worker's time between two pieces of a walk over its table.
    let walkPeriod: UInt64

    init(_ configuration: WorkerConfiguration, hertz: UInt64) {
        bindTries = max(configuration.bindTries, 1)
        timestampOffset = configuration.timestampOffset
        heldPacketLimit = configuration.heldPacketLimit
        heldPacketsPerFlow = UInt32(configuration.heldPacketsPerFlow)
        heldFlowLimit = configuration.heldFlowLimit
        headLimit = configuration.headLimit
        maximumSegment = configuration.maximumSegment
        hashSeed = configuration.hashSeed
        workerCount = configuration.workerCount
        workerIndex = configuration.workerIndex
        isForwarder = configuration.role == .forwarder
        isClassifier = configuration.arrivals != nil
        proxiesOnClientSide = configuration.proxiesOnClientSide
        func ticks(_ microseconds: UInt64) -> UInt64 {
            let (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
            return seconds * hertz + rest * hertz / 1_000_000
        }
        incompleteHead = ticks(configuration.incompleteHeadMicroseconds)
        backstop = ticks(configuration.backstopMicroseconds)
        heartbeat = ticks(configuration.heartbeatMicroseconds)
        synOnly = ticks(configuration.synOnlyMicroseconds)
        idle = ticks(configuration.idleMicroseconds)
        committedIdle = ticks(configuration.committedIdleMicroseconds)
        closed = ticks(configuration.closedMicroseconds)
        recovery = ticks(configuration.recoveryMicroseconds)
        transmitDelay = ticks(configuration.transmitDelayMicroseconds)
        walkPeriod = ticks(FlowWalk.periodMicroseconds)
        datagramIdle = ticks(configuration.datagramIdleMicroseconds)
        microsecond = max(ticks(1), 1)
        millisecond = max(ticks(1_000), 1)
        unasked = ticks(configuration.unaskedMicroseconds)
        bindRetry = ticks(configuration.bindRetryMicroseconds)
        self.hertz = hertz
    }
}
