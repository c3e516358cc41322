import CRTP
import Control
import InterCore
import Testing
import Wire

/// The configuration, changed while channels are up and flows live.
@Suite struct ReloadTests {
    private func ready() -> Simulation { .ready(seed: 5) }

    /// The refusal, if there is one.
    @discardableResult private func reload(
        _ simulation: inout Simulation, keys: KeyRing = Simulation.keys, _ change: (inout DirectorConfiguration) -> Void
    ) -> String? {
        var wanted = simulation.start
        change(&wanted)
        defer { simulation.carryOut() }
        do throws(OperatorRefusal) {
            _ = try simulation.core.reload(wanted, keys: keys, now: simulation.now)
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func state(_ simulation: Simulation, _ name: String) -> String? {
        simulation.core.proxyStatus().first { $0.name == name }?.state
    }

    @Test func aProxyIsAddedAndAsked() {
        var simulation = ready()
        let endpoint = Endpoint(IPAddress("192.0.2.20")!, port: 6_020)
        simulation.agents.append(
            FakeAgent(
                endpoint: endpoint, director: Simulation.director, keys: Simulation.keys, seed: 77, isForgetful: false,
                credits: 1_000))
        #expect(reload(&simulation) { $0.proxies.append(.init(name: "p2", address: endpoint)) } == nil)
        #expect(state(simulation, "p2") == "initiating")
        simulation.run(until: 2_100_000)
        #expect(state(simulation, "p2") == "up")
        #expect(simulation.workers.allSatisfy { $0.nextHops[2] != nil })
        for number in 0..<9 { simulation.at(2_200_000 + UInt64(number) * 1_000, .arrival(UInt16(20_000 + number))) }
        simulation.run(until: 2_300_000)
        #expect(simulation.core.proxies.allSatisfy { $0.acks >= 3 }, "each has its turn")
    }

    /// One row for each name, wherever the rule stands and however many combinations it comes to.
    @Test func aRulesCountsGoWithItsName() {
        var simulation = ready()
        for number in 0..<10 { simulation.at(2_000_000 + UInt64(number) * 1_000, .arrival(UInt16(20_000 + number))) }
        simulation.run(until: 2_100_000)
        let before = simulation.core.status(workers: [], now: 0).rules
        #expect(before.count == 1 && before[0].committed == 10)
        #expect(
            reload(&simulation) { wanted in
                var other = wanted.rules[0]
                other.name = "other"
                other.hosts = ["other.example.org"]
                wanted.rules = [other, wanted.rules[0], wanted.rules[0]]
            } == nil)
        for number in 0..<5 { simulation.at(2_200_000 + UInt64(number) * 1_000, .arrival(UInt16(21_000 + number))) }
        simulation.run(until: 2_300_000)
        let after = simulation.core.status(workers: [], now: 0).rules
        #expect(after.map(\.name) == ["other", before[0].name])
        #expect(after.map(\.committed) == [0, 15])
    }

    @Test func aProxyThatIsTakenAwayKeepsItsFlowsAndItsPlaceUntilTheyHaveEnded() throws {
        var simulation = ready()
        for number in 0..<20 { simulation.at(2_000_000 + UInt64(number) * 100, .arrival(UInt16(20_000 + number))) }
        simulation.run(until: 2_010_000)
        let before = simulation.core.proxies[1].committed
        #expect(before > 5)
        #expect(reload(&simulation) { $0.proxies.removeLast() } == nil)
        #expect(state(simulation, "p1") == "leaving")
        #expect(simulation.core.status(workers: [], now: 0).proxiesConfigured == 1)
        let asked = simulation.core.proxies[1].acks + simulation.core.proxies[1].nacks
        for number in 0..<20 { simulation.at(2_020_000 + UInt64(number) * 100, .arrival(UInt16(21_000 + number))) }
        simulation.run(until: 2_100_000)
        #expect(simulation.core.proxies[1].committed > 0 && simulation.core.proxies[1].isUp)
        #expect(simulation.core.proxies[1].acks + simulation.core.proxies[1].nacks <= asked + 1, "only what was asked")
        // A new one does not get the place.
        let endpoint = Endpoint(IPAddress("192.0.2.20")!, port: 6_020)
        reload(&simulation) {
            $0.proxies.removeLast()
            $0.proxies.append(.init(name: "p2", address: endpoint))
        }
        #expect(simulation.core.proxies[2].configuration.name == "p2")
        // Agents end their connections within three seconds.
        simulation.run(until: 8_000_000)
        #expect(simulation.core.proxies[1].phase == .free)
        #expect(state(simulation, "p1") == nil)
        #expect(simulation.agents[1].failures.isEmpty)
        #expect(simulation.agents[1].responder.directors.isEmpty, "its channel was ended")
        #expect(simulation.core.transferStatus(limit: 50, now: 0).contains { $0.proxy == "p1" })
        // Now the place is another's, and history still knows whose it was.
        reload(&simulation) {
            $0.proxies.removeLast()
            $0.proxies.append(.init(name: "p2", address: endpoint))
            $0.proxies.append(.init(name: "p3", address: Endpoint(IPAddress("192.0.2.21")!, port: 6_021)))
        }
        #expect(simulation.core.proxies.map(\.configuration.name) == ["p0", "p3", "p2"])
        let rows = simulation.core.transferStatus(limit: 50, now: 0)
        #expect(rows.contains { $0.proxy == "p1" } && !rows.contains { $0.proxy == "p3" })
    }

    @Test func aProxyThatComesBackWhileItLeavesIsTheSame() {
        var simulation = ready()
        for number in 0..<10 { simulation.at(2_000_000 + UInt64(number) * 100, .arrival(UInt16(20_000 + number))) }
        simulation.run(until: 2_010_000)
        reload(&simulation) { $0.proxies.removeLast() }
        simulation.run(until: 2_050_000)
        reload(&simulation) { $0.proxies[1].weight = 7 }
        #expect(simulation.core.proxies.count == 2 && state(simulation, "p1") == "up")
        #expect(simulation.core.proxies[1].configuration.weight == 7)
        // And once it has nothing left, its channel is opened anew.
        simulation.run(until: 8_000_000)
        reload(&simulation) { $0.proxies.removeLast() }
        simulation.run(until: 8_500_000)
        #expect(state(simulation, "p1") == nil)
        reload(&simulation) { _ in }
        simulation.run(until: 9_000_000)
        #expect(state(simulation, "p1") == "up" && simulation.core.proxies.count == 2)
        #expect(simulation.workers.allSatisfy { $0.nextHops[1] != nil })
    }

    @Test func anotherNameOrMACIsTheSameProxy() {
        var simulation = ready()
        let session = simulation.core.proxies[1].channel.session
        reload(&simulation) {
            $0.proxies[1].name = "renamed"
            $0.proxies[1].mac = MACAddress(0x02_AA_BB_CC_DD_EE)
        }
        simulation.run(until: 2_010_000)
        #expect(state(simulation, "renamed") == "up" && simulation.core.proxies[1].channel.session == session)
        #expect(simulation.workers.allSatisfy { $0.nextHops[1]?.mac == MACAddress(0x02_AA_BB_CC_DD_EE) })
    }

    /// The worker marked it by the rules before; the new ones decide, wherever the rule stands by now.
    @Test func aRequestOfTheFormerRulesIsJudgedByTheNewOnes() {
        var simulation = ready()
        let held = heldRequest(rules: 1)
        func decide() -> [ControlAction] {
            held.payload.withUnsafeBytes {
                simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
            }
            defer { simulation.core.actions = [] }
            return simulation.core.actions
        }
        let toOrigin = ControlAction.command(.verdict(held.request.handle, .origin), worker: 0)
        reload(&simulation) {
            $0.rules[0].match.firstPort = 8_080
            $0.rules[0].match.lastPort = 8_080
        }
        #expect(decide() == [toOrigin], "the rule is about another port now")
        #expect(simulation.core.counters[.noRule] == 1)
        reload(&simulation) { configuration in
            var other = DirectorConfiguration.Rule(name: "mail")
            other.match.applications = .smtp
            configuration.rules.insert(other, at: 0)
        }
        #expect(!decide().contains(toOrigin), "bit 0 was another rule's; the second one fits")
        #expect(simulation.core.transfers.count == 1)
        #expect(simulation.core.transferStatus(limit: 1, now: 0)[0].rule == "all")
    }

    @Test func tablesOfRulesLiveUntilEveryWorkerHasTheNext() {
        var simulation = ready()
        reload(&simulation) { $0.rules[0].hosts = ["a.example"] }
        reload(&simulation) { $0.rules[0].hosts = ["b.example"] }
        #expect(simulation.core.ruleTables.generations == [1, 2])
        simulation.core.ruleTables.inForce(2, worker: 0)
        simulation.core.ruleTables.inForce(1, worker: 1)
        #expect(simulation.core.ruleTables.generations == [1, 2])
        simulation.core.ruleTables.inForce(2, worker: 1)
        #expect(simulation.core.ruleTables.generations == [2])
    }

    @Test func whatARestartIsNeededForRefusesAll() {
        var simulation = ready()
        let refusal = reload(&simulation) {
            $0.workers.count = 4
            $0.ports.queues = 2
            $0.proxies.removeLast()
        }
        #expect(
            refusal
                == "only a restart can change ports.queues (1 → 2), workers.count (1 → 4): restart batond, or take it back"
        )
        let other = KeyRing(keys: [1: [UInt8](repeating: 8, count: 32)], current: 1)
        #expect(reload(&simulation, keys: other) { $0.proxies.removeLast() }?.hasPrefix("key 1 is another one") == true)
        let many = reload(&simulation) { configuration in
            configuration.proxies = (0..<255).map {
                .init(name: "n\($0)", address: Endpoint(IPAddress("192.0.3.1")!, port: 1_000 + UInt16($0)))
            }
        }
        #expect(many?.hasPrefix("there is room for 253 more proxies and 255 are new") == true)
        #expect(simulation.core.proxyStatus().map(\.state) == ["up", "up"])
        #expect(simulation.core.rulesGeneration == 0)
        #expect(simulation.core.configuration == simulation.start)
    }

