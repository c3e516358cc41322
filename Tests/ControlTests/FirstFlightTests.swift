import CRTP
import Control
import InterCore
import Testing
import Wire

/// Flows of UDP datagrams in the control core, through the simulation's channels and agents.
@Suite struct FirstFlightTests {
    private func ready(acceptPercent: Int = 100) -> Simulation {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = acceptPercent
        conditions.agentMicroseconds = 200...300
        var simulation = Simulation(seed: 7, conditions) { configuration in
            var quic = DirectorConfiguration.Rule(name: "quic")
            quic.match.applications = .quic
            quic.hosts = ["*.example.org"]
            quic.alpn = .http3
            var dns = DirectorConfiguration.Rule(name: "dns")
            dns.match.applications = .dns
            dns.hosts = ["www.example.org"]
            configuration.rules = [quic, dns]
        }
        simulation.run(until: 2_000_000)
        return simulation
    }

    private func held(_ application: Application, _ index: UInt32 = 1) -> HeldDatagram {
        HeldDatagram(
            handle: FlowHandle(worker: 0, index: index | FlowHandle.datagramBit, generation: 3),
            key: FlowKey(
                client: IPAddress("203.0.113.5")!, clientPort: 40_000, server: IPAddress("198.51.100.80")!,
                serverPort: application == .dns ? 53 : 443),
            application: application, rules: application == .dns ? 2 : 1, heldAt: 0)
    }

    private func query(_ name: String) -> [UInt8] {
        let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        return [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + labels + [0, 0, 1, 0, 1]
    }

    private func show(_ simulation: inout Simulation, _ datagram: HeldDatagram, _ payload: [UInt8]) {
        payload.withUnsafeBytes {
            simulation.core.handle(.datagramHeld(datagram), payload: $0, worker: 0, now: simulation.now)
        }
    }

    private func tell(_ simulation: inout Simulation, _ event: WorkerEvent) {
        simulation.core.handle(event, payload: .init(start: nil, count: 0), worker: 0, now: simulation.now)
    }

    private func state(_ simulation: Simulation, _ handle: FlowHandle) -> TransferState? {
        simulation.core.transfers.slot(handle: handle).map { simulation.core.transfers[$0].machine.state }
    }

    private func verdictOrigin(_ handle: FlowHandle) -> ControlAction { .command(.verdict(handle, .origin), worker: 0) }

    @Test func aQueryIsAskedByNameAndOverWithItsCommit() {
        var simulation = ready()
        let datagram = held(.dns)
        show(&simulation, datagram, query("WWW.example.org"))
        simulation.carryOut()
        simulation.run(until: simulation.now + 3_000)
        #expect(state(simulation, datagram.handle) == .granting)
        let asked = simulation.agents.flatMap { $0.adoptions.values.map(\.key) }
        #expect(asked == [datagram.key])
        tell(&simulation, .committed(datagram.handle))
        #expect(state(simulation, datagram.handle) == nil && simulation.core.flights.count == 0)
        #expect(simulation.core.counters[.committed] == 1)
        #expect(simulation.core.proxies.allSatisfy { $0.committed == 0 && $0.pending == 0 })
    }

    /// The agent has nothing of such a flow: neither its restart nor its announcement ends it.
    @Test func aQUICFlowOutlivesItsAgent() {
        var simulation = ready()
        let datagram = held(.quic)
        show(&simulation, datagram, Datagrams.postQuantumSecond)
        #expect(simulation.core.actions.isEmpty && simulation.core.flights.count == 1)
        show(&simulation, datagram, Datagrams.postQuantumFirst)
        // One more of the same flight changes nothing.
        let asked = simulation.core.actions.count
        show(&simulation, datagram, Datagrams.postQuantumFirst)
        #expect(simulation.core.actions.count == asked && asked == 1)
        simulation.carryOut()
        simulation.run(until: simulation.now + 3_000)
        tell(&simulation, .committed(datagram.handle))
        #expect(state(simulation, datagram.handle) == .committed && simulation.core.flights.count == 0)
        for index in simulation.agents.indices { simulation.at(simulation.now + 10_000, .restartAgent(index)) }
        simulation.run(until: simulation.now + 20_000_000)
        #expect(simulation.core.proxies.allSatisfy { $0.isUp })
        #expect(state(simulation, datagram.handle) == .committed)
        tell(&simulation, .flowEnded(datagram.handle, .idle))
        #expect(state(simulation, datagram.handle) == nil)
    }

    @Test func aRefusalAndWhatCannotBeReadAreTheOrigins() {
        var simulation = ready(acceptPercent: 0)
        let datagram = held(.quic)
        show(&simulation, datagram, Datagrams.postQuantumFirst)
        show(&simulation, datagram, Datagrams.postQuantumSecond)
        simulation.carryOut()
        simulation.run(until: simulation.now + 3_000)
        #expect(state(simulation, datagram.handle) == .releasing)
        tell(&simulation, .aborted(datagram.handle, .verdictOrigin))
        #expect(state(simulation, datagram.handle) == nil && simulation.core.flights.count == 0)
        #expect(simulation.core.counters[.nack] == 1)

        for (index, payload) in [query("www"), Array(query("www.example.org").dropLast())].enumerated() {
            let other = held(.dns, 10 + UInt32(index))
            show(&simulation, other, payload)
            #expect(simulation.core.actions == [verdictOrigin(other.handle)])
            simulation.core.actions = []
        }
        #expect(simulation.core.counters[.noRule] == 1 && simulation.core.counters[.unreadable] == 1)
        // The RFC's example offers another protocol than HTTP/3.
        let other = held(.quic, 20)
        show(&simulation, other, Datagrams.version1)
        #expect(simulation.core.counters[.noRule] == 2)
    }

    @Test func aHoldThatEndsByItselfIsForgotten() {
        var simulation = ready()
        let datagram = held(.quic)
        show(&simulation, datagram, Datagrams.postQuantumFirst)
        tell(&simulation, .aborted(datagram.handle, .backstop))
        #expect(simulation.core.flights.count == 0 && simulation.core.actions.isEmpty)
    }

    @Test func flightsAreBounded() {
        var flights = FirstFlights()
        let payload = Datagrams.postQuantumFirst
        for index in 0..<3 as Range<UInt32> {
            let reading = payload.withUnsafeBytes { flights.read(held(.quic, index), $0, limit: 2) }
            #expect(reading == (index < 2 ? .incomplete : .unreadable))
        }
        #expect(flights.count == 2)
    }

    @Test func whatIsObservedIsNotHeld() {
        var simulation = ready()
        var datagram = held(.dns)
        datagram.handle.index = .max
        query("www.example.org").withUnsafeBytes {
            simulation.core.handle(.datagramObserved(datagram), payload: $0, worker: 0, now: simulation.now)
        }
        simulation.carryOut()
        simulation.run(until: simulation.now + 3_000)
        #expect(simulation.core.counters[.observedACK] == 1 && simulation.core.transfers.count == 0)
    }

    @Test func identifiersAreSpreadToTheOtherWorkers() {
        var simulation = ready()
        let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        let identifier = bytes.withUnsafeBytes {
            ConnectionIdentifier($0.baseAddress!, count: 8, service: 9, proxy: ProxyIndex(1))
        }
        simulation.core.handle(
            .identifierLearnt(identifier), payload: .init(start: nil, count: 0), worker: 1, now: simulation.now)
        #expect(simulation.core.actions == [.command(.learnIdentifier(identifier), worker: 0)])
    }
}
