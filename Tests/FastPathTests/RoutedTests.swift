import InterCore
import Testing
import Wire

/// Routed flows end like others: on FIN from both sides or an exact RST, and their entry then goes in bounded time.
extension WorkerTests {
    private func routed() -> (Lab, Connection) {
        let lab = Lab {
            var route = RouteRule()
            route.proxy = ProxyIndex(0)
            $0.routes = [route]
        }
        let connection = Connection(lab)
        connection.client("S", seq: 0)
        connection.proxy("S.", seq: 0)
        connection.client(".", seq: 1)
        connection.client("P.", seq: 1, request)
        connection.proxy("P.", seq: 1, ack: UInt32(1 + request.count), [1, 2, 3])
        connection.client(".", seq: UInt32(1 + request.count), ack: 4)
        return (lab, connection)
    }

    private var asked: UInt32 { UInt32(1 + request.count) }

    @Test func routedFlowsEndWithFINFromBothSides() {
        let (lab, connection) = routed()
        connection.client("F.", seq: asked, ack: 4)
        #expect(lab.counter(.flowsClosed) == 0)
        connection.proxy("F.", seq: 4, ack: asked + 1)
        #expect(lab.counter(.flowsClosed) == 1)
        // The last acknowledgement, and what is late, still goes to the proxy.
        connection.client(".", seq: asked + 1, ack: 5)
        connection.client("F.", seq: asked, ack: 5)
        #expect(lab.takeToServers().allSatisfy { $0.destinationMAC == Lab.proxyMAC })
        #expect(lab.counter(.flowsClosed) == 1)
        lab.wait(milliseconds: 61_000, step: 100_000)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test(arguments: ["client", "proxy"]) func routedFlowsEndWithAnExactReset(from side: String) {
        let (lab, connection) = routed()
        func reset(_ offset: UInt32) {
            if side == "client" {
                connection.client("R", seq: asked + offset)
            } else {
                connection.proxy("R", seq: 4 + offset)
            }
        }
        reset(1)
        #expect(lab.counter(.flowsClosed) == 0, "rule 3: only a sequence-exact one")
        // The origin has no say.
        connection.origin("R", seq: 4)
        #expect(lab.counter(.flowsClosed) == 0)
        reset(0)
        #expect(lab.counter(.flowsClosed) == 1)
        lab.wait(milliseconds: 61_000, step: 100_000)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test func aRefusedRoutedSYNEndsItsFlow() {
        let lab = Lab {
            var route = RouteRule()
            route.proxy = ProxyIndex(0)
            $0.routes = [route]
        }
        let connection = Connection(lab)
        connection.client("S", seq: 0)
        connection.proxy("R.", seq: 0, ack: 2)
        #expect(lab.counter(.flowsClosed) == 0)
        connection.proxy("R.", seq: 0, ack: 1)
        #expect(lab.counter(.flowsClosed) == 1)
        // A new SYN on an ended tuple begins a new generation.
        connection.client("S", seq: 50_000)
        #expect(lab.counter(.flowsCreated) == 2)
        lab.wait(milliseconds: 61_000, step: 100_000)
        #expect(lab.gauge(.flows) == 1, "a live flow stays for its idle time")
        lab.finish()
    }

    @Test func halfClosedRoutedFlowsStayForTheirIdleTime() {
        let (lab, connection) = routed()
        connection.client("F.", seq: asked, ack: 4)
        lab.wait(milliseconds: 120_000, step: 500_000)
        #expect(lab.gauge(.flows) == 1)
        lab.wait(milliseconds: 310_000, step: 500_000)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }
}
