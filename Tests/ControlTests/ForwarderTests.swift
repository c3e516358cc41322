import CRTP
import Control
import InterCore
import Testing
import Wire

/// A forwarder's control core: which classifiers there are, whose connections are, and what it asks agents.
@Suite struct ForwarderTests {
    private static func adjust(_ configuration: inout DirectorConfiguration) {
        configuration.role = .forwarder
        configuration.rules = []
        configuration.virtualServers = [.init(name: "www", address: Endpoint("203.0.113.80:80")!)]
        configuration.classifiers = (1...2).map { number in
            var classifier = DirectorConfiguration.Classifier(
                name: "k\(number)",
                encapsulation: .init(
                    .gue, from: IPAddress("10.9.0.3")!, to: IPAddress("10.9.0.5\(number)")!))
            classifier.health = Endpoint("10.9.0.4\(number):9100")!
            return classifier
        }
        for index in configuration.proxies.indices {
            var settings = DirectorConfiguration.EncapsulationSettings(
                .vxlan, from: IPAddress("10.9.0.3")!, to: IPAddress("10.9.0.1\(index)")!)
            settings.namesFlows = true
            configuration.proxies[index].encapsulation = settings
            configuration.proxies[index].mac = MACAddress(0xA0 + UInt64(index))
        }
    }

    private var simulation = Simulation.ready(seed: 9, adjust: adjust)

    private func key(_ port: UInt16) -> FlowKey {
        FlowKey(
            client: IPAddress("198.51.100.1")!, clientPort: port, server: IPAddress("203.0.113.80")!, serverPort: 80)
    }

    private func commands() -> [WorkerCommand] {
        simulation.core.actions.compactMap { if case .command(let command, 0) = $0 { command } else { nil } }
    }

    /// Workers have the way before the table that leads there, and proxies' ways say that flows are named.
    @Test mutating func classifiersAreIntroducedBeforeTheyAreChosen() {
        let mac = MACAddress(0x0200_0000_0051)
        simulation.core.checked(origin: 0, .good(mac), now: simulation.now)
        let told = commands()
        #expect(told.count == 3)
        guard case .encapsulate(let place, let encapsulation?) = told[0], case .proxy(let same, let hop) = told[1],
            case .useVirtualServers(let table) = told[2]
        else {
            Issue.record("\(told)")
            return
        }
        #expect(place == .origin(0) && same == .origin(0) && !encapsulation.namesFlows)
        #expect(encapsulation.destination == IPAddress("10.9.0.51") && hop.mac == mac && hop.mtu == 1_500 - 32)
        let chosen = (0..<200).compactMap { table.choice.classifier(of: PackedFlowKey(key(UInt16($0)))) }
        #expect(chosen == [Int](repeating: 0, count: 200))
        #expect(simulation.workers[0].encapsulations[0]?.namesFlows == true)
        #expect(simulation.core.originStatus(now: simulation.now).map(\.origin) == ["k1", "k2"])
    }

    /// What the worker is told of an agent's announcement.
    private mutating func announce(_ key: FlowKey) -> [WorkerCommand] {
        simulation.core.actions = []
        simulation.core.announced(
            key, transfer: 77, label: FlowLabel(identifier: 0xABC, generation: 2), transaction: 5, 0,
            now: simulation.now)
        return simulation.core.actions.compactMap { if case .command(let command, _) = $0 { command } else { nil } }
    }

    private mutating func report(_ event: WorkerEvent) {
        simulation.core.handle(event, payload: .init(start: nil, count: 0), worker: 0, now: simulation.now)
    }

    /// The agent's word goes to the worker with its name, and its taking back as well.
    @Test mutating func whatAnAgentAnnouncesIsMapped() throws {
        let key = key(1)
        let installs = announce(key)
        let name = FlowName(identifier: 0xABC, generation: 2)
        guard case .installFlow(key, ProxyIndex(0), let ticket, name)? = installs.first else {
            Issue.record("\(installs)")
            return
        }
        let handle = FlowHandle(worker: 0, index: 3, generation: 4)
        report(.flowInstalled(handle, ticket: ticket))
        #expect(announce(key) == [], "it is known")
        // Idle is not over: when the agent is asked again, its answer counts.
        report(.flowEnded(handle, .idle))
        guard case .installFlow(_, _, let second, _)? = announce(key).first else {
            Issue.record("not mapped again")
            return
        }
        let again = FlowHandle(worker: 0, index: 3, generation: 5)
        report(.flowInstalled(again, ticket: second))
        simulation.core.actions = []
        let isTaken = simulation.core.unmap(Terminate(cause: .cancel, transfer: 77, psn: SequenceNumber(0)), 0)
        #expect(isTaken && commands() == [.disown(again)])
        report(.flowEnded(again, .disowned))
        #expect(announce(key) == [], "a straggler")
    }

    /// The agent has given the connection away before the worker has its mapping: nothing of it is to stay.
    @Test mutating func whatIsTakenBackWhileItIsMappedIsUnmapped() {
        guard case .installFlow(_, _, let ticket, _)? = announce(key(1)).first else {
            Issue.record("not mapped")
            return
        }
        let isTaken = simulation.core.unmap(Terminate(cause: .cancel, transfer: 77, psn: SequenceNumber(0)), 0)
        simulation.core.actions = []
        let handle = FlowHandle(worker: 0, index: 3, generation: 4)
        report(.flowInstalled(handle, ticket: ticket))
        #expect(isTaken && commands() == [.disown(handle)])
    }