    @Test func timesOfTheChannelReachTheAgentByANewSession() {
        var simulation = ready()
        let sessions = simulation.core.proxies.map(\.channel.session)
        reload(&simulation) {
            $0.crtp.channel.keepaliveMicroseconds = 100_000
            $0.timeout.ceilingMicroseconds = 9_000
            $0.timeout.initialMicroseconds = 9_000
            $0.crtp.algorithm = .leastLoad
            $0.logLevel = "error"
        }
        simulation.run(until: 2_100_000)
        #expect(zip(sessions, simulation.core.proxies).allSatisfy { $0 != $1.channel.session })
        #expect(state(simulation, "p0") == "up" && !simulation.logs.contains { $0.event == "proxy down" })
        let before = simulation.core.proxies.map { $0.channel.counters.sent }
        simulation.run(until: 3_100_000)
        #expect(zip(before, simulation.core.proxies).allSatisfy { $1.channel.counters.sent - $0 >= 9 })
        #expect(simulation.core.proxies.allSatisfy { $0.estimator.settings.ceilingMicroseconds == 9_000 })
        #expect(simulation.core.algorithms().rules == ["all": "least-load"])
    }

    @Test func whatAnOperatorChangedIsWhatAReloadComparesWith() {
        var simulation = ready()
        _ = simulation.core.setAlgorithm(.mostLoad)
        #expect(
            simulation.core.changes(to: simulation.start) == [
                ConfigurationChange(.changed, "crtp.algorithm", from: "most-load", to: "round-robin")
            ])
        reload(&simulation) { _ in }
        #expect(simulation.core.algorithms().algorithm == "round-robin")
    }
}
