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
    private let isIPv6: Bool
    private var refused: [UInt32] = []

    /// What the lcore is given.
    struct Context: ~Copyable {
        var worker: Worker
        let stopFlag: StopFlag

        mutating func run() { worker.run(until: stopFlag.pointer, idle: .spin) }
    }

    /// - Parameters:
    ///   - flows: the capacity of the table for the capture's family. The other family has next to none.
    init(_ ports: PortPair, flows: Int, isIPv6: Bool) throws {
        self.isIPv6 = isIPv6
        var configuration = WorkerConfiguration()
        var rule = CandidateRule()
        rule.firstPort = 80
        rule.lastPort = 80
        configuration.candidates = [rule]
        configuration.flowCapacity = isIPv6 ? 64 : flows
        configuration.flowCapacityIPv6 = isIPv6 ? flows : 64
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

    private func beat() { controlHeartbeat.beat(now: Environment.timestamp) }

    /// Commits flows to one proxy as a restarted director would, by commands. The worker takes its turns here, on the
    /// main lcore; packets of flows that are not there yet pass, and the first packet of each flow that is there is
    /// looked at more closely than all later ones.
    func install(_ numbers: some Sequence<Int>) throws {
        _ = commands.push(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(0x0200_0000_00F0))))
        var wanted = 0
        for number in numbers {
            push(number)
            wanted += 1
        }
        finishCommands()
        // The capture's own SYNs take places as long as there are any. Such a place is given up for a committed flow,
        // but not always found at once.
        var rounds = 0
        while !refused.isEmpty, rounds < 100 {
            let again = refused
            refused = []
            for number in again { push(Int(number)) }
            finishCommands()
            rounds += 1
        }
        guard refused.isEmpty, counters[.committedFlows] == UInt64(wanted) else {
            throw Environment.Failure(
                description: "\(wanted) flows wanted, \(counters[.committedFlows]) committed, \(refused.count) refused")
        }
    }

    private func push(_ number: Int) {
        let key = flowKey(number: number, isIPv6: isIPv6)
        while !commands.push(.installFlow(key, ProxyIndex(0), ticket: UInt32(number))) { turn() }
    }

    private func finishCommands() {
        while commands.hasMessage { turn() }
    }

    private func turn() {
        beat()
        _ = context.pointee.worker.poll(now: Environment.timestamp)
        while let event = events.pop({ event, _ in event }) {
            if case .flowRefused(let ticket) = event { refused.append(ticket) }
        }
    }

    /// Lets the worker run on its lcore. The report has what it counted there: all of it, from its start to its end.
    ///
    /// - Parameter packets: so many come before the clock starts.
    func measure(_ options: PortOptions, after packets: Int) throws -> Report {
        let before = Counter.allCases.map { counters[$0] }
        try launch()
        var report = Measurement.take(
            options, after: packets, received: { counters[.receivedFromClients] }, beat: { beat() })
        try stop()
        for counter in Counter.allCases where counters[counter] != before[counter.rawValue] {
            report.counters["\(counter)"] = counters[counter] &- before[counter.rawValue]
        }
        report.counters["imbalance"] = UInt64(counters.imbalance.magnitude)
        return report
    }

    private func launch() throws {
        try Environment.launch(
            onLcore: try measuredLcore(),
            { argument in
                argument!.assumingMemoryBound(to: Context.self).pointee.run()
                return 0
            }, context)
    }

    private func stop() throws {
        stopFlag.raise()
        Environment.wait(forLcore: try measuredLcore())
    }
}