    /// Its end was told while the channel was down: the next announcement does not name it, however young it is.
    @Test mutating func whatIsNotAnnouncedAnyMoreIsOver() {
        guard case .installFlow(_, _, let ticket, _)? = announce(key(1)).first else {
            Issue.record("not mapped")
            return
        }
        let handle = FlowHandle(worker: 0, index: 3, generation: 4)
        report(.flowInstalled(handle, ticket: ticket))
        simulation.core.awaitAnnouncement(0, now: simulation.now + 1_000)
        simulation.core.actions = []
        simulation.core.announcementEnded(count: 0, transaction: 9, 0, now: simulation.now + 2_000)
        #expect(commands() == [.flowDone(handle)])
    }

    /// A forwarder hears of new connections all the time: that says nothing of an announcement whose end was lost.
    @Test mutating func anAnnouncementWithoutItsEndIsMissedHoweverMuchIsTold() {
        let start = simulation.now
        simulation.core.awaitAnnouncement(0, now: start)
        var now = start
        while now < start + 60_000_000, simulation.core.proxies[0].announcementDeadline.map({ $0 > now }) == true {
            simulation.core.announced(
                key(UInt16(now / 100_000 % 60_000)), transfer: UInt32(now / 100_000),
                transaction: UInt32(now / 100_000),
                0, now: now)
            now += 100_000
        }
        #expect(now == start + ProxyRecord.longestAnnouncementMicroseconds)
    }

    @Test mutating func agentsAreAskedOnceForWhatNobodyAnnounced() {
        func queries() -> Int {
            defer { simulation.core.actions = [] }
            return simulation.core.actions.count { if case .transmit = $0 { true } else { false } }
        }
        simulation.core.actions = []
        let agents = simulation.core.proxies.count
        for _ in 0..<100 { simulation.core.flowWanted(key(1), now: simulation.now) }
        #expect(queries() == agents)
        // All have said no: for a while nobody is asked again.
        for index in 0..<agents { simulation.core.flowUnknown(key(1), index, now: simulation.now) }
        simulation.core.flowWanted(key(1), now: simulation.now + FlowQueries.unknownMicroseconds - 1)
        #expect(queries() == 0)
        simulation.core.flowWanted(key(1), now: simulation.now + FlowQueries.unknownMicroseconds)
        #expect(queries() == agents)
        // However many: so many in a second.
        for port in 2...20_000 { simulation.core.flowWanted(key(UInt16(port)), now: simulation.now + 6_000_000) }
        #expect((1...Int(FlowQueries.framesPerSecond)).contains(queries()))
    }

    @Test func queriesAreBoundedAndEndWithTheirAnswers() {
        var queries = FlowQueries()
        #expect(queries.begin(key(1), agents: [0, 1], now: 0) == .ask)
        #expect(queries.begin(key(1), agents: [0, 1], now: 1) == .isAsked)
        queries.notFound(key(1), at: 0, now: 2)
        // The same one twice is one, and a stranger's word none.
        queries.notFound(key(1), at: 0, now: 2)
        queries.notFound(key(1), at: 7, now: 2)
        #expect(queries.begin(key(1), agents: [0, 1], now: 3) == .isAsked)
        queries.found(key(1))
        #expect(queries.begin(key(1), agents: [0, 1], now: 4) == .ask)
        // Unanswered for a second: it was lost.
        #expect(queries.begin(key(1), agents: [0], now: 4 + FlowQueries.patienceMicroseconds) == .ask)
        queries.notFound(key(1), at: 0, now: 2_000_000)
        #expect(queries.begin(key(1), agents: [0], now: 2_000_001) == .isUnknown)
        #expect(queries.begin(key(2), agents: [], now: 2_000_001) == .tooMany)
    }
}

/// A classifier promises what fits into its forwarders' packets.
@Suite struct ClassifierTests {
    @Test func segmentsFitTheForwardersWay() throws {
        var configuration = DirectorConfiguration()
        configuration.role = .classifier
        configuration.tunnelAddresses = [IPAddress("10.9.0.51")!]
        configuration.virtualServers = [.init(name: "www", address: Endpoint("203.0.113.80:80")!)]
        for (addresses, overhead) in [([IPAddress("10.9.0.3")!], 36), ([IPAddress("2001:db8::3")!], 56)] {
            configuration.forwarders = .init(.gue, addresses: addresses, gateway: MACAddress(1))
            var core = ControlCore(
                configuration: configuration, keys: Simulation.keys, workerCount: 1, epoch: 1,
                random: SeededGenerator(seed: 1))
            core.start(now: 0)
            let offers = core.actions.compactMap { action -> HandshakeOffer? in
                guard case .command(.useVirtualServers(let table), _) = action else { return nil }
                return table.servers[0].offer
            }
            #expect(offers.last?.maximumSegmentSize == UInt16(1_500 - overhead - 40))
            let worker = core.workerConfiguration(for: 0)
            #expect(worker.role == .classifier && worker.proxiesOnClientSide)
            #expect(worker.arrivals?.forwarders == addresses && worker.arrivals?.gateway == MACAddress(1))
        }
    }
}
