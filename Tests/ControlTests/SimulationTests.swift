import CRTP
import Control
import InterCore
import Testing
import Wire

@Suite struct SimulationTests {
    /// Rules and proxies that come and go meanwhile split no connection and leave nothing behind.
    @Test(arguments: 31...38 as ClosedRange<UInt64>) func reloadsUnderTrafficSplitNoConnection(seed: UInt64) {
        var conditions = Simulation.Conditions()
        conditions.lossPercent = Int(seed % 3) * 5
        conditions.duplicationPercent = 5
        conditions.delayMicroseconds = 50...4_000
        conditions.resetBy = seed % 2 == 0 ? .director : .proxy
        let simulation = run(seed: seed, conditions) { simulation in
            for number in 0..<12 { simulation.at(2_600_000 + UInt64(number) * 350_000, .reload(number)) }
        }
        check(simulation, "seed \(seed)")
        #expect(simulation.core.rulesGeneration == 12)
        #expect(simulation.core.ruleTables.generations.count == 1, "the former ones were freed")
        #expect(simulation.workers.allSatisfy { $0.rules.count == 12 })
        #expect(simulation.core.proxies.allSatisfy { $0.phase == .active })
    }

    /// Requests for some seconds under these conditions, then quiet until everything has drained.
    private func run(
        seed: UInt64, _ conditions: Simulation.Conditions, requests: Int = 400,
        prepare: (inout Simulation) -> Void = { _ in }
    ) -> Simulation {
        var simulation = Simulation(seed: seed, conditions)
        prepare(&simulation)
        for number in 0..<requests {
            let time = 2_500_000 + UInt64.random(in: 0...4_000_000, using: &simulation.random)
            simulation.at(time, .arrival(UInt16(10_000 + number)))
        }
        if conditions.agentRestarts {
            for index in 0..<2 {
                let time = 3_000_000 + UInt64.random(in: 0...2_000_000, using: &simulation.random)
                simulation.at(time, .restartAgent(index))
            }
        }
        simulation.run(until: 150_000_000)
        // Flows that a restarted agent has lost end by their idle time.
        for worker in 0..<2 {
            for (index, flow) in simulation.workers[worker].flows {
                guard case .committed = flow.phase, simulation.restarts > 0 else { continue }
                let handle = simulation.workers[worker].handle(index)
                for event in simulation.workers[worker].end(handle, .idle) {
                    [UInt8]().withUnsafeBytes {
                        simulation.core.handle(event, payload: $0, worker: worker, now: simulation.now)
                    }
                }
            }
        }
        simulation.run(until: 160_000_000)
        return simulation
    }

    private func check(_ simulation: Simulation, requests: Int = 400, _ comment: Comment) {
        for agent in simulation.agents {
            #expect(agent.failures.isEmpty, comment)
            #expect(agent.adoptions.isEmpty, comment)
        }
        var committed = 0
        var finished = 0
        for worker in simulation.workers {
            #expect(worker.failures.isEmpty, comment)
            for flow in worker.flows.values {
                #expect(flow.commits <= 1, comment)
                switch flow.phase {
                case .held, .committed: Issue.record(comment)
                case .aborted: #expect(flow.commits == 0, comment)
                case .ended:
                    committed += 1
                    #expect(flow.isOriginReset, comment)
                }
                finished += 1
            }
        }
        #expect(finished == requests, comment)
        let core = simulation.core
        #expect(core.transfers.count == 0 && core.pendingCount == 0 && core.recallCount == 0, comment)
        #expect(core.wheel.count == 0 && core.installs.count == 0, comment)
        #expect(core.proxies.allSatisfy { $0.pending == 0 && $0.committed == 0 }, comment)
        #expect(core.counters[.committed] == UInt64(committed), comment)
        if simulation.restarts == 0 {
            #expect(simulation.agents.map(\.committedCount).reduce(0, +) == committed, comment)
        }
        #expect(core.counters[.unconfirmed] == 0 && core.counters[.misjudged] == 0, comment)
        let outcomes = TransferOutcome.Ending.allCases.map { core.counters[$0] }.reduce(0, +)
        #expect(outcomes == UInt64(requests), comment)
        #expect(simulation.workers.allSatisfy { $0.recoveryEndedCount == 1 }, comment)
    }

