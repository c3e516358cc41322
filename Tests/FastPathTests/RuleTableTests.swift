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
}
