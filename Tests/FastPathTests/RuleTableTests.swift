import FastPath
import InterCore
import Testing
import Wire

/// Rules that change between a connection's packets, and proxies that go.
extension WorkerTests {
    private func table(_ generation: UInt32, ports: [UInt16], mode: RuleMode = .on) -> RuleTable {
        let rules = ports.map { port in
            var rule = CandidateRule()
            (rule.firstPort, rule.lastPort, rule.mode) = (port, port, mode)
            return rule
        }
        return RuleTable(candidates: rules, routes: [], generation: generation)
    }

    /// With rules about UDP, as `Lab.watching` has them.
    private func watchingTable(_ generation: UInt32) -> RuleTable {
        var configuration = WorkerConfiguration()
        Lab.watching(&configuration)
        return RuleTable(candidates: configuration.candidates, routes: [], generation: generation)
    }

    private func isAnswered(_ lab: Lab, _ generation: UInt32) -> Bool {
        lab.takeEvents().contains { if case .rulesInForce(generation) = $0 { true } else { false } }
    }

    @Test func rulesThatComeInMidHandshakeAreTheOnesThatCount() throws {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        lab.tell(.useRules(table(1, ports: [8_080, 80])))
        lab.turn()
        #expect(isAnswered(lab, 1))
        connection.client("P.", seq: 1, request)
        let held = try #require(lab.takeHeld())
        #expect(held.rules == 2, "the second rule of the new table")
        #expect(held.rulesGeneration == 1)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.gauge(.committedFlows) == 1)
        lab.finish()
    }

    @Test func aConnectionWhoseRuleIsGoneIsTheOrigins() {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        lab.tell(.useRules(table(1, ports: [8_080])))
        connection.client("P.", seq: 1, request)
        #expect(lab.takeHeld() == nil)
        #expect(lab.takeToServers().last?.payload == request)
        lab.finish()
    }

    @Test func aHeadThatIsBeingCollectedComesUnderTheNewRules() {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        connection.client(".", seq: 1, Array(request[..<10]))
        #expect(lab.gauge(.heldFlows) == 1)
        lab.tell(.useRules(table(1, ports: [80], mode: .off)))
        connection.client("P.", seq: 11, Array(request[10...]))
        #expect(lab.takeHeld() == nil)
        #expect(lab.takeToServers().flatMap(\.payload) == request)
        lab.finish()
    }

    @Test func aHoldThatWasAskedForGetsItsVerdict() throws {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        connection.client("P.", seq: 1, request)
        let held = try #require(lab.takeHeld())
        #expect(held.rulesGeneration == 0)
        lab.tell(.useRules(table(1, ports: [])))
        lab.turn()
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.gauge(.committedFlows) == 1)
        // New ones are nobody's business.
        let other = Connection(lab, port: 40_001).handshake()
        other.client("P.", seq: 1, request)
        #expect(lab.takeHeld() == nil)
        lab.finish()
    }

    @Test func aRetiredProxyIsSaidToBeUnusedWhenItsLastFlowHasGone() throws {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        connection.client("P.", seq: 1, request)
        let held = try #require(lab.takeHeld())
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        func unused() -> [UInt32] {
            lab.takeEvents().compactMap { if case .proxyUnused(_, let number) = $0 { number } else { nil } }
        }
        lab.tell(.retireProxy(ProxyIndex(1), 1))
        lab.turn()
        #expect(unused() == [1], "nobody has the other one")
        lab.tell(.retireProxy(ProxyIndex(0), 2))
        lab.turn()
        #expect(unused() == [])
        // It still gets what is its own.
        _ = lab.takeToServers()
        connection.client("P.", seq: UInt32(1 + request.count), [1, 2, 3])
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        lab.tell(.flowDone(held.handle))
        lab.turn()
        #expect(unused() == [], "its tombstone leads there still")
        lab.wait(milliseconds: 61_000, step: 100_000)
        #expect(lab.gauge(.flows) == 0)
        #expect(unused() == [2])
        // It is back: nothing is owed any more.
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Lab.proxyMAC))))
        lab.turn()
        #expect(unused() == [])
        lab.finish()
    }

    // MARK: UDP

    @Test func rulesAboutUDPMayComeLater() throws {
        let lab = Lab { $0.datagramFlowCapacity = 64 }
        let flow = DatagramFlow(lab)
        flow.client(QUICPackets.initial())
        #expect(lab.takeHeldDatagrams().isEmpty && lab.takeDatagramsToServers().count == 1)
        lab.tell(.useRules(watchingTable(1)))
        lab.turn()
        #expect(isAnswered(lab, 1))
        flow.client(QUICPackets.initial())
        #expect(try #require(lab.takeHeldDatagrams().first).rulesGeneration == 1)
        lab.finish()
    }

    @Test func aUDPFlowOutlivesItsRule() {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        flow.commit()
        lab.tell(.useRules(table(1, ports: [80])))
        lab.turn()
        #expect(isAnswered(lab, 1))
        flow.client(QUICPackets.short())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        flow.server([1], mac: Lab.originMAC)
        #expect(lab.takeDatagramsToClients().isEmpty, "nobody else may answer")
        flow.server([2])
        #expect(lab.takeDatagramsToClients().map(\.payload) == [[2]])
        // New ones are nobody's business.
        flow.clientPort = 40_001
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC])
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    /// What comes to another proxy in its place must not get its clients' datagrams.
    @Test func aRetiredProxysUDPFlowsAndIdentifiersGoFirst() throws {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        let handle = try #require(flow.commit())
        flow.server(QUICPackets.long(0xE3, to: [9, 9, 9, 9], from: QUICPackets.chosen, size: 300))
        _ = lab.takeEvents()
        lab.tell(.retireProxy(ProxyIndex(0), 7))
        lab.turn()
        #expect(lab.takeEvents().isEmpty, "it has a flow")
        flow.client(QUICPackets.short())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        lab.tell(.flowDone(handle))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["ended flowDone", "proxy unused"])
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Lab.otherProxyMAC))))
        flow.clientPort = 50_000
        flow.client(QUICPackets.short())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC])
        lab.finish()
    }
}
