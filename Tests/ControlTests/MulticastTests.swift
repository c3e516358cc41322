import CRTP
import Control
import InterCore
import Testing
import Wire

/// A whole group asked at once, through the simulation's agents, workers and network.
@Suite struct MulticastTests {
    private func ready(
        seed: UInt64 = 11, _ conditions: Simulation.Conditions = .init(),
        adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) -> Simulation {
        var simulation = Simulation(seed: seed, conditions) {
            $0.crtp.multicast = .init(group: Simulation.group)
            $0.crtp.algorithm = .multicast
            $0.crtp.choice.refusalLifetimeMicroseconds = 0
            adjust(&$0)
        }
        simulation.run(until: 2_300_000)
        return simulation
    }

    private func calm() -> Simulation.Conditions {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = 200...400
        return conditions
    }

    private func ask(_ simulation: inout Simulation, _ count: UInt16) {
        let start = simulation.now
        for number in 0..<count { simulation.at(start + UInt64(number) * 50_000, .arrival(1_000 + number)) }
        simulation.run(until: start + UInt64(count) * 50_000)
    }

    private func drain(_ simulation: inout Simulation) { simulation.run(until: simulation.now + 150_000_000) }

    @Test func theFirstThatAcceptsGetsTheRequestAndTheOthersAreCalledBack() {
        var simulation = ready(calm())
        #expect(simulation.core.proxies.allSatisfy { $0.isInGroup })
        ask(&simulation, 20)
        #expect(simulation.core.counters[.committed] == 20 && simulation.core.counters[.late] == 0)
        #expect(simulation.core.counters[.passedOn] == 0 && simulation.core.counters[.cancelled] >= 20)
        // Both were asked each time, and both served some.
        #expect(simulation.core.proxies.allSatisfy { $0.acks == 20 })
        #expect(simulation.agents.allSatisfy { $0.committedCount > 0 && $0.failures.isEmpty })
        #expect(simulation.agents.map(\.committedCount).reduce(0, +) == 20)
        drain(&simulation)
        #expect(simulation.agents.allSatisfy(\.adoptions.isEmpty) && simulation.core.transfers.count == 0)
    }

    @Test func oneDatagramAsksThemAll() {
        var conditions = calm()
        conditions.agentMicroseconds = 200...200
        conditions.delayMicroseconds = 50...60
        var simulation = ready(conditions) { $0.timeout.floorMicroseconds = 20_000 }
        ask(&simulation, 10)
        #expect(simulation.groupDatagrams == 10 && simulation.core.counters[.committed] == 10)
    }

    @Test func whatOneLacksAnotherServesAndWhatAllLackIsTheOriginsAtOnce() {
        var conditions = calm()
        conditions.poorAgents = [0]
        var simulation = ready(conditions)
        ask(&simulation, 10)
        #expect(simulation.core.counters[.committed] == 10 && simulation.core.proxies.map(\.nacks) == [10, 0])
        simulation.conditions.poorAgents = [0, 1]
        let before = simulation.core.decisionTimes.sumMicroseconds
        for number in 0..<10 as Range<UInt16> {
            simulation.at(simulation.now + UInt64(number) * 50_000, .arrival(3_000 + number))
        }
        simulation.run(until: simulation.now + 500_000)
        #expect(simulation.core.counters[.nack] == 10 && simulation.core.counters[.timeout] == 0)
        #expect(simulation.core.decisionTimes.sumMicroseconds - before < 10 * 2_000)
    }

    @Test func aSilentMemberCostsNobodyTime() {
        var conditions = calm()
        conditions.slowAgents = [0: 200_000...200_000]
        var simulation = ready(conditions)
        ask(&simulation, 10)
        #expect(simulation.core.counters[.committed] == 10 && simulation.agents[1].committedCount == 10)
        #expect(simulation.core.decisionTimes.sumMicroseconds < 10 * 3_000)
        drain(&simulation)
        #expect(simulation.agents.allSatisfy { $0.adoptions.isEmpty && $0.failures.isEmpty })
    }

