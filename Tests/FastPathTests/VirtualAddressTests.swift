import FastPath
import InterCore
import Testing
import Wire

/// Virtual servers are found by ARP and Neighbor Discovery on the clients' side.
extension WorkerTests {
    private static let virtual = (v4: IPAddress("203.0.113.80")!, v6: IPAddress("2001:db8::80")!)

    private func lab() -> Lab {
        Lab { configuration in
            configuration.virtualServers = [Self.virtual.v4, Self.virtual.v6].map {
                VirtualServer(Endpoint($0, port: 80), offer: HandshakeOffer())
            }
        }
    }

    private func question(
        for subject: IPAddress, by sender: String, mac: UInt64 = Lab.clientMAC, vlan: VLAN = .untagged
    ) -> [UInt8] {
        let sender = IPAddress(sender)!
        return NeighborMessage(
            .question, subject: subject, sender: sender,
            senderMAC: sender == .unspecified ? .zero : MACAddress(mac)
        ).frame(vlan: vlan)
    }

    private func read(_ frame: [UInt8]) -> NeighborMessage? {
        frame.withUnsafeBytes { NeighborMessage(of: $0.baseAddress!, length: frame.count) }
    }

    private func destination(_ frame: [UInt8]) -> MACAddress { frame.withUnsafeBytes { $0.baseAddress!.wireMAC(0) } }

    @Test(arguments: [.untagged, VLAN(7)] as [VLAN]) func aClientFindsAVirtualServer(vlan: VLAN) throws {
        for (subject, sender) in [(Self.virtual.v4, "203.0.113.9"), (Self.virtual.v6, "2001:db8::9")] {
            let lab = lab()
            lab.put(question(for: subject, by: sender, vlan: vlan), fromClient: true)
            lab.turn()
            #expect(lab.toServers.isEmpty && lab.toClients.count == 1)
            let frame = try #require(lab.toClients.first)
            #expect(destination(frame) == MACAddress(Lab.clientMAC))
            #expect(
                read(frame)
                    == NeighborMessage(
                        .answer, subject: subject, sender: subject, senderMAC: MACAddress(Lab.directorMAC)))
            // As anybody else would have written it; ARP's padding was the question's.
            let expected = NeighborMessage(
                .answer, subject: subject, sender: subject, senderMAC: MACAddress(Lab.directorMAC)
            ).frame(to: (IPAddress(sender)!, MACAddress(Lab.clientMAC)), vlan: vlan)
            #expect(frame == expected)
            #expect(lab.counter(.neighborsAnswered) == 1)
            lab.finish()
        }
    }

    @Test func othersAreAskedAsBefore() {
        let lab = lab()
        let others = [
            question(for: IPAddress("203.0.113.81")!, by: "203.0.113.9"),
            question(for: IPAddress("2001:db8::81")!, by: "2001:db8::9"),
            // Nobody answers a group.
            question(for: Self.virtual.v4, by: "203.0.113.9", mac: 0x0300_0000_0001),
        ]
        for frame in others { lab.put(frame, fromClient: true) }
        lab.turn()
        #expect(lab.toServers == others && lab.toClients.isEmpty)
        // Servers ask the clients' side, where no virtual server is for them.
        let servers = question(for: Self.virtual.v4, by: "203.0.113.9")
        lab.put(servers, fromClient: false)
        lab.turn()
        #expect(lab.toClients == [servers])
        // An answer, and what is cut or spoilt.
        let answer = NeighborMessage(
            .answer, subject: Self.virtual.v4, sender: Self.virtual.v4, senderMAC: MACAddress(Lab.clientMAC)
        ).frame(to: (IPAddress("203.0.113.9")!, MACAddress(Lab.originMAC)))
        lab.put(answer, fromClient: true)
        var spoilt = question(for: Self.virtual.v6, by: "2001:db8::9")
        spoilt[60] ^= 1
        lab.put(spoilt, fromClient: true)
        lab.put(Array(question(for: Self.virtual.v4, by: "203.0.113.9").prefix(41)), fromClient: true)
        lab.turn()
        #expect(lab.toServers.count == 6 && lab.toClients.count == 1 && lab.counter(.neighborsAnswered) == 0)
        lab.finish()
    }

    /// Somebody wants the address for itself: it must hear that it is taken (RFC 4862 section 5.4.4, RFC 5227).
    @Test func theAddressIsDefended() throws {
        let lab = lab()
        let solicitation = question(for: Self.virtual.v6, by: "::")
        #expect(solicitation.count == 78, "shorter than its answer")
        lab.put(solicitation, fromClient: true)
        lab.put(question(for: Self.virtual.v4, by: "0.0.0.0"), fromClient: true)
        lab.turn()
        #expect(lab.toServers == [solicitation], "somebody else may have it as well")
        #expect(lab.toClients.count == 2 && lab.counter(.neighborsAnswered) == 2)
        let advertisement = try #require(lab.toClients.first)
        #expect(destination(advertisement) == MACAddress(0x3333_0000_0001))
        #expect(read(advertisement)?.subject == Self.virtual.v6)
        #expect(Array(advertisement[38..<54]) == [0xFF, 0x02] + [UInt8](repeating: 0, count: 13) + [1], "all nodes")
        #expect(advertisement[58] == 0x20, "nobody had asked for it; it replaces what was known")
        #expect(lab.toClients.last.flatMap(read)?.senderMAC == MACAddress(Lab.directorMAC))
        lab.finish()
    }

    @Test func aTableWithoutThemAnswersNoMore() {
        let lab = lab()
        let table = VirtualServerTable(servers: [], origins: [], generation: 1)
        defer { table.free() }
        lab.tell(.useVirtualServers(table))
        lab.turn()
        lab.put(question(for: Self.virtual.v4, by: "203.0.113.9"), fromClient: true)
        lab.turn()
        #expect(lab.toClients.isEmpty && lab.toServers.count == 1)
        lab.finish()
    }
}
