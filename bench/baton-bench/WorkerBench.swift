import CDPDKShim
import FastPath
import InterCore
import Wire

/// Workers between the two ports, with the main lcore as their control core. Each has a queue of both ports; what
/// belongs to another's flows it hands over, as there is no hash in these ports.
final class WorkerBench {
    private(set) var workers: [BenchWorker] = []
    private let controlHeartbeat = Heartbeat()
    let stopFlag = StopFlag()
    private let isIPv6: Bool
    private let forwards: Bool
    static let hashSeed: UInt64 = 0x5EED_0000_BA70_0001

    /// - Parameters:
    ///   - flows: the capacity of the tables, together, for the capture's family. The other family has next to none.
    ///   - servesVirtually: the capture's servers are the director's own, with one origin for all.
    ///   - forwards: the worker is a forwarder's, with one classifier.
    init(
        _ ports: PortPair, flows: Int, isIPv6: Bool, servesVirtually: Bool = false, forwards: Bool = false
    ) throws {
        self.forwards = forwards
        self.isIPv6 = isIPv6
        var configuration = WorkerConfiguration()
        var rule = CandidateRule()
        rule.firstPort = 80
        rule.lastPort = 80
        configuration.candidates = [rule]
        let count = ports.queues
        // A hash does not deal flows out evenly.
        let share = count == 1 ? flows : flows / count + flows / 10 + 64
        configuration.flowCapacity = isIPv6 ? 64 : share
        configuration.flowCapacityIPv6 = isIPv6 ? share : 64
        configuration.recoveryMicroseconds = 0
        configuration.hashSeed = WorkerBench.hashSeed
        configuration.idle = .spin
        configuration.workerCount = count
        if servesVirtually || forwards { serve(&configuration) }
        if forwards { configuration.role = .forwarder }
        controlHeartbeat.beat(now: Environment.timestamp)
        let doorbells = (0..<count).map { _ in Doorbell(descriptor: -1) }
        let handOver = (0..<count).map { _ in
            (0..<count).map { _ in Ring<HandedOver>(capacity: count > 1 ? 4_096 : 2) }
        }
        for index in 0..<count {
            configuration.workerIndex = index
            workers.append(
                BenchWorker(configuration, ports, stopFlag) { events, commands, counters in
                    WorkerLinks(
                        index: index, clientQueue: ports.clientQueue(index), serverQueue: ports.serverQueue(index),
                        pool: ports.pools[index], events: events, commands: commands, counters: counters,
                        heartbeat: Heartbeat(), controlHeartbeat: controlHeartbeat,
                        controlDoorbell: Doorbell(descriptor: -1), doorbells: doorbells,
                        handOver: count > 1 ? handOver : [], clientWaitable: [], serverWaitable: [])
                })
        }
    }

    func beat() { controlHeartbeat.beat(now: Environment.timestamp) }

    // MARK: flows