    @Test func allSilentIsOneTimeoutAndAllAreCalledBack() {
        var conditions = calm()
        conditions.slowAgents = [0: 60_000...60_000, 1: 80_000...80_000]
        conditions.isForgetful = true
        var simulation = ready(conditions) { $0.crtp.choice.setAsideAfter = 0 }
        ask(&simulation, 3)
        simulation.run(until: simulation.now + 300_000)
        #expect(simulation.core.counters[.timeout] == 3 && simulation.core.proxies.map(\.timeouts) == [3, 3])
        #expect(simulation.core.counters[.late] == 6)
        drain(&simulation)
        #expect(simulation.agents.allSatisfy(\.adoptions.isEmpty) && simulation.core.transfers.count == 0)
    }

    @Test func aDrainedMemberIsCalledBackBeforeItAdopts() {
        var simulation = ready(calm()) { configuration in
            configuration.proxies.append(.init(name: "p2", address: Endpoint(IPAddress("192.0.2.13")!, port: 9)))
        }
        // Of three, one is not there: two are wanted. With one of these drained, the other is asked alone.
        let isDraining = simulation.core.set(.drain, proxy: "p0", now: simulation.now)
        #expect(isDraining)
        ask(&simulation, 10)
        #expect(simulation.agents[0].committedCount == 0 && simulation.agents[1].committedCount == 10)
        #expect(simulation.groupDatagrams == 0 && simulation.core.counters[.committed] == 10)
    }

    @Test func aNewKeyIsANewGroup() throws {
        var simulation = ready(calm())
        let before = try #require(simulation.core.group?.description)
        simulation.core.useKeys(simulation.core.keys.ring, files: [:], now: simulation.now)
        simulation.carryOut()
        let after = try #require(simulation.core.group?.description)
        #expect(after.session != before.session && after.nonce != before.nonce)
        #expect(simulation.core.proxies.allSatisfy { !$0.isInGroup })
        simulation.run(until: simulation.now + 2_500_000)
        #expect(simulation.core.proxies.allSatisfy { $0.isInGroup })
        ask(&simulation, 5)
        #expect(simulation.core.counters[.committed] == 5 && simulation.groupDatagrams >= 5)
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>) func aBadNetworkNeverSplitsAConnection(seed: UInt64) {
        var conditions = Simulation.Conditions()
        conditions.lossPercent = Int(seed * 5 % 31)
        conditions.duplicationPercent = 10
        conditions.delayMicroseconds = 50...(seed % 2 == 0 ? 4_000 : 12_000)
        conditions.stragglerMicroseconds = 200_000
        conditions.agentMicroseconds = 50...(seed % 3 == 0 ? 60_000 : 8_000)
        conditions.clientResetPercent = 5
        conditions.isForgetful = seed % 4 == 1
        conditions.resetBy = seed % 2 == 0 ? .director : .proxy
        var simulation = ready(seed: seed, conditions)
        // Some handshakes take many tries.
        while !simulation.core.proxies.allSatisfy(\.isInGroup), simulation.now < 120_000_000 {
            simulation.run(until: simulation.now + 1_000_000)
        }
        for number in 0..<300 as Range<UInt16> {
            let time = simulation.now + UInt64.random(in: 0...3_000_000, using: &simulation.random)
            simulation.at(time, .arrival(number + 1_000))
        }
        drain(&simulation)
        drain(&simulation)
        for agent in simulation.agents { #expect(agent.failures.isEmpty && agent.adoptions.isEmpty, "seed \(seed)") }
        for worker in simulation.workers {
            #expect(worker.failures.isEmpty && worker.flows.values.allSatisfy { $0.commits <= 1 }, "seed \(seed)")
            #expect(worker.flows.values.allSatisfy { $0.phase != .held }, "seed \(seed)")
        }
        let core = simulation.core
        #expect(core.transfers.count == 0 && core.pendingCount == 0 && core.recallCount == 0, "seed \(seed)")
        let outcomes = TransferOutcome.Ending.allCases.map { core.counters[$0] }.reduce(0, +)
        #expect(outcomes == 300 && core.counters[.committed] > 0 && simulation.groupDatagrams > 0, "seed \(seed)")
        #expect(core.counters[.misjudged] == 0 && core.counters[.unconfirmed] == 0, "seed \(seed)")
    }
}
