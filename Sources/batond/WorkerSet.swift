import Adoption
import CDPDKShim
import Control
import FastPath
import InterCore
import Wire

/// All workers with the rings between them and the control core.
struct WorkerSet {
    let links: [WorkerLink]
    private let contexts: [UnsafeMutablePointer<WorkerContext>]
    private let lcores: [Int]
    private let stopFlag: UnsafeMutablePointer<Int32>

    init(
        count: Int, lcores: [Int], core: ControlCore, pools: [PacketPool], clientQueues: [Port.Queue],
        serverQueues: [Port.Queue], clientMACs: [MACAddress], serverMACs: [MACAddress],
        own: (address: IPAddress, mac: MACAddress, vlan: VLAN)?, host: HostSide?,
        controlDoorbell: Doorbell,
        controlHeartbeat: Heartbeat, idle: IdlePolicy
    ) throws {
        let doorbells = try (0..<count).map { _ in Doorbell(descriptor: try eventDescriptor()) }
        let handOver = (0..<count).map { _ in (0..<count).map { _ in Ring<HandedOver>(capacity: count > 1 ? 4_096 : 2) }
        }
        let stopFlag = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        stopFlag.initialize(to: 0)
        var links: [WorkerLink] = []
        var contexts: [UnsafeMutablePointer<WorkerContext>] = []
        for index in 0..<count {
            var configuration = core.workerConfiguration(for: index)
            host?.prepare(&configuration)
            let events = Ring<WorkerEvent>(
                capacity: 2 * configuration.heldFlowLimit + 4_096, payloadCapacity: WorkerEvent.maximumPayload)
            let commands = Ring<WorkerCommand>(capacity: 4_096)
            let capture = CaptureLink()
            let own = own.map { OwnAddressLink($0.address, at: $0.mac, vlan: $0.vlan) }
            let counters = CounterBlock()
            let heartbeat = Heartbeat()
            heartbeat.beat(now: Environment.timestamp)
            let worker = WorkerLinks(
                index: index, clientQueue: clientQueues[index].queue, serverQueue: serverQueues[index].queue,
                pool: pools[index],
                events: events, commands: commands, capture: capture, own: own, replays: host?.replays.orders,
                counters: counters,
                clientMAC: clientMACs[index], serverMAC: serverMACs[index], heartbeat: heartbeat,
                controlHeartbeat: controlHeartbeat, controlDoorbell: controlDoorbell, doorbells: doorbells,
                handOver: count > 1 ? handOver : [],
                clientWaitable: clientQueues[index].waitable, serverWaitable: serverQueues[index].waitable,
                socket: Environment.socket(ofLcore: lcores[index]))
            links.append(
                WorkerLink(
                    events: events, commands: commands, capture: capture, own: own, doorbell: doorbells[index],
                    counters: counters, heartbeat: heartbeat, lcore: lcores[index]))
            let context = UnsafeMutablePointer<WorkerContext>.allocate(capacity: 1)
            context.initialize(
                to: WorkerContext(
                    worker: Worker(
                        configuration: configuration, links: worker, now: Environment.timestamp,
                        hertz: Environment.timestampHertz),
                    stopFlag: stopFlag, idle: idle))
            contexts.append(context)
        }
        self.links = links
        self.contexts = contexts
        self.lcores = lcores
        self.stopFlag = stopFlag
    }

    func launch() throws {
        for (context, lcore) in zip(contexts, lcores) {
            try Environment.launch(
                onLcore: lcore,
                { argument in
                    let context = argument!.assumingMemoryBound(to: WorkerContext.self)
                    context.pointee.run()
                    return 0
                }, context)
        }
    }

    /// Each has taken a turn within the last second.
    var areAlive: Bool {
        let now = Environment.timestamp
        return links.allSatisfy { now &- min($0.heartbeat.lastBeat, now) < Environment.timestampHertz }
    }

    /// Waits until every worker has left its loop.
    func stop() {
        shim_store_flag(stopFlag, 1)
        for link in links { shim_signal(link.doorbell.descriptor) }
        for lcore in lcores { Environment.wait(forLcore: lcore) }
    }
}

/// What an lcore is given.
struct WorkerContext: ~Copyable {
    var worker: Worker
    let stopFlag: UnsafePointer<Int32>
    let idle: IdlePolicy

    init(worker: consuming Worker, stopFlag: UnsafePointer<Int32>, idle: IdlePolicy) {
        self.worker = worker
        self.stopFlag = stopFlag
        self.idle = idle
    }

    mutating func run() { worker.run(until: stopFlag, idle: idle) }
}
