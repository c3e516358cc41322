import FastPath
import InterCore
import Testing
import Wire

/// Proxies beyond layer 2: what the workers put around clients' packets, and what they say when it does not fit.
extension WorkerTests {
    private static let outer4 = (IPAddress("10.0.0.3")!, IPAddress("192.0.2.11")!)
    private static let outer6 = (IPAddress("2001:db8::3")!, IPAddress("2001:db8:1::11")!)
    private static let routerMAC: UInt64 = 0x0200_0000_00FE

    static let encapsulations: [Encapsulation] = Encapsulation.Kind.allCases.flatMap { kind in
        [outer4, outer6].map { Encapsulation(kind, from: $0, to: $1, network: 5, innerMAC: MACAddress(0x11)) }
    }

    /// Proxy 0 is behind a router.
    private func introduce(_ encapsulation: Encapsulation, _ lab: Lab, path: Int = 1_500) {
        lab.tell(.encapsulate(ProxyIndex(0), encapsulation))
        let mtu = UInt16(path - encapsulation.overhead)
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Self.routerMAC), mtu: mtu)))
        lab.turn()
    }

    /// The inner packet of a frame, behind Ethernet's header with its tag; nil when the frame is none of the tunnel's.
    private func unwrap(_ frame: [UInt8], _ encapsulation: Encapsulation) -> [UInt8]? {
        let tag = frame[12] == 0x81 ? 4 : 0
        let isV4 = encapsulation.destination.isV4
        let start = 14 + tag + (isV4 ? 20 : 40) + (encapsulation.kind == .ipip ? 0 : 8)
        guard Array(frame[(12 + tag)..<(14 + tag)]) == (isV4 ? [0x08, 0] : [0x86, 0xDD]) else { return nil }
        let payload = Array(frame[start...])
        let range = try? payload.withUnsafeBytes {
            try EncapsulatedPacket.find(in: $0, kind: encapsulation.kind, network: encapsulation.network)
        }
        // Nothing behind it: Ethernet's padding stays behind.
        guard let range, range.upperBound == payload.count else { return nil }
        return Array(frame[..<12]) + frame[12..<(12 + tag)]
            + (payload[range.lowerBound] >> 4 == 6 ? [0x86, 0xDD] : [8, 0])
            + payload[range]
    }

    @Test(arguments: encapsulations, [false, true])
    func aProxyBeyondLayer2GetsWholePackets(encapsulation: Encapsulation, v6: Bool) throws {
        for vlan in [UInt16?.none, 7] {
            let lab = Lab()
            introduce(encapsulation, lab)
            let connection = Connection(lab)
            connection.v6 = v6
            connection.vlan = vlan
            let held = try #require(connection.hold())
            _ = lab.takeToServers()
            connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
            #expect(lab.toServers.count == 2)
            let first = try #require(unwrap(lab.toServers[1], encapsulation))
            var expected = connection.clientSegment("P.", seq: 1, ack: 1, request)
            expected.destinationMAC = Self.routerMAC
            #expect(first == expected.frameBytes)
            lab.toServers = []
            // A short one, which Ethernet has padded.
            connection.proxy("P.", seq: 1, ack: UInt32(1 + request.count), [1, 2, 3], mac: Self.routerMAC)
            #expect(lab.takeToClients().count == 1)
            connection.client(".", seq: UInt32(1 + request.count), ack: 4)
            let last = try #require(lab.toServers.last.flatMap { unwrap($0, encapsulation) })
            #expect(Segment(frame: last)?.payload == [] && Segment(frame: last)?.isChecksumRight == true)
            #expect(lab.counter(.encapsulated) == 2 && lab.counter(.icmpToProxy) == 0)
            lab.toServers = []
            // What routers tell the client's server goes there, too.
            let quoted = connection.serverSegment(".", seq: 4, ack: 1, [UInt8](repeating: 0, count: 40))
            lab.put(quoted.tooBig(fromMAC: Lab.clientMAC, toMAC: Lab.originMAC), fromClient: true)
            lab.turn()
            #expect(lab.counter(.icmpToProxy) == 1 && unwrap(lab.toServers[0], encapsulation) != nil)
            lab.finish()
        }
    }

    @Test(arguments: [false, true]) func aClientIsToldWhatFits(v6: Bool) throws {
        let encapsulation = Self.encapsulations.first { $0.kind == .gue && $0.destination.isV4 }!
        let lab = Lab()
        introduce(encapsulation, lab, path: 1_400)
        let connection = Connection(lab)
        connection.v6 = v6
        connection.commit()
        let room = 1_400 - encapsulation.overhead
        let headers = v6 ? 60 : 40
        let next = UInt32(1 + request.count)
        lab.toServers = []
        connection.client("P.", seq: next, [UInt8](repeating: 1, count: room - headers))
        #expect(lab.toServers.count == 1 && lab.toServers[0].count == 14 + 1_400)
        let long = connection.clientSegment("P.", seq: next, ack: 1, [UInt8](repeating: 1, count: room - headers + 1))
        lab.toServers = []
        connection.send(long, fromClient: true)
        #expect(lab.toServers.isEmpty && lab.counter(.droppedTooBig) == 1 && lab.counter(.tooBigAnswered) == 1)
        // The answer says what fits, to the client, about this packet.
        let answer = try #require(lab.toClients.last)
        let message = v6 ? 54 : 34
        #expect(Array(answer[message..<(message + 2)]) == (v6 ? [2, 0] : [3, 4]))
        #expect(Int(answer[message + 6]) << 8 | Int(answer[message + 7]) == room)
        #expect(Array(answer[0..<6]) == Array(long.frame[6..<12]) && Array(answer[6..<12]) == Array(long.frame[0..<6]))
        let quoted = Array(answer[(message + 8)...])
        #expect(quoted == Array(long.frame[14..<(14 + quoted.count)]) && quoted.count >= 508)
        // What PacketLayout finds in it is the connection.
        let layout = answer.withUnsafeBytes { PacketLayout(of: $0.baseAddress!, length: $0.count) }
        #expect(layout.kind == .icmpError)
        let pseudo =
            v6
            ? connection.address(80) + connection.address(1) + Segment.big(UInt32(8 + quoted.count)) + [0, 0, 0, 58]
            : []
        #expect(Segment.sum(pseudo + Array(answer[message...])) == 0xFFFF)
        // Whoever goes on is told so many times in a moment, and all of it is counted.
        lab.toClients = []
        for _ in 0..<100 { connection.send(long, fromClient: true) }
        #expect(lab.toClients.count < 100 && lab.toClients.count >= 15)
        #expect(lab.counter(.droppedTooBig) == 101)
        lab.finish()
    }

    /// Both directions of a candidate's handshake, down to what fits on the narrowest way, and no longer than there is one.
    @Test(arguments: [false, true]) func handshakesAreClamped(v6: Bool) throws {
        let lab = Lab()
        func stated() -> [UInt16] {
            let connection = Connection(lab, port: UInt16.random(in: 1_024...60_000))
            connection.v6 = v6
            connection.client("S", seq: 0, options: connection.synOptions)
            connection.origin("S.", seq: 0, ack: 1, options: Options.mss(1_460) + Options.sackPermitted)
            return (lab.takeToServers() + lab.takeToClients()).map {
                UInt16($0.options[2]) << 8 | UInt16($0.options[3])
            }
        }
        #expect(stated() == [1_460, 1_460])
        introduce(Self.encapsulations.first { $0.kind == .vxlan && !$0.destination.isV4 }!, lab)
        let fitting: UInt16 = 1_500 - 70 - (v6 ? 60 : 40)
        #expect(stated() == [fitting, fitting])
        introduce(Self.encapsulations.first { $0.kind == .ipip && $0.destination.isV4 }!, lab, path: 700)
        #expect(stated().allSatisfy { $0 == 700 - 20 - (v6 ? 60 : 40) })
        lab.tell(.retireProxy(ProxyIndex(0), 9))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["proxy unused"])
        #expect(stated() == [1_460, 1_460])
        lab.finish()
    }

    /// A router's word about an outer packet is the control core's; anything else of the kind passes.
    @Test(arguments: encapsulations) func routersErrorsAreRead(encapsulation: Encapsulation) throws {
        let lab = Lab()
        introduce(encapsulation, lab)
        let connection = Connection(lab)
        connection.commit()
        lab.toServers = []
        connection.client("P.", seq: UInt32(1 + request.count), [UInt8](repeating: 1, count: 600))
        let sent = try #require(lab.toServers.last)
        func error(_ change: (inout [UInt8]) -> Void = { _ in }) -> [UInt8] {
            let layout = sent.withUnsafeBytes { PacketLayout(of: $0.baseAddress!, length: $0.count) }
            var about = PacketLayout()
            (about.isV6, about.network) = (layout.isV6 || !encapsulation.destination.isV4, 14)
            let answer = PacketTooBig(about, count: sent.count - 14, mtu: 1_333)
            var frame = [UInt8](repeating: 0, count: answer.length)
            sent.withUnsafeBytes { from in
                frame.withUnsafeMutableBytes { answer.write(to: $0.baseAddress!, about: from.baseAddress!) }
            }
            frame.replaceSubrange(
                0..<12, with: Segment.big(Lab.serverSideMAC)[2...] + Segment.big(Self.routerMAC)[2...])
            change(&frame)
            return frame
        }
        lab.put(error(), fromClient: false)
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["path narrowed to 1333"])
        #expect(lab.counter(.droppedTunnelError) == 1 && lab.toClients.isEmpty)
        // A wrong checksum, another's end, another host's.
        let quoted = encapsulation.destination.isV4 ? 14 + 20 + 8 : 14 + 40 + 8
        let others: [(inout [UInt8]) -> Void] = [
            { $0[$0.count - 1] ^= 1 }, { $0[quoted + (encapsulation.destination.isV4 ? 19 : 39)] ^= 1 }, { $0[5] ^= 8 },
        ]
        for change in others { lab.put(error(change), fromClient: false) }
        for length in stride(from: 20, to: error().count, by: 7) {
            lab.put(Array(error()[..<length]), fromClient: false)
        }
        lab.turn()
        #expect(lab.takeEvents().isEmpty && lab.counter(.droppedTunnelError) == 1)
        lab.finish()
    }

    @Test(arguments: encapsulations) func theTunnelsEndIsFound(encapsulation: Encapsulation) {
        let lab = Lab()
        let isV4 = encapsulation.source.isV4
        let asker = IPAddress(isV4 ? "10.0.0.9" : "2001:db8::9")!
        let mac = MACAddress(Self.routerMAC)
        let question = NeighborMessage(.question, subject: encapsulation.source, sender: asker, senderMAC: mac).frame()
        lab.put(question, fromClient: false)
        lab.turn()
        // Nobody's yet.
        #expect(lab.toServers.isEmpty && lab.toClients == [question])
        introduce(encapsulation, lab)
        lab.put(question, fromClient: false)
        lab.turn()
        #expect(lab.toClients.count == 1 && lab.toServers.count == 1)
        let answer = lab.toServers.first.flatMap { frame in
            frame.withUnsafeBytes { NeighborMessage(of: $0.baseAddress!, length: $0.count) }
        }
        #expect(answer?.kind == .answer && answer?.subject == encapsulation.source)
        #expect(answer?.senderMAC == MACAddress(Lab.serverSideMAC))
        lab.finish()
    }
}
