import CDPDKShim
import FastPath
import InterCore
import Wire

/// One worker between the two ports, with the main lcore as its control core.
final class WorkerBench {
    let counters = CounterBlock()
    private let events = Ring<WorkerEvent>(capacity: 8_192, payloadCapacity: HeldRequest.maximumPayload)
    private let commands = Ring<WorkerCommand>(capacity: 4_096)
    private let controlHeartbeat = Heartbeat()
    private let context: UnsafeMutablePointer<Context>
    private let stopFlag = StopFlag()
    private var refused = 0

    /// What the lcore is given.
    struct Context: ~Copyable {
        var worker: Worker
        let stopFlag: StopFlag

        mutating func run() { worker.run(until: stopFlag.pointer, idle: .spin) }
    }

    init(_ ports: PortPair, flowCapacity: Int) throws {
        var configuration = WorkerConfiguration()
        var rule = CandidateRule()
        rule.firstPort = 80
        rule.lastPort = 80
        configuration.candidates = [rule]
        configuration.flowCapacity = flowCapacity
        configuration.flowCapacityIPv6 = flowCapacity
        configuration.recoveryMicroseconds = 0
        configuration.hashSeed = 0x5EED_0000_BA70_0001
        configuration.idle = .spin
        let links = WorkerLinks(
            index: 0, clientQueue: ports.clientQueue, serverQueue: ports.serverQueue, pool: ports.pool, events: events,
            commands: commands, counters: counters, heartbeat: Heartbeat(), controlHeartbeat: controlHeartbeat,
            controlDoorbell: Doorbell(descriptor: -1), doorbells: [Doorbell(descriptor: -1)], handOver: [],
            clientWaitable: [], serverWaitable: [])
        controlHeartbeat.beat(now: Environment.timestamp)
        context = .allocate(capacity: 1)
        context.initialize(
            to: Context(
                worker: Worker(
                    configuration: configuration, links: links, now: Environment.timestamp,
                    hertz: Environment.timestampHertz),
                stopFlag: stopFlag))
    }

    func beat() { controlHeartbeat.beat(now: Environment.timestamp) }

    /// Commits flows to one proxy as a restarted director would, by commands. The worker takes its turns here, on the
    /// main lcore; packets of flows that are not there yet pass, and the first packet of each flow that is there is
    /// looked at more closely than all later ones.
    func install(_ keys: some Sequence<FlowKey>) throws {
        _ = commands.push(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(0x0200_0000_00F0))))
        var wanted = 0
        for key in keys {
            while !commands.push(.installFlow(key, ProxyIndex(0), ticket: UInt32(truncatingIfNeeded: wanted))) {
                turn()
            }
            wanted += 1
        }
        while commands.hasMessage { turn() }
        guard refused == 0, counters[.flowsCreated] == UInt64(wanted) else {
            throw Environment.Failure(
                description: "\(wanted) flows wanted, \(counters[.flowsCreated]) created, \(refused) refused")
        }
    }

    private func turn() {
        beat()
        _ = context.pointee.worker.poll(now: Environment.timestamp)
        while let event = events.pop({ event, _ in event }) {
            if case .flowRefused = event { refused += 1 }
        }
    }

    func launch() throws {
        try Environment.launch(
            onLcore: try measuredLcore(),
            { argument in
                argument!.assumingMemoryBound(to: Context.self).pointee.run()
                return 0
            }, context)
    }

    func stop() throws {
        stopFlag.raise()
        Environment.wait(forLcore: try measuredLcore())
    }

    /// Every counter that is not 0, by name, and what the equation of all counters leaves over.
    var report: [String: UInt64] {
        var report: [String: UInt64] = [:]
        for counter in Counter.allCases where counters[counter] != 0 { report["\(counter)"] = counters[counter] }
        report["imbalance"] = UInt64(counters.imbalance.magnitude)
        return report
    }
}
