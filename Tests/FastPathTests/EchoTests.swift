import FastPath
import InterCore
import Testing
import Wire

/// Virtual servers answer pings of the clients' side.
extension WorkerTests {
    private static let families = [("203.0.113.80", "203.0.113.9"), ("2001:db8::80", "2001:db8::9")]

    private func pinged() -> Lab {
        Lab { configuration in
            configuration.virtualServers = Self.families.map {
                VirtualServer(Endpoint(IPAddress($0.0)!, port: 80), offer: HandshakeOffer())
            }
        }
    }

    private func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }

    private func bytes(_ address: IPAddress) -> [UInt8] {
        address.isV4 ? bytes(address.v4) : bytes(address.high) + bytes(address.low)
    }

    private func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum = InternetChecksum()
        bytes.withUnsafeBytes { sum.add($0.baseAddress!, count: $0.count) }
        return sum.value
    }

    /// Identifier 1, number 2, five bytes; the frame as a host would make it.
    private func echo(
        _ type: UInt8, _ code: UInt8 = 0, to server: String, from client: String, hops: UInt8, ethernet: [UInt64],
        vlan: VLAN = .untagged
    ) -> [UInt8] {
        let (server, client) = (IPAddress(server)!, IPAddress(client)!)
        let rest: [UInt8] = [0, 1, 0, 2, 5, 6, 7, 8, 9]
        let length = UInt16(4 + rest.count)
        let pseudo = bytes(client) + bytes(server) + bytes(UInt32(length)) + [0, 0, 0, 58]
        let sum = checksum((client.isV4 ? [] : pseudo) + [type, code, 0, 0] + rest)
        var header: [UInt8]
        if client.isV4 {
            header = [0x45, 0] + bytes(20 + length) + [0, 7, 0x40, 0, hops, 1, 0, 0] + bytes(client) + bytes(server)
            header.replaceSubrange(10..<12, with: bytes(checksum(header)))
        } else {
            header = [0x60, 0, 0, 0] + bytes(length) + [58, hops] + bytes(client) + bytes(server)
        }
        let tag = vlan.isTagged ? [0x81, 0] + bytes(vlan.value) : []
        let macs = ethernet.flatMap { bytes($0).suffix(6) }
        return macs + tag + (client.isV4 ? [0x08, 0] : [0x86, 0xDD]) + header + [type, code] + bytes(sum) + rest
    }

    @Test(arguments: [.untagged, VLAN(7)] as [VLAN]) func aPingIsAnswered(vlan: VLAN) {
        for (server, client) in Self.families {
            let lab = pinged()
            let isV4 = server == Self.families[0].0
            lab.put(
                echo(
                    isV4 ? 8 : 128, to: server, from: client, hops: 3, ethernet: [Lab.directorMAC, Lab.clientMAC],
                    vlan: vlan), fromClient: true)
            lab.turn()
            let reply = echo(
                isV4 ? 0 : 129, to: client, from: server, hops: 64, ethernet: [Lab.clientMAC, Lab.directorMAC],
                vlan: vlan)
            #expect(lab.toClients == [reply] && lab.toServers.isEmpty, "checksums and all")
            #expect(lab.counter(.echoesAnswered) == 1)
            lab.finish()
        }
    }

    @Test func whatIsNoPingOfAVirtualServerPasses() {
        let lab = pinged()
        let (server, client) = Self.families[0]
        let ethernet = [Lab.directorMAC, Lab.clientMAC]
        var withOptions = echo(8, to: server, from: client, hops: 3, ethernet: ethernet)
        withOptions[14] = 0x46
        var short = echo(8, to: server, from: client, hops: 3, ethernet: ethernet)
        short[17] = 27
        let others = [
            echo(8, to: "203.0.113.81", from: client, hops: 3, ethernet: ethernet),
            echo(8, to: server, from: client, hops: 3, ethernet: [Lab.originMAC, Lab.clientMAC]),
            echo(8, to: server, from: "224.0.0.1", hops: 3, ethernet: ethernet),
            echo(8, 1, to: server, from: client, hops: 3, ethernet: ethernet),
            echo(13, to: server, from: client, hops: 3, ethernet: ethernet),
            echo(0, to: server, from: client, hops: 3, ethernet: ethernet), withOptions, short,
        ]
        for frame in others { lab.put(frame, fromClient: true) }
        lab.turn()
        #expect(lab.toServers == others && lab.toClients.isEmpty && lab.counter(.echoesAnswered) == 0)
        let fromServers = echo(8, to: server, from: client, hops: 3, ethernet: ethernet)
        lab.put(fromServers, fromClient: false)
        lab.turn()
        #expect(lab.toClients == [fromServers])
        lab.finish()
    }
}
