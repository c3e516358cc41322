import FastPath
import InterCore
import Testing
import Wire

/// A director on a host: proxies are where the clients are.
extension WorkerTests {
    @Test(arguments: [false, true]) func aPeerGetsPacketsByTheWayThatTheyCame(v6: Bool) throws {
        let lab = Lab { $0.proxiesOnClientSide = true }
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Lab.proxyMAC))))
        let connection = Connection(lab)
        connection.v6 = v6
        let held = try #require(connection.hold())
        _ = (lab.takeToServers(), lab.takeToClients())
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        // The host's own server hears a reset, and nothing of the request.
        let reset = try #require(lab.takeToServers().first)
        #expect(reset.flags.contains("R"))
        // A plain segment, which elsewhere takes the short way, and one that never does.
        let end = UInt32(1 + request.count)
        connection.client(".", seq: end, ack: 1_001)
        connection.client("F.", seq: end, ack: 1_001)
        #expect(lab.takeToServers().isEmpty)
        let sent = lab.toClients
        let said = [("P.", UInt32(1), UInt32(1), request), (".", end, 1_001, []), ("F.", end, 1_001, [])]
        #expect(sent.count == said.count)
        for (frame, (flags, seq, ack, payload)) in zip(sent, said) {
            var expected = connection.clientSegment(flags, seq: seq, ack: ack, payload)
            expected.destinationMAC = Lab.proxyMAC
            expected.sourceMAC = Lab.directorMAC
            #expect(frame == expected.frameBytes)
        }
        lab.toClients = []
        // What the server says late is not the client's.
        connection.origin(".", seq: 1, ack: end, [1])
        #expect(lab.takeToClients().isEmpty && lab.counter(.droppedOriginAfterCommit) == 1)
        lab.finish()
    }

    /// Each has given the tuple to the other, or one to itself.
    @Test(arguments: [Lab.otherProxyMAC, Lab.directorMAC]) func noFrameGoesRoundAndRound(of mac: UInt64) throws {
        let lab = Lab { $0.proxiesOnClientSide = true }
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(mac == Lab.directorMAC ? mac : Lab.proxyMAC))))
        lab.tell(.proxy(ProxyIndex(1), NextHop(mac: MACAddress(Lab.otherProxyMAC))))
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        _ = (lab.takeToServers(), lab.takeToClients())
        var segment = connection.clientSegment(".", seq: UInt32(1 + request.count), ack: 1)
        if mac != Lab.directorMAC { segment.sourceMAC = mac }
        connection.send(segment, fromClient: true)
        #expect(lab.takeToClients().isEmpty && lab.takeToServers().count == 1)
        lab.finish()
    }
}
