import FastPath
import InterCore
import Testing
import Wire

extension WorkerTests {
    /// A proxy gets flows of its own VLAN only; one that names none gets any.
    @Test(arguments: [UInt16?.none, 7, 0x6007, 8], [UInt16?.none, 7])
    func proxiesGetFlowsOfTheirVLAN(ofFlow tag: UInt16?, ofProxy vlan: UInt16?) throws {
        let lab = Lab()
        let place = NextHop(mac: MACAddress(Lab.proxyMAC), vlan: vlan.map { VLAN($0) } ?? .untagged)
        lab.tell(.proxy(ProxyIndex(0), place))
        let connection = Connection(lab)
        connection.vlan = tag
        let held = try #require(connection.hold())
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        let sent = lab.takeToServers()
        // No tag is added, taken away or changed; the director's own reset has no priority.
        #expect(sent.filter { $0.flags != "R" }.allSatisfy { $0.vlan == tag })
        #expect(sent.filter { $0.flags == "R" }.allSatisfy { $0.vlan == tag.map { $0 & 0xFFF } })
        if vlan == nil || tag.map({ $0 & 0xFFF }) == vlan {
            #expect(lab.takeEvents().map(\.name) == ["committed"])
            #expect(sent.map(\.destinationMAC) == [Lab.originMAC, Lab.proxyMAC])
            #expect(lab.counter(.refusedOtherVLAN) == 0)
        } else {
            #expect(lab.takeEvents().map(\.name) == ["aborted otherVLAN"])
            #expect(sent.map(\.destinationMAC) == [Lab.originMAC])
            #expect(sent.map(\.payload) == [request])
            #expect(lab.counter(.refusedOtherVLAN) == 1)
        }
        lab.finish()
    }

    @Test func routesAndAnnouncementsToAnotherVLANAreRefused() throws {
        let lab = Lab {
            var route = RouteRule()
            route.proxy = ProxyIndex(1)
            route.client = AddressPrefix("10.0.0.7")!
            var unknown = RouteRule()
            unknown.proxy = ProxyIndex(9)
            unknown.client = AddressPrefix("10.0.0.8")!
            $0.routes = [route, unknown]
        }
        lab.tell(.proxy(ProxyIndex(1), NextHop(mac: MACAddress(Lab.otherProxyMAC), vlan: VLAN(7))))
        for (client, tag, target) in [
            (7, nil, Lab.originMAC), (7, 8, Lab.originMAC), (7, 7, Lab.otherProxyMAC), (8, 7, Lab.originMAC),
        ] as [(UInt8, UInt16?, UInt64)] {
            let connection = Connection(lab)
            connection.clientAddress = client
            connection.vlan = tag
            connection.client("S", seq: 0)
            #expect(lab.takeToServers().map(\.destinationMAC) == [target])
        }
        #expect(lab.counter(.refusedOtherVLAN) == 2)
        lab.tell(.installFlow(Connection(lab).key, ProxyIndex(1), ticket: 3))
        lab.turn()
        guard case .flowRefused(ticket: 3)? = lab.takeEvents().last else { throw TestFailure() }
        lab.finish()
    }
}
