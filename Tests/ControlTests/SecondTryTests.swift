import CRTP
import Control
import InterCore
import Testing
import Wire

/// Proxies that refuse, are silent, or are always late; and what becomes of the requests.
@Suite struct SecondTryTests {
    private func ready(
        _ conditions: Simulation.Conditions, adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) -> Simulation {
        .ready(seed: 7, conditions) {
            $0.logLevel = "info"
            adjust(&$0)
        }
    }

    /// Requests one after the other, each for the same object.
    private func ask(_ simulation: inout Simulation, _ count: UInt16, everyMicroseconds pause: UInt64 = 100_000) {
        let start = simulation.now
        for number in 0..<count {
            simulation.at(
                start + UInt64(number) * pause, .arrival(UInt16(1_000 + start / 100_000 % 50 * 1_000) + number))
        }
        simulation.run(until: start + UInt64(count) * pause)
    }

    private func poor() -> Simulation.Conditions {
        var conditions = Simulation.Conditions()
        conditions.poorAgents = [0]
        return conditions
    }

    private func slow() -> Simulation.Conditions {
        var conditions = Simulation.Conditions()
        conditions.slowAgents = [0: 300_000...300_000]
        return conditions
    }

    @Test func whatOneLacksTheOtherIsAskedFor() {
        var simulation = ready(poor()) { $0.crtp.choice.refusalLifetimeMicroseconds = 0 }
        ask(&simulation, 10)
        let core = simulation.core
        #expect(core.counters[.committed] == 10 && core.counters[.nack] == 0)
        #expect(core.counters[.passedOn] == 5 && core.proxies.map(\.nacks) == [5, 0] && core.proxies[0].passedOn == 5)
        // The first proxy's part is there to be seen, the request's own end is another row.
        let rows = core.transferStatus(limit: 100, now: simulation.now)
        #expect(rows.count { $0.state == "passedOn" && $0.reason == "notFound" && $0.proxy == "p0" } == 5)
        #expect(rows.count { $0.state == "committed" && $0.proxy == "p1" } == 10)
    }

    @Test func oneTryIsOneTry() {
        var simulation = ready(poor()) {
            $0.crtp.choice.refusalLifetimeMicroseconds = 0
            $0.crtp.choice.tries = 1
        }
        ask(&simulation, 10)
        #expect(simulation.core.counters[.nack] == 5 && simulation.core.counters[.passedOn] == 0)
    }

    @Test func aRefusalIsRememberedForItsContentAndProxy() {
        var simulation = ready(poor()) { $0.crtp.choice.refusalLifetimeMicroseconds = 10_000_000 }
        ask(&simulation, 10)
        #expect(simulation.core.counters[.committed] == 10 && simulation.core.proxies.map(\.nacks) == [1, 0])
        // An agent that starts anew may have it now.
        simulation.at(simulation.now, .restartAgent(1))
        simulation.run(until: simulation.now + 5_000_000)
        ask(&simulation, 4)
        #expect(simulation.core.proxies.map(\.nacks) == [2, 0] && simulation.core.counters[.committed] == 14)
    }

