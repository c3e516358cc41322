import CDPDKShim
import FastPath
import InterCore
import Testing
import Wire

/// Two ports made of rings. EAL cannot be started twice, and ports are few: every test uses the same.
struct RingPort: @unchecked Sendable {
    let number: UInt16
    let inbound: OpaquePointer
    let outbound: OpaquePointer

    init(_ name: String) {
        var inbound: OpaquePointer?
        var outbound: OpaquePointer?
        let number = shim_ring_port(name, 4_096, &inbound, &outbound)
        precondition(number >= 0, "no ring port: \(number)")
        self.number = UInt16(number)
        precondition(shim_port_configure(self.number, 1, false) == 0, "no configuration")
        precondition(shim_port_queue(self.number, 0, Bench.pool.pointer) == 0, "no queue")
        precondition(shim_port_start(self.number) == 0, "no start")
        self.inbound = inbound!
        self.outbound = outbound!
    }
}

enum Bench {
    static let pool: PacketPool = {
        try! Environment.start([
            "baton-tests", "--no-huge", "-m", "96", "--no-pci", "--no-telemetry", "--no-shconf", "-l", "0",
            "--log-level", "3",
        ])
        return try! PacketPool(packets: 8_191)
    }()
    static let ports: [RingPort] = {
        _ = pool
        return (0..<4).map { RingPort("ring\($0)") }
    }()
}

/// Holds a worker, which cannot be copied, where a class can keep it.
final class WorkerBox {
    var worker: Worker
    init(_ worker: consuming Worker) { self.worker = worker }
}

/// Everything that the tests serialise on: one EAL, one set of ports.
@Suite(.serialized) struct WorkerTests {}

/// A director with one or two workers, and the wires on both sides. Time is virtual: a tick is a microsecond.
final class Lab {
    /// The director's own, on the clients' side.
    static let directorMAC: UInt64 = 0x0200_0000_0002
    /// And on the servers' side.
    static let serverSideMAC: UInt64 = 0x0200_0000_0003
    static let clientMAC: UInt64 = 0x0200_0000_0001
    static let originMAC: UInt64 = 0x0200_0000_0080
    static let proxyMAC: UInt64 = 0x0200_0000_00F0
    static let otherProxyMAC: UInt64 = 0x0200_0000_00F1

    var now: UInt64 = 1_000_000
    let boxes: [WorkerBox]
    let events: [Ring<WorkerEvent>]
    let commands: [Ring<WorkerCommand>]
    let captures: [CaptureLink]
    let replays = Ring<ReplayOrder>(capacity: 16)
    static let captureCapacity = 64
    let counters: [CounterBlock]
    let controlHeartbeat = Heartbeat()
    var isControlAlive = true
    var heard: [WorkerEvent] = []
    var payloads: [[UInt8]] = []
    var toServers: [[UInt8]] = []
    var toClients: [[UInt8]] = []
    /// Which worker's port the frames go in by, for tests of the hand-over.
    var inboundWorker = 0
    let freeAtStart: Int

