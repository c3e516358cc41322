import CRTP
import Control
import Testing

/// Keys that change while transfers are under way, with real channels at both ends.
@Suite struct KeyTests {
    private static let both = KeyRing(
        keys: [1: Simulation.keys.keys[1]!, 2: [UInt8](repeating: 9, count: 32)], current: 1)
    private static let files: [UInt8: KeyFile] = [1: KeyFile(path: "/k/1"), 2: KeyFile(path: "/k/2", notBefore: 100)]

    private func ready(agentsHold ring: KeyRing = KeyTests.both) -> Simulation {
        var simulation = Simulation(seed: 7, .init())
        simulation.run(until: 2_000_000)
        for index in simulation.agents.indices {
            simulation.agents[index].responder.replaceKeys(ring, now: simulation.now)
        }
        // The next KEEPALIVE_RESPONSE says so.
        simulation.run(until: 4_000_000)
        return simulation
    }

    private func rotate(
        _ simulation: inout Simulation, _ ring: KeyRing = KeyTests.both, to key: UInt8? = nil, isForced: Bool = false,
        seconds: Int64 = 1_000
    ) -> String? {
        defer { simulation.carryOut() }
        do throws(OperatorRefusal) {
            try simulation.core.rotateKeys(
                ring, files: Self.files, to: key, isForced: isForced, seconds: seconds, now: simulation.now)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func theNextKeyIsUsedByAllAndNoChannelGoesDown() {
        var simulation = ready()
        #expect(simulation.core.keyStatus().next == nil, "the director itself has not heard of it yet")
        #expect(rotate(&simulation) == nil)
        #expect(simulation.core.keyStatus().isUnderWay)
        simulation.run(until: 4_500_000)
        let status = simulation.core.keyStatus()
        #expect(status.current == 2 && status.previous == 1 && status.next == nil && !status.isUnderWay)
        #expect(status.keys.map(\.role) == ["previous", "current"])
        #expect(status.keys.map(\.file) == ["/k/1", "/k/2"])
        #expect(status.channels.map(\.key) == [2, 2])
        #expect(status.channels.map(\.held) == [[1, 2], [1, 2]])
        #expect(!simulation.logs.contains { $0.event == "proxy down" })
        // And the old key goes.
        var alone = Self.both
        alone.keys[1] = nil
        #expect(rotate(&simulation, alone, to: 2) == nil)
        #expect(simulation.core.keyStatus().keys.map(\.key) == [2])
        #expect(simulation.core.keyStatus().previous == nil)
    }

    @Test func whatCannotBeDoneChangesNothing() {
        var simulation = ready(agentsHold: Simulation.keys)
        let before = simulation.core.keyStatus()
        #expect(rotate(&simulation)?.hasPrefix("key 2 is not held by p0, p1: give it to the agent there") == true)
        #expect(rotate(&simulation, to: 9) == "crtp.keys has no key 9 that may be used; it has 1, 2")
        #expect(
            rotate(&simulation, Simulation.keys)?.hasPrefix("there is no key after 1: add one to crtp.keys") == true)
        #expect(rotate(&simulation, seconds: 40) == "key 2 may not be used for another 60 s: see its not-before")
        let other = KeyRing(keys: [1: [UInt8](repeating: 3, count: 32), 2: Self.both.keys[2]!], current: 1)
        #expect(rotate(&simulation, other) == "key 1 is another one than it was: give the new key a number of its own")
        #expect(simulation.core.keyStatus() == before)
    }

    @Test func forcedTheSessionStaysUntilTheAgentHasTheKey() {
        var simulation = ready(agentsHold: Simulation.keys)
        #expect(rotate(&simulation, isForced: true) == nil)
        simulation.run(until: 20_000_000)
        #expect(simulation.core.keyStatus().channels.map(\.key) == [1, 1])
        for index in simulation.agents.indices {
            simulation.agents[index].responder.replaceKeys(Self.both, now: simulation.now)
        }
        simulation.run(until: 23_000_000)
        #expect(simulation.core.keyStatus().channels.map(\.key) == [2, 2])
        #expect(!simulation.logs.contains { $0.event == "proxy down" })
    }
}