    @Test func aCalmNetworkCommitsWhatAgentsAccept() {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = 200...300
        let simulation = run(seed: 1, conditions)
        check(simulation, "calm")
        #expect(simulation.core.counters[.committed] == 400)
        #expect(simulation.core.counters[.late] == 0)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>) func aBadNetworkNeverSplitsAConnection(seed: UInt64) {
        var conditions = Simulation.Conditions()
        conditions.lossPercent = Int(seed * 3 % 31)
        conditions.duplicationPercent = 10
        conditions.delayMicroseconds = 50...(seed % 2 == 0 ? 4_000 : 12_000)
        conditions.stragglerMicroseconds = 200_000
        conditions.agentMicroseconds = 50...(seed % 3 == 0 ? 60_000 : 8_000)
        conditions.clientResetPercent = 5
        conditions.isForgetful = seed % 4 == 1
        conditions.resetBy = seed % 2 == 0 ? .director : .proxy
        check(run(seed: seed, conditions), "seed \(seed)")
    }

    /// One agent is always too late and the other not: both adopt the same connection again and again.
    @Test(arguments: 31...36 as ClosedRange<UInt64>) func aSecondTryNeverSplitsAConnection(seed: UInt64) {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = 200...300
        conditions.slowAgents = [0: 3_000...120_000]
        conditions.lossPercent = seed % 2 == 0 ? 10 : 0
        conditions.duplicationPercent = 5
        conditions.stragglerMicroseconds = 50_000
        conditions.clientResetPercent = 5
        conditions.isForgetful = seed % 3 == 0
        conditions.resetBy = seed % 2 == 0 ? .director : .proxy
        let simulation = run(seed: seed, conditions)
        check(simulation, "seed \(seed)")
        #expect(simulation.core.counters[.passedOn] > 0 && simulation.core.proxies[0].probes > 0, "seed \(seed)")
    }

    /// Connections go to and fro between three proxies, while messages are lost, come twice and late, agents refuse and
    /// are late, and connections end in between: at every instant the one that answers is the one that the worker
    /// sends to.
    @Test(arguments: 41...56 as ClosedRange<UInt64>) func connectionsThatMoveHaveOneServer(seed: UInt64) {
        var conditions = Simulation.Conditions()
        conditions.agentCount = 3
        conditions.laterRequests = .move
        conditions.handBackPercent = 70
        conditions.acceptPercent = 80
        conditions.lossPercent = Int(seed * 3 % 25)
        conditions.duplicationPercent = 20
        conditions.delayMicroseconds = 50...(seed % 2 == 0 ? 4_000 : 12_000)
        conditions.stragglerMicroseconds = 200_000
        conditions.agentMicroseconds = 50...(seed % 3 == 0 ? 60_000 : 8_000)
        conditions.ringMicroseconds = 1...(seed % 5 == 0 ? 30_000 : 300)
        conditions.clientResetPercent = 5
        conditions.agentRestarts = seed % 8 == 0
        let simulation = run(seed: seed, conditions)
        for agent in simulation.agents {
            #expect(agent.failures.isEmpty, "seed \(seed): \(agent.failures.prefix(3))")
            #expect(agent.adoptions.isEmpty && agent.offers.isEmpty, "seed \(seed)")
        }
        let core = simulation.core
        for flow in simulation.workers.flatMap(\.flows.values) {
            switch flow.phase {
            case .held, .committed: Issue.record("seed \(seed): \(flow)")
            case .aborted: #expect(flow.commits == 0, "seed \(seed)")
            case .ended: #expect(flow.commits <= 1 && flow.isOriginReset, "seed \(seed)")
            }
        }
        #expect(core.transfers.count == 0 && core.pendingCount == 0 && core.recallCount == 0, "seed \(seed)")
        #expect(core.wheel.count == 0 && core.moves.isEmpty, "seed \(seed)")
        #expect(core.proxies.allSatisfy { $0.pending == 0 && $0.committed == 0 && $0.transfers == 0 }, "seed \(seed)")
        #expect(core.counters[.unconfirmed] == 0 && core.counters[.misjudged] == 0, "seed \(seed)")
        let moved = simulation.workers.map(\.movedCount).reduce(0, +)
        #expect(moved > 30 && core.counters[.moveRefused] > 0, "seed \(seed)")
        #expect(simulation.agents.map(\.movedAway).reduce(0, +) <= moved, "seed \(seed)")
    }

    @Test(arguments: 21...26 as ClosedRange<UInt64>) func agentsThatRestartLeaveNothingBehind(seed: UInt64) {
        var conditions = Simulation.Conditions()
        conditions.lossPercent = 5
        conditions.duplicationPercent = 5
        conditions.delayMicroseconds = 50...4_000
        conditions.agentRestarts = true
        check(run(seed: seed, conditions), "seed \(seed)")
    }
}
