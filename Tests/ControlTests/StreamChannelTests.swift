import CRTP
import Control
import InterCore
import Testing
import Wire

/// Channels over TCP: the connection comes first, and its end is known at once.
@Suite struct StreamChannelTests {
    private func ready(
        slow: Bool = false, _ transport: DirectorConfiguration.Transport = .tcp,
        adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) -> Simulation {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = slow ? 30_000...30_000 : 200...300
        var simulation = Simulation(seed: 3, conditions) { configuration in
            configuration.logLevel = "info"
            for index in configuration.proxies.indices { configuration.proxies[index].transport = transport }
            adjust(&configuration)
        }
        simulation.run(until: 2_000_000)
        return simulation
    }

    private static let endpoint = Endpoint(IPAddress("192.0.2.10")!, port: 6_000)

    private func count(_ simulation: Simulation, _ type: MessageType) -> Int {
        simulation.sent[Self.endpoint, default: []].count { $0 == type.rawValue }
    }

    @Test func nothingIsSaidBeforeThereIsAConnection() {
        var configuration = DirectorConfiguration()
        var proxy = DirectorConfiguration.Proxy(name: "p0", address: Self.endpoint)
        proxy.transport = .tls
        proxy.serverName = "p0.example.org"
        configuration.proxies = [proxy]
        configuration.crtp.tls.authority = "/ca.pem"
        var core = ControlCore(configuration: configuration, keys: Simulation.keys, workerCount: 1, epoch: 1)
        core.start(now: 0)
        core.advance(to: 20_000_000)
        #expect(core.actions.contains(.connect(proxy, configuration.crtp.tls)))
        #expect(!core.actions.contains { if case .transmit = $0 { true } else { false } })
        #expect(core.proxyStatus()[0].state == "connecting")
        core.actions = []
        core.connected(Self.endpoint, now: 20_000_000)
        #expect(core.actions.contains { if case .transmit(_, Self.endpoint) = $0 { true } else { false } })
        #expect(core.proxyStatus()[0].state == "initiating" && core.proxyStatus()[0].connected)
    }

    @Test func aBrokenConnectionGivesPendingRequestsToTheirOriginsAtOnceAndComesBack() {
        // Nobody else could be asked.
        var simulation = ready(slow: true) { $0.proxies.removeLast() }
        #expect(simulation.core.proxies[0].isUp)
        simulation.at(simulation.now, .arrival(20_000))
        simulation.run(until: simulation.now + 1_000)
        #expect(simulation.core.pendingCount == 1)
        simulation.cut(Self.endpoint)
        #expect(simulation.core.pendingCount == 0)
        #expect(simulation.core.counters[.channelDown] == 1)
        #expect(simulation.core.proxyStatus()[0].state == "connecting")
        let line = simulation.logs.first { $0.event == "proxy connection lost" }
        #expect(line?.fields.contains { $0 == ("again_in_ms", "100") } == true)
        simulation.run(until: simulation.now + 1_000_000)
        let status = simulation.core.proxyStatus()[0]
        #expect(status.state == "up" && status.connects == 2 && status.connectionEnds == ["closed": 1])
        let committed = simulation.core.counters[.committed]
        simulation.conditions.agentMicroseconds = 200...300
        simulation.at(simulation.now, .arrival(21_000))
        simulation.run(until: simulation.now + 100_000)
        #expect(simulation.core.counters[.committed] == committed + 1)
        #expect(simulation.agents[0].failures.isEmpty)
    }

    /// The copy of a TRANSFER is there against loss, which TCP mends itself.
    @Test(arguments: [(DirectorConfiguration.Transport.udp, 2), (.tcp, 1)])
    func transferIsSentOnceOverTCP(_ transport: DirectorConfiguration.Transport, copies: Int) {
        var simulation = ready(slow: true, transport) { $0.proxies.removeLast() }
        simulation.at(simulation.now, .arrival(20_000))
        simulation.run(until: simulation.now + 200_000)
        #expect(count(simulation, .transfer) == copies)
    }

    @Test func framesThatNobodyWithTheKeyHasSentEndTheConnection() {
        var simulation = ready()
        var strange = [UInt8](repeating: 0, count: 48)
        strange.replaceSubrange(0..<8, with: [0x14, 17, 0, 0, 0, 48, 1, 2])
        for number in 1...ControlCore.strangeFrameLimit {
            #expect(simulation.faults.isEmpty)
            simulation.core.receiveFrame(strange, from: Self.endpoint, now: simulation.now + UInt64(number))
            simulation.carryOut()
        }
        #expect(simulation.faults == [.unauthenticated])
    }

    @Test func silenceEndsTheConnectionToo() {
        var simulation = ready()
        simulation.conditions.lossPercent = 100
        simulation.run(until: simulation.now + 10_000_000)
        #expect(simulation.faults.contains(.silent))
        simulation.conditions.lossPercent = 0
        simulation.run(until: simulation.now + 10_000_000)
        #expect(simulation.core.proxyStatus().allSatisfy { $0.state == "up" })
    }

    @Test func datagramsFromAStreamsAddressAreNobodys() {
        var simulation = ready()
        let before = simulation.core.counters[.unknownPeer]
        simulation.core.receive([UInt8](repeating: 0, count: 48), from: Self.endpoint, now: simulation.now)
        #expect(simulation.core.counters[.unknownPeer] == before + 1)
    }

    @Test func aReloadChangesTheWayToAProxy() throws {
        var simulation = ready(.udp)
        #expect(simulation.connections.isEmpty)
        var wanted = simulation.start
        wanted.proxies[0].transport = .tcp
        _ = try simulation.core.reload(wanted, keys: Simulation.keys, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: simulation.now + 1_000_000)
        #expect(simulation.connections == [Self.endpoint] && simulation.core.proxyStatus()[0].state == "up")
        _ = try simulation.core.reload(simulation.start, keys: Simulation.keys, now: simulation.now)
        simulation.carryOut()
        #expect(simulation.connections.isEmpty)
        simulation.run(until: simulation.now + 6_000_000)
        #expect(simulation.core.proxyStatus()[0].state == "up" && simulation.core.proxyStatus()[0].transport == "udp")
    }
}