    init(
        workers: Int = 1, eventCapacity: Int = 256, own: OwnAddressLink? = nil,
        _ configure: (inout WorkerConfiguration) -> Void = { _ in }
    ) {
        let pool = Bench.pool
        let ports = Bench.ports
        var configuration = WorkerConfiguration()
        var rule = CandidateRule()
        rule.firstPort = 80
        rule.lastPort = 80
        configuration.candidates = [rule]
        configuration.flowCapacity = 256
        configuration.flowCapacityIPv6 = 256
        configuration.recoveryMicroseconds = 0
        configuration.hashSeed = 77
        configuration.workerCount = workers
        configure(&configuration)
        let bells = (0..<workers).map { _ in Doorbell(descriptor: -1) }
        let handOver = (0..<workers).map { _ in (0..<workers).map { _ in Ring<HandedOver>(capacity: 64) } }
        events = (0..<workers).map { _ in Ring(capacity: eventCapacity, payloadCapacity: WorkerEvent.maximumPayload) }
        commands = (0..<workers).map { _ in Ring(capacity: 256) }
        captures = (0..<workers).map { _ in CaptureLink(capacity: Lab.captureCapacity) }
        counters = (0..<workers).map { _ in CounterBlock() }
        var boxes: [WorkerBox] = []
        for index in 0..<workers {
            configuration.workerIndex = index
            let links = WorkerLinks(
                index: index, clientQueue: PortQueue(port: ports[index * 2].number, queue: 0),
                serverQueue: PortQueue(port: ports[index * 2 + 1].number, queue: 0), pool: pool, events: events[index],
                commands: commands[index], capture: captures[index], own: own, replays: replays,
                counters: counters[index],
                clientMAC: MACAddress(Lab.directorMAC), serverMAC: MACAddress(Lab.serverSideMAC),
                heartbeat: Heartbeat(),
                controlHeartbeat: controlHeartbeat, controlDoorbell: Doorbell(descriptor: -1), doorbells: bells,
                handOver: workers == 1 ? [[handOver[0][0]]] : handOver, clientWaitable: [], serverWaitable: [])
            boxes.append(WorkerBox(Worker(configuration: configuration, links: links, now: now, hertz: 1_000_000)))
        }
        self.boxes = boxes
        freeAtStart = pool.available
        tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Lab.proxyMAC))))
        tell(.proxy(ProxyIndex(1), NextHop(mac: MACAddress(Lab.otherProxyMAC))))
        turn()
    }

    func counter(_ counter: Counter) -> UInt64 { counters.reduce(0) { $0 + $1[counter] } }
    func gauge(_ gauge: Gauge) -> UInt64 { counters.reduce(0) { $0 + $1[gauge] } }

    func tell(_ command: WorkerCommand) { for ring in commands { precondition(ring.push(command)) } }

    /// Lets every worker take a turn, twice, so that what one hands over the other has seen; collects what came out.
    func turn() {
        if isControlAlive { controlHeartbeat.beat(now: now) }
        for _ in 0..<2 { for box in boxes { _ = box.worker.poll(now: now) } }
        for index in boxes.indices {
            while let packet = shim_ring_take(Bench.ports[index * 2].outbound) { toClients.append(Lab.take(packet)) }
            while let packet = shim_ring_take(Bench.ports[index * 2 + 1].outbound) {
                toServers.append(Lab.take(packet))
            }
            while let event = events[index].pop({ ($0, Array($1)) }) {
                heard.append(event.0)
                payloads.append(event.1)
            }
        }
    }

    /// Time goes by in steps in which timers and heartbeats work.
    func wait(milliseconds: Double, step: UInt64 = 1_000) {
        let end = now + UInt64(milliseconds * 1_000)
        while now < end {
            now = min(now + step, end)
            turn()
        }
    }

    static func take(_ packet: OpaquePointer) -> [UInt8] {
        let bytes = UnsafeRawBufferPointer(start: shim_mbuf_data(packet), count: Int(shim_mbuf_length(packet)))
        defer { shim_mbuf_free(packet) }
        return Array(bytes)
    }

    func put(_ frame: [UInt8], fromClient: Bool) {
        let packet = shim_mbuf_make(Bench.pool.pointer, UInt16(frame.count))!
        UnsafeMutableRawPointer(shim_mbuf_data(packet)).copyMemory(from: frame, byteCount: frame.count)
        let port = Bench.ports[inboundWorker * 2 + (fromClient ? 0 : 1)]
        precondition(shim_ring_put(port.inbound, packet) == 0)
    }

    /// What has come out since the last look.
    func takeToServers() -> [Segment] {
        defer { toServers = [] }
        return toServers.compactMap { Segment(frame: $0) }
    }

    func takeToClients() -> [Segment] {
        defer { toClients = [] }
        return toClients.compactMap { Segment(frame: $0) }
    }

    func takeEvents() -> [WorkerEvent] {
        defer {
            heard = []
            payloads = []
        }
        return heard
    }

    /// The one held request that was reported.
    func takeHeld() -> HeldRequest? {
        for case .requestHeld(let held) in takeEvents() { return held }
        return nil
    }

    /// Ends the test: nothing is held any more, every packet is accounted for, every mbuf is back in the pool.
    func finish(_ location: SourceLocation = #_sourceLocation) {
        tell(.bypass(true))
        for _ in 0..<3 { turn() }
        for block in counters {
            #expect(block.imbalance == 0, "conservation", sourceLocation: location)
            #expect(block[.taken] == block[.released], "holds emptied", sourceLocation: location)
            #expect(block[Gauge.heldPackets] == 0, sourceLocation: location)
            #expect(block[Gauge.heldFlows] == 0, sourceLocation: location)
        }
        #expect(Bench.pool.available == freeAtStart, "no packet leaks", sourceLocation: location)
    }
}