    @Test func whatAllHaveRefusedGoesToTheOriginUnasked() {
        var conditions = poor()
        conditions.poorAgents = [0, 1]
        var simulation = ready(conditions) { $0.crtp.choice.refusalLifetimeMicroseconds = 10_000_000 }
        ask(&simulation, 10)
        #expect(simulation.core.counters[.nack] == 1 && simulation.core.counters[.refusedBefore] == 9)
        #expect(simulation.core.proxies.map(\.nacks) == [1, 1])
        // Another object is another question.
        let other = heldRequest(path: "/other", port: 9, handle: FlowHandle(worker: 0, index: 9_999, generation: 1))
        other.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(other.request), payload: $0, worker: 0, now: simulation.now)
        }
        #expect(simulation.core.pendingCount == 1)
    }

    /// A TRANSFER that is sent again before its answer is there is answered twice.
    @Test func anAnswerThatComesTwiceCountsOnce() {
        var conditions = poor()
        conditions.poorAgents = [0, 1]
        conditions.slowAgents = [0: 3_000...9_000, 1: 3_000...9_000]
        var simulation = ready(conditions) {
            $0.timeout.floorMicroseconds = 20_000
            $0.crtp.choice.refusalLifetimeMicroseconds = 0
            $0.crtp.choice.tries = 1
        }
        ask(&simulation, 10)
        let core = simulation.core
        #expect(core.counters[.nack] == 10 && core.counters[.staleAnswer] > 0)
        #expect(core.proxies.map(\.nacks).reduce(0, +) == 10)
    }

    @Test func aSilentProxysRequestsGoOnAndItIsCalledBack() {
        var conditions = slow()
        conditions.slowAgents = [0: 100_000...100_000]
        conditions.isForgetful = true
        var simulation = ready(conditions) { $0.crtp.choice.setAsideAfter = 0 }
        ask(&simulation, 10)
        simulation.run(until: simulation.now + 2_000_000)
        let core = simulation.core
        #expect(core.counters[.committed] == 10 && core.counters[.passedOn] >= 4)
        // Each adoption of the late one was called back, and none of the other's.
        #expect(
            simulation.agents.allSatisfy { $0.failures.isEmpty } && core.counters[.late] == core.counters[.passedOn])
        #expect(
            simulation.agents[0].adoptions.isEmpty && core.proxies.map(\.committed).reduce(0, +) == core.transfers.count
        )
        #expect(simulation.agents[0].committedCount == 0 && simulation.agents[1].committedCount == 10)
    }

    @Test func bothTriesEndBeforeTheWorkersBackstop() {
        var conditions = slow()
        conditions.slowAgents[1] = 300_000...300_000
        var simulation = ready(conditions) {
            $0.timeout.ceilingMicroseconds = 500_000
            $0.timeout.initialMicroseconds = 60_000
            $0.timeout.floorMicroseconds = 60_000
            $0.crtp.choice.setAsideAfter = 0
        }
        ask(&simulation, 4)
        let limit = simulation.core.longestTimeoutMicroseconds
        let rows = simulation.core.transferStatus(limit: 100, now: simulation.now)
        #expect(rows.count >= 4 && rows.allSatisfy { $0.tookMicroseconds <= limit + 1_000 })
        #expect(simulation.core.counters[.timeout] == 4)
    }

    @Test func aProxyThatTimesOutRepeatedlyIsSetAsideAndProbedBackIn() {
        var simulation = ready(slow()) { $0.crtp.choice.setAsideAfter = 2 }
        ask(&simulation, 20)
        #expect(simulation.core.proxies[0].isSuspect && simulation.core.proxies[0].passedOn == 2)
        #expect(simulation.core.proxyStatus().map(\.state) == ["suspect", "up"])
        #expect(simulation.logs.count { $0.event == "proxy set aside" } == 1)
        // Probes are nobody's request: every client was served, and none by a probe.
        let probes = simulation.core.proxies[0].probes
        #expect(probes >= 2 && probes <= 5 && simulation.core.counters[.committed] == 20)
        #expect(simulation.core.counters[.observedTimeout] == 0 && simulation.agents[0].committedCount == 0)
        simulation.conditions.slowAgents = [:]
        ask(&simulation, 20)
        #expect(!simulation.core.proxies[0].isSuspect && simulation.core.suspectCount == 0)
        #expect(simulation.agents[0].committedCount > 0 && simulation.core.counters[.committed] == 40)
    }

    @Test func whatWasUnderWayTogetherIsOneTimeout() {
        var simulation = ready(slow()) { $0.crtp.choice.setAsideAfter = 2 }
        ask(&simulation, 20, everyMicroseconds: 10)
        simulation.run(until: simulation.now + 200_000)
        #expect(simulation.core.proxies[0].timeouts == 10 && simulation.core.proxies[0].consecutiveTimeouts == 1)
        #expect(!simulation.core.proxies[0].isSuspect)
        ask(&simulation, 2, everyMicroseconds: 10)
        simulation.run(until: simulation.now + 200_000)
        #expect(simulation.core.proxies[0].isSuspect)
    }

    @Test func nobodySetAsideMeansTheOriginAndAProbe() {
        var conditions = slow()
        conditions.slowAgents[1] = 300_000...300_000
        var simulation = ready(conditions) { $0.crtp.choice.setAsideAfter = 1 }
        ask(&simulation, 10)
        #expect(simulation.core.suspectCount == 2 && simulation.core.counters[.noProxy] >= 8)
        #expect(simulation.core.proxies.allSatisfy { $0.probes > 0 })
    }
}
