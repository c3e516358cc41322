import CRTP
import Control
import InterCore
import Testing
import Wire

/// Up, drain and down, while connections live.
@Suite struct ProxyWishTests {
    private func ready() -> Simulation { .ready(seed: 11) }

    private func arrive(_ simulation: inout Simulation, _ first: UInt16, at time: UInt64) {
        for number in 0..<20 { simulation.at(time + UInt64(number) * 100, .arrival(first + UInt16(number))) }
    }

    private func set(_ simulation: inout Simulation, _ wish: ProxyWish, proxy: String = "p1") -> Bool {
        defer { simulation.carryOut() }
        return simulation.core.set(wish, proxy: proxy, now: simulation.now)
    }

    @Test func aProxyThatDrainsIsNotAskedAndKeepsItsFlows() {
        var simulation = ready()
        arrive(&simulation, 20_000, at: 2_000_000)
        simulation.run(until: 2_010_000)
        let (flows, acks) = (simulation.core.proxies[1].committed, simulation.core.proxies[1].acks)
        #expect(flows == 10 && acks == 10)
        #expect(set(&simulation, .drain))
        arrive(&simulation, 21_000, at: 2_010_000)
        simulation.run(until: 2_020_000)
        #expect(simulation.core.proxies[1].acks == acks && simulation.core.proxies[0].acks >= 30)
        #expect(simulation.core.proxies[1].isUp && simulation.core.proxyStatus()[1].state == "draining")
        #expect(simulation.core.proxyStatus()[1].administrative == .drain)
        simulation.run(until: 8_000_000)
        #expect(simulation.core.proxies[1].committed == 0, "served to their end")
        #expect(simulation.agents[1].committedCount == 10 && simulation.agents[1].adoptions.isEmpty)
        #expect(set(&simulation, .up))
        arrive(&simulation, 22_000, at: 8_000_000)
        simulation.run(until: 8_100_000)
        #expect(simulation.core.proxies[1].acks > acks)
    }

    @Test func aProxyThatIsDownHasNoChannelAndKeepsItsFlows() {
        var simulation = ready()
        arrive(&simulation, 20_000, at: 2_000_000)
        // Some are committed, some are being asked for.
        simulation.run(until: 2_001_500)
        #expect(simulation.core.proxies[1].pending > 0)
        #expect(set(&simulation, .down))
        simulation.run(until: 2_100_000)
        #expect(simulation.core.proxies[1].pending == 0, "these were another's, or the origin's")
        #expect(simulation.core.proxyStatus()[1].state == "down")
        #expect(simulation.agents[1].responder.directors.isEmpty)
        #expect(simulation.workers.allSatisfy { $0.proxiesDown == [1] })
        #expect(simulation.core.proxies[1].committed > 0)
        arrive(&simulation, 21_000, at: 2_100_000)
        simulation.run(until: 30_000_000)
        #expect(simulation.core.proxyStatus()[1].state == "down", "nobody opens it again")
        #expect(simulation.agents[1].failures.isEmpty && simulation.workers.allSatisfy { $0.failures.isEmpty })
        #expect(set(&simulation, .up))
        simulation.run(until: 31_000_000)
        #expect(simulation.core.proxyStatus()[1].state == "up")
        #expect(simulation.workers.allSatisfy { $0.proxiesDown.isEmpty })
    }

    @Test func whatIsNotThereCannotBeSet() {
        var simulation = ready()
        #expect(!set(&simulation, .drain, proxy: "p9"))
    }
}
