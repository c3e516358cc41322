import CRTP
import Control
import InterCore
import Testing
import Wire

/// Addresses of the director's own: what workers learn of their origins, and what SYN/ACKs promise.
@Suite struct VirtualServerTests {
    private let address = Endpoint(IPAddress("203.0.113.80")!, port: 80)
    private let card = MACAddress(0x02_00_00_00_00_80)

    /// Two origins, not up yet; an agent for each description.
    private func simulation(
        agents: [AgentDescription] = [], until end: UInt64 = 2_000_000,
        adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) -> Simulation {
        var simulation = Simulation(seed: 3, .init()) { configuration in
            var server = DirectorConfiguration.VirtualServer(name: "www", address: address)
            server.origins = [1, 2].map {
                .init(name: "o\($0)", address: Endpoint(IPAddress("10.0.0.\($0)")!, port: 80))
            }
            configuration.virtualServers = [server]
            configuration.logLevel = "info"
            adjust(&configuration)
        }
        for (index, agent) in agents.enumerated() {
            simulation.agents[index].responder = ChannelResponder(
                keys: Simulation.keys, description: agent, random: SeededGenerator(seed: agent.epoch))
        }
        simulation.run(until: end)
        return simulation
    }

    private func agent(
        _ capabilities: Capabilities = [.ipv4, .timestamps, .sack, .windowScale, .http], mtu: UInt16 = 1_500,
        epoch: UInt64 = 5
    ) -> AgentDescription {
        AgentDescription(
            name: "agent", mac: card, mtu: mtu, epoch: epoch, credits: 10, capabilities: capabilities)
    }

    private func check(_ simulation: inout Simulation, _ origin: Int, _ check: OriginCheck) {
        simulation.core.checked(origin: origin, check, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: simulation.now + 1_000)
    }

    // MARK: Origins

    @Test func workersBeginWithAllOfItAndWithoutOriginsThatAreUp() {
        let simulation = simulation()
        let worker = simulation.core.workerConfiguration(for: 1)
        #expect(worker.virtualServers.map(\.endpoint) == [address] && worker.virtualServers[0].origins == 0..<2)
        #expect(worker.origins.map { "\($0.endpoint)" } == ["10.0.0.1:80", "10.0.0.2:80"])
        #expect(worker.origins.allSatisfy { !$0.isUp && $0.hop.mac == .zero })
        let other = simulation.core.workerConfiguration(for: 0)
        #expect(worker.cookieSecret == other.cookieSecret && worker.timestampOffset == other.timestampOffset)
    }

    @Test func secretsAreAnotherStartsOther() {
        func secret(_ seed: UInt64) -> (CookieSecret, UInt32) {
            let core = ControlCore(
                configuration: DirectorConfiguration(), keys: Simulation.keys, workerCount: 1, epoch: 1,
                random: SeededGenerator(seed: seed))
            let worker = core.workerConfiguration(for: 0)
            return (worker.cookieSecret, worker.timestampOffset)
        }
        #expect(secret(1) == secret(1))
        #expect(secret(1).0.low != secret(2).0.low && secret(1).0.high != secret(2).0.high)
        #expect(secret(1).1 != secret(2).1)
        #expect(secret(1).0.low != secret(1).0.high)
    }