    /// Commits flows to one proxy as a restarted director would, by commands. The workers take their turns here, on the
    /// main lcore; packets of flows that are not there yet pass, and the first packet of each flow that is there is
    /// looked at more closely than all later ones.
    func install(_ numbers: some Sequence<Int>) throws {
        for worker in workers {
            if forwards { _ = worker.commands.push(.encapsulate(ProxyIndex(0), Self.tunnel)) }
            _ = worker.commands.push(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(0x0200_0000_00F0))))
        }
        var wanted = 0
        for number in numbers {
            push(number)
            wanted += 1
        }
        finishCommands()
        // The capture's own SYNs take places as long as there are any. Such a place is given up for a committed flow,
        // but not always found at once.
        var rounds = 0
        while workers.contains(where: { !$0.refused.isEmpty }), rounds < 100 {
            for worker in workers { for number in worker.takeRefused() { push(Int(number)) } }
            finishCommands()
            rounds += 1
        }
        let committed = workers.reduce(0) { $0 + $1.counters[.committedFlows] }
        guard committed == UInt64(wanted) else {
            throw Environment.Failure(description: "\(wanted) flows wanted, \(committed) committed")
        }
    }

    /// By GUE, with each flow's identifier.
    private static var tunnel: Encapsulation {
        var tunnel = Encapsulation(.gue, from: IPAddress(v4: 0x0A09_0003), to: IPAddress(v4: 0x0A09_000B))
        tunnel.namesFlows = true
        return tunnel
    }

    private func serve(_ configuration: inout WorkerConfiguration) {
        let offer = HandshakeOffer(windowScale: 7, sack: true, timestamps: true)
        configuration.virtualServers = (0..<256).map {
            let key = flowKey(number: $0, isIPv6: isIPv6)
            return VirtualServer(Endpoint(key.server, port: key.serverPort), offer: offer, origins: 0..<1)
        }
        let address = isIPv6 ? IPAddress(high: 0x2001_0DB8_0003_0000, low: 1) : IPAddress(v4: 0x0AFE_0001)
        configuration.origins = [
            Origin(Endpoint(address, port: 8_080), hop: NextHop(mac: MACAddress(0x0200_0000_00A1)))
        ]
    }

    /// Gives flows to the origin, with numbers, clocks and window scales that differ.
    func translate(_ numbers: some Sequence<Int>) throws {
        let options = NegotiatedOptions(
            clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: 7, serverWindowScale: 7, windowScale: true,
            sack: true, timestamps: true)
        for number in numbers {
            let key = flowKey(number: number, isIPv6: isIPv6)
            let sequence = UInt32(truncatingIfNeeded: SplitMix64.mixed(UInt64(number)))
            let translation = Translation(
                client: .init(serverSequence: SequenceNumber(sequence), serverTimestamp: sequence, options: options),
                server: .init(serverSequence: SequenceNumber(7), serverTimestamp: 9, options: options))
            let owner = workers[flowOwner(of: key, seed: WorkerBench.hashSeed, workerCount: workers.count)]
            guard owner.installTranslated(key, translation) else {
                throw Environment.Failure(description: "no room for flow \(number)")
            }
        }
    }

    private func push(_ number: Int) {
        let key = flowKey(number: number, isIPv6: isIPv6)
        let owner = workers[flowOwner(of: key, seed: WorkerBench.hashSeed, workerCount: workers.count)]
        let name = forwards ? FlowName(identifier: UInt32(number % 0xFF_FFFF) + 1, generation: 0) : .none
        while !owner.commands.push(.installFlow(key, ProxyIndex(0), ticket: UInt32(number), name: name)) { turn() }
    }

    private func finishCommands() {
        while workers.contains(where: { $0.commands.hasMessage }) { turn() }
    }

    private func turn() {
        beat()
        for worker in workers { worker.turn() }
    }

    // MARK: measurement

    /// Lets the workers run on their lcores, and counts what leaves by one side. The report has what they counted there, together: all of it, from start to
    /// end.
    ///
    /// - Parameter packets: so many come before the clock starts.
    func measure(_ options: PortOptions, after packets: Int, by sent: Counter = .transmittedToServers) throws -> Report
    {
        let before = Counter.allCases.map(sum)
        for (index, worker) in workers.enumerated() { try worker.launch(onLcore: try measuredLcore(index)) }
        var report = Measurement.take(
            options, after: packets, received: { sum(sent) }, beat: { beat() })
        stopFlag.raise()
        for index in workers.indices { Environment.wait(forLcore: try measuredLcore(index)) }
        for counter in Counter.allCases where sum(counter) != before[counter.rawValue] {
            report.counters["\(counter)"] = sum(counter) &- before[counter.rawValue]
        }
        report.counters["imbalance"] = workers.reduce(0) { $0 + UInt64($1.counters.imbalance.magnitude) }
        return report
    }

    private func sum(_ counter: Counter) -> UInt64 { workers.reduce(0) { $0 &+ $1.counters[counter] } }
}

/// A worker and the ends of its rings that the control core holds.
final class BenchWorker {
    let counters = CounterBlock()
    let commands = Ring<WorkerCommand>(capacity: 4_096)
    /// Tickets of the flows that found no room.
    private(set) var refused: [UInt32] = []
    let events = Ring<WorkerEvent>(capacity: 8_192, payloadCapacity: WorkerEvent.maximumPayload)
    private let context: UnsafeMutablePointer<Context>

    /// What the lcore is given.
    private struct Context: ~Copyable {
        var worker: Worker
        let stopFlag: StopFlag

        mutating func run() { worker.run(until: stopFlag.pointer, idle: .spin) }
    }

    init(
        _ configuration: WorkerConfiguration, _ ports: PortPair, _ stopFlag: StopFlag,
        links: (Ring<WorkerEvent>, Ring<WorkerCommand>, CounterBlock) -> WorkerLinks
    ) {
        context = .allocate(capacity: 1)
        context.initialize(
            to: Context(
                worker: Worker(
                    configuration: configuration, links: links(events, commands, counters),
                    now: Environment.timestamp, hertz: Environment.timestampHertz),
                stopFlag: stopFlag))
    }

    func takeRefused() -> [UInt32] {
        defer { refused = [] }
        return refused
    }

    /// One turn on the calling lcore.
    func turn() {
        _ = context.pointee.worker.poll(now: Environment.timestamp)
        while let event = events.pop({ event, _ in event }) {
            if case .flowRefused(let ticket) = event { refused.append(ticket) }
        }
    }

    func installTranslated(_ key: FlowKey, _ translation: Translation) -> Bool {
        context.pointee.worker.installTranslated(key, origin: 0, translation, now: Environment.timestamp)
    }

    func launch(onLcore lcore: Int) throws {
        try Environment.launch(
            onLcore: lcore,
            { argument in
                argument!.assumingMemoryBound(to: Context.self).pointee.run()
                return 0
            }, context)
    }
}
