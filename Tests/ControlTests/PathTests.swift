import CRTP
import Control
import InterCore
import Testing
import Wire

/// Ways to proxies beyond layer 2: what workers learn of them, and what becomes of a router's word.
@Suite struct PathTests {
    private static let settings: DirectorConfiguration.EncapsulationSettings = {
        var settings = DirectorConfiguration.EncapsulationSettings(
            .gue, from: IPAddress("192.0.2.3")!, to: IPAddress("198.51.100.11")!)
        settings.mtu = 1_450
        return settings
    }()

    /// The last proxy is behind a router.
    private func ready() -> (simulation: Simulation, index: Int) {
        let simulation = Simulation.ready(seed: 5) { configuration in
            configuration.proxies[configuration.proxies.count - 1].mac = MACAddress(0x0200_0000_00FE)
            configuration.proxies[configuration.proxies.count - 1].encapsulation = Self.settings
        }
        return (simulation, simulation.core.proxies.count - 1)
    }

    private func narrow(_ simulation: inout Simulation, _ index: Int, _ mtu: UInt16) {
        let event = WorkerEvent.pathNarrowed(ProxyIndex(UInt8(index)), mtu)
        simulation.core.handle(event, payload: .init(start: nil, count: 0), worker: 0, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: simulation.now + 100_000)
    }

    @Test func workersLearnTheWayAndWhatItLeaves() throws {
        let (simulation, index) = ready()
        for worker in simulation.workers {
            let hop = try #require(worker.nextHops[UInt8(index)])
            #expect(hop.mac == MACAddress(0x0200_0000_00FE) && hop.mtu == 1_450 - 32 && hop.vlan == .untagged)
            let encapsulation = try #require(worker.encapsulations[UInt8(index)])
            #expect(encapsulation.kind == .gue && encapsulation.source == Self.settings.source)
            #expect(encapsulation.destination == Self.settings.address)
            // Others are as they were.
            #expect(worker.encapsulations.count == 1)
        }
    }

    /// Down to what every IPv4 host takes, for all workers, and for ten minutes.
    @Test func aRoutersWordCountsForAWhile() {
        var (simulation, index) = ready()
        func told(_ simulation: Simulation) -> Set<UInt16> {
            Set(simulation.workers.map { $0.nextHops[UInt8(index)]!.mtu })
        }
        narrow(&simulation, index, 1_400)
        #expect(told(simulation) == [1_368])
        // A wider way is none of a router's business; nor is a proxy on the wire.
        narrow(&simulation, index, 1_449)
        narrow(&simulation, 0, 600)
        #expect(told(simulation) == [1_368])
        #expect(simulation.workers.allSatisfy { $0.nextHops[0]!.mtu != 600 })
        narrow(&simulation, index, 68)
        #expect(told(simulation) == [544])
        narrow(&simulation, 200, 68)
        #expect(hops(&simulation, index, after: 599_000_000) == [])
        #expect(simulation.core.pathsDueAt != nil)
        #expect(hops(&simulation, index, after: 601_000_000) == [1_418])
        #expect(simulation.core.pathsDueAt == nil)
    }

    /// What workers would be told of the way when so much time has gone by.
    private func hops(_ simulation: inout Simulation, _ index: Int, after microseconds: UInt64) -> Set<UInt16> {
        simulation.core.advance(to: simulation.now + microseconds)
        defer { simulation.core.actions = [] }
        return Set(
            simulation.core.actions.compactMap { action in
                guard case .command(.proxy(ProxyIndex(UInt8(index)), let hop), _) = action else { return nil }
                return hop.mtu
            })
    }

    @Test func overIPv6NoWayIsNarrowerThan1280() {
        var settings = Self.settings
        (settings.source, settings.address) = (IPAddress("2001:db8::3")!, IPAddress("2001:db8:1::11")!)
        #expect(settings.narrowestPath == 1_280 && settings.innerMTU(path: 1_280) == 1_280 - 52)
        settings.kind = .vxlan
        #expect(settings.innerMTU(path: 1_500) == 1_430)
        settings.kind = .ipip
        #expect(settings.innerMTU(path: 1_500) == 1_460 && settings.innerMTU(path: 10) == 0)
    }

    /// Flows note whether their proxy is beyond layer 2.
    @Test func aReloadDoesNotChangeWhetherAProxyIsEncapsulated() {
        let start = Simulation.ready(seed: 5).start
        var other = start
        other.proxies[0].encapsulation = Self.settings
        let changes = start.changes(to: other)
        #expect(changes.contains { $0.key.hasSuffix("encapsulation.kind") && $0.needsRestart })
        var narrower = other
        narrower.proxies[0].encapsulation?.mtu = 1_300
        #expect(other.changes(to: narrower).allSatisfy { !$0.needsRestart })
    }
}