    @Test func aGoodCheckBringsAnOriginUpAtAllWorkers() {
        var simulation = simulation()
        check(&simulation, 1, .good(card))
        for worker in simulation.workers {
            #expect(worker.origins.map(\.isUp) == [false, true])
            #expect(worker.origins[1].hop == NextHop(mac: card))
            #expect(worker.virtualServers == simulation.core.workerConfiguration(for: 0).virtualServers)
        }
        #expect(
            simulation.logs.contains {
                $0.event == "origin up" && $0.fields.map(\.value) == ["www/o2", "02:00:00:00:00:80"]
            })
    }

    @Test func whatChangesNothingIsNotTold() {
        var simulation = simulation()
        check(&simulation, 0, .good(card))
        let generation = simulation.core.virtualServers.generation
        check(&simulation, 0, .good(card))
        check(&simulation, 0, .good(nil))
        check(&simulation, 0, .failed("connection refused"))
        check(&simulation, 1, .failed("connection refused"))
        check(&simulation, 7, .good(card))
        #expect(simulation.core.virtualServers.generation == generation)
        #expect(simulation.core.counters[.strayEvent] == 1, "there is no eighth origin")
    }

    @Test func threeFailuresTakeItDownAndTheReasonIsLogged() {
        var simulation = simulation()
        check(&simulation, 0, .good(card))
        for _ in 0..<3 { check(&simulation, 0, .failed("connection refused")) }
        #expect(simulation.workers.allSatisfy { !$0.origins[0].isUp })
        let lines = simulation.logs.filter { $0.event == "origin down" }
        #expect(lines.map { $0.fields.map(\.value) } == [["www/o1", "connection refused"]])
    }

    @Test func anOriginThatIsDownFromTheStartIsLoggedOnce() {
        var simulation = simulation()
        for _ in 0..<4 { check(&simulation, 1, .failed("no answer in time")) }
        let lines = simulation.logs.filter { $0.event == "origin down" }
        #expect(lines.map { $0.fields.map(\.value) } == [["www/o2", "no answer in time"]])
    }

    @Test func operatorsSeeWhatTheLastCheckFoundAndSinceWhen() {
        var simulation = simulation()
        check(&simulation, 0, .good(card))
        simulation.run(until: simulation.now + 3_000_000)
        check(&simulation, 0, .failed("connection refused"))
        let rows = simulation.core.originStatus(now: simulation.now)
        #expect(rows.map(\.origin) == ["o1", "o2"] && rows.map(\.up) == [true, false])
        #expect(rows.map(\.reason) == ["connection refused", "not checked yet"])
        #expect(rows.map(\.mac) == ["02:00:00:00:00:80", ""])
        #expect((3...3.1).contains(rows[0].sinceSeconds), "since it came up, not since the last check")
        #expect(rows[0].serverAddress == "203.0.113.80:80" && rows[0].address == "10.0.0.1:80")
    }

    @Test func aChangedCardIsFound() {
        var simulation = simulation()
        let other = MACAddress(0x02_00_00_00_00_81)
        check(&simulation, 0, .good(card))
        check(&simulation, 0, .good(other))
        #expect(simulation.workers.allSatisfy { $0.origins[0].hop.mac == other && $0.origins[0].isUp })
    }

    @Test func aConfiguredAddressWinsAndWithoutAnyItStaysDown() {
        var simulation = simulation { $0.virtualServers[0].origins[0].mac = MACAddress(0x02_00_00_00_00_99) }
        check(&simulation, 0, .good(card))
        check(&simulation, 1, .good(nil))
        #expect(simulation.workers[0].origins.map(\.isUp) == [true, false])
        #expect(simulation.workers[0].origins[0].hop.mac == MACAddress(0x02_00_00_00_00_99))
        #expect(simulation.core.virtualServers.origins[1].reason.contains("no Ethernet address"))
    }

    @Test func withoutChecksOriginsAreUpFromTheStart() {
        let simulation = simulation {
            $0.virtualServers[0].check.intervalMicroseconds = 0
            for index in 0..<2 { $0.virtualServers[0].origins[index].mac = card }
        }
        #expect(simulation.core.workerConfiguration(for: 0).origins.allSatisfy { $0.isUp && $0.hop.mac == card })
    }

    @Test func tablesAreFreedWhenEveryWorkerHasALaterOne() {
        var simulation = simulation()
        for number in 1...5 as ClosedRange<UInt64> {
            check(&simulation, 0, .good(MACAddress(0x02_00_00_00_00_00 + number)))
        }
        #expect(simulation.core.virtualServerTables.generations == [simulation.core.virtualServers.generation])
    }

    // MARK: Offers

    private func offer(_ simulation: Simulation) -> HandshakeOffer {
        simulation.workers[0].virtualServers.first?.offer
            ?? simulation.core.workerConfiguration(for: 0).virtualServers[0].offer
    }

    private let whole = HandshakeOffer(
        maximumSegmentSize: 1_460, window: 14_600, windowScale: 7, sack: true, timestamps: true)

    @Test func withProxiesThatCanDoAllOfItTheOfferStays() {
        let simulation = simulation()
        #expect(simulation.core.proxies.allSatisfy { $0.isUp })
        #expect(offer(simulation) == whole)
        #expect(simulation.core.virtualServers.generation == 0)
    }

    @Test func theConfigurationSaysWhatOriginsDo() {
        let simulation = simulation {
            $0.virtualServers[0].options = [.sack]
            $0.virtualServers[0].maximumSegment = 1_400
            $0.virtualServers[0].window = 8_000
        }
        #expect(
            offer(simulation)
                == HandshakeOffer(maximumSegmentSize: 1_400, window: 8_000, sack: true))
    }

    @Test func theLeastOfAllProxiesIsOfferedAndTheFormerOfferKept() {
        let simulation = simulation(agents: [agent(), agent([.ipv4, .sack, .windowScale, .http], mtu: 1_400)])
        var least = whole
        least.timestamps = false
        least.maximumSegmentSize = 1_360
        #expect(offer(simulation) == least)
        #expect(simulation.workers.allSatisfy { $0.virtualServers[0].formerOffer == whole })
    }

    @Test func proxiesThatCannotHaveItsConnectionsDoNotCount() {
        let poor = agent([.ipv4, .http], mtu: 1_000)
        // A rule for another address, and one that names the other proxy.
        let simulation = simulation(agents: [agent(), poor]) { configuration in
            var elsewhere = configuration.rules[0]
            elsewhere.name = "elsewhere"
            elsewhere.match.server = AddressPrefix("10.0.0.0/8")!
            configuration.rules[0].proxies = ["p0"]
            configuration.rules.append(elsewhere)
        }
        #expect(simulation.core.proxies.allSatisfy { $0.isUp } && offer(simulation) == whole)
        let other = self.simulation(agents: [agent(), agent([.ipv6, .http])])
        #expect(offer(other) == whole, "of the other family")
    }

    @Test func anOfferSurvivesALostChannelAndChangesAfterAPause() {
        var simulation = simulation(agents: [agent(), agent([.ipv4, .sack, .windowScale, .http])])
        var less = whole
        less.timestamps = false
        #expect(offer(simulation) == less)
        // The agent comes back as another one, which can do all of it; its channel is lost meanwhile.
        simulation.agents[1].responder = ChannelResponder(
            keys: Simulation.keys, description: agent(epoch: 9), random: SeededGenerator(seed: 9))
        simulation.run(until: 9_000_000)
        #expect(simulation.core.proxies[1].isUp && simulation.core.proxies[1].agent?.epoch == 9)
        #expect(offer(simulation) == less, "too soon after the last change")
        simulation.run(until: 13_000_000)
        #expect(offer(simulation) == whole)
        #expect(simulation.workers[1].virtualServers[0].formerOffer == less)
    }

    @Test func otherRulesAreOtherProxies() throws {
        var simulation = simulation(agents: [agent(), agent([.ipv4, .sack, .windowScale, .http])]) {
            $0.rules[0].proxies = ["p0"]
        }
        #expect(offer(simulation) == whole)
        var wanted = simulation.start
        wanted.rules[0].proxies = []
        _ = try simulation.core.reload(wanted, keys: Simulation.keys, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: 2_100_000)
        #expect(!offer(simulation).timestamps)
    }

    // MARK: Reload, flows

    @Test func onlyARestartChangesVirtualServers() {
        let simulation = simulation()
        var wanted = simulation.start
        wanted.virtualServers[0].origins.swapAt(0, 1)
        let refusal = simulation.core.refusal(of: wanted, keys: Simulation.keys)
        #expect(
            refusal.map { "\($0)" }?.hasPrefix(
                "only a restart can change virtual-servers.www.origins.name ([o1, o2] → [o2, o1])") == true)
        wanted = simulation.start
        wanted.virtualServers = []
        #expect(simulation.core.changes(to: wanted).map(\.needsRestart) == [true])
    }

    @Test func originsTakePlacesOfProxies() {
        let simulation = simulation()
        var wanted = simulation.start
        wanted.proxies += (0..<252).map {
            .init(name: "n\($0)", address: Endpoint(IPAddress("192.0.3.1")!, port: 1_000 + UInt16($0)))
        }
        let refusal = simulation.core.refusal(of: wanted, keys: Simulation.keys)
        #expect(refusal.map { "\($0)" }?.hasPrefix("there is room for 251 more proxies and 252 are new") == true)
    }

    @Test func flowsShowTheOriginThatHasThem() {
        var answer = FlowAnswer()
        answer.proxies = ["p0"]
        answer.origins = ["www/o1", "www/o2"]
        let key = FlowKey(client: IPAddress(v4: 1), clientPort: 1, server: IPAddress(v4: 2), serverPort: 80)
        answer.rows = [ProxyIndex(0), .origin(1), .origin(0), .origin(2), ProxyIndex(1), .none].map {
            FlowSummary(
                handle: FlowHandle(worker: 0, index: 1, generation: 1), key: key, state: .translated, proxy: $0,
                idleMilliseconds: 0)
        }
        #expect(answer.page.flows.map(\.proxy) == ["p0", "www/o2", "www/o1", "", "", ""])
    }

    @Test func flowsCanBeAskedForByTheirOrigin() throws {
        var simulation = simulation()
        simulation.core.actions = []
        var filter = FlowFilter()
        filter.proxy = "www/o2"
        try simulation.core.beginFlows(filter, limit: 5, from: nil, now: simulation.now)
        guard case .command(.listFlows(let query), _) = simulation.core.actions[0] else {
            Issue.record("\(simulation.core.actions)")
            return
        }
        #expect(query.proxy == .origin(1))
    }
}
