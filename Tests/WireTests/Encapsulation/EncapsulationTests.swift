import Testing
import Wire

@Suite struct EncapsulationTests {
    static let ends4 = (IPAddress("192.0.2.1")!, IPAddress("198.51.100.11")!)
    static let ends6 = (IPAddress("2001:db8::1")!, IPAddress("2001:db8:1::11")!)

    /// All kinds over both families.
    static let all: [Encapsulation] = Encapsulation.Kind.allCases.flatMap { kind in
        [ends4, ends6].map {
            Encapsulation(kind, from: $0, to: $1, network: 7_270, innerMAC: MACAddress(0x0200_0000_0011))
        }
    }

    /// An IP packet with TCP inside: its header, and as many bytes as wanted.
    static func inner(v6: Bool, trafficClass: UInt8 = 0, port: UInt16 = 40_000, payload: Int = 33) -> [UInt8] {
        let segment = big(port) + [0, 80] + [UInt8](repeating: 0, count: 16) + [UInt8](repeating: 0xAB, count: payload)
        if v6 {
            let start = UInt32(6) << 28 | UInt32(trafficClass) << 20 | 0x1_2345
            return big(start) + big(UInt16(segment.count)) + [6, 60] + [UInt8](repeating: 1, count: 16)
                + [UInt8](repeating: 2, count: 16) + segment
        }
        var header: [UInt8] =
            [0x45, trafficClass] + big(UInt16(20 + segment.count)) + [0, 9, 0x40, 0, 60, 6, 0, 0] + [10, 0, 0, 1]
            + [10, 0, 0, 80]
        header.replaceSubrange(10..<12, with: big(~onesComplementSum(header)))
        return header + segment
    }

    static func encapsulate(_ packet: [UInt8], _ encapsulation: Encapsulation, flow: UInt32 = 0) -> [UInt8] {
        let template = UnsafeMutableRawPointer.allocate(byteCount: Encapsulation.longestOverhead, alignment: 1)
        defer { template.deallocate() }
        let header = EncapsulationHeader(encapsulation, in: template)
        var bytes = [UInt8](repeating: 0xEE, count: header.length) + packet
        bytes.withUnsafeMutableBytes {
            header.write(before: $0.baseAddress! + header.length, count: packet.count, flow: flow)
        }
        return bytes
    }

    @Test(arguments: all, [false, true]) func whatIsWrittenIsReadAgain(encapsulation: Encapsulation, v6: Bool) throws {
        // Odd and even lengths, and one whose UDP checksum comes out as 0 somewhere on the way through them.
        for payload in 0..<400 {
            let packet = Self.inner(v6: v6, trafficClass: 0xB9, payload: payload)
            let outer = Self.encapsulate(packet, encapsulation)
            let header = OuterHeader(outer)
            try #require(header.flaw == nil, "\(payload): \(header.flaw!)")
            #expect(header.hops == 64 && header.trafficClass == 0xB9)
            let number: UInt8 = encapsulation.kind == .ipip ? (v6 ? 41 : 4) : 17
            #expect(header.protocolNumber == number)
            #expect(outer.count == packet.count + encapsulation.overhead)
            let found = try header.payload.withUnsafeBytes {
                try EncapsulatedPacket.find(in: $0, kind: encapsulation.kind, network: encapsulation.network)
            }
            #expect(Array(header.payload[found]) == packet)
            guard let port = encapsulation.kind.port else { continue }
            #expect(header.destinationPort == port && header.sourcePort >= 49_152)
        }
    }

    /// The bytes that the documents draw.
    @Test func theHeadersBehindUDP() {
        let gue = Encapsulation(.gue, from: Self.ends4.0, to: Self.ends4.1)
        #expect(OuterHeader(Self.encapsulate(Self.inner(v6: false), gue)).payload.prefix(4) == [0, 4, 0, 0])
        #expect(OuterHeader(Self.encapsulate(Self.inner(v6: true), gue)).payload.prefix(4) == [0, 41, 0, 0])
        let vxlan = Self.all.first { $0.kind == .vxlan }!
        let header: [UInt8] = [8, 0, 0, 0, 0, 0x1C, 0x66, 0, 2, 0, 0, 0, 0, 0x11, 2, 0xBA, 0x70, 0, 0, 0]
        #expect(
            Array(OuterHeader(Self.encapsulate(Self.inner(v6: false), vxlan)).payload[..<22]) == header + [0x08, 0])
        #expect(
            Array(OuterHeader(Self.encapsulate(Self.inner(v6: true), vxlan)).payload[..<22]) == header + [0x86, 0xDD])
    }

    /// Those that name flows, of both kinds that can.
    static let naming: [Encapsulation] = all.filter { $0.kind != .ipip }.map {
        var encapsulation = $0
        encapsulation.namesFlows = true
        return encapsulation
    }

    @Test(arguments: naming, [false, true]) func aFlowIsNamed(encapsulation: Encapsulation, v6: Bool) throws {
        for flow: UInt32 in [1, 0x1234, 0xAB_CDEF, 0xFF_FFFF] {
            let packet = Self.inner(v6: v6, payload: Int(flow & 63))
            let header = OuterHeader(Self.encapsulate(packet, encapsulation, flow: flow))
            try #require(header.flaw == nil, "\(header.flaw!)")
            let named = big(flow)
            let start = Array(header.payload.prefix(8))
            switch encapsulation.kind {
            case .gue: #expect(start == [1, v6 ? 41 : 4, 0, 0] + named)
            case .vxlan: #expect(start == [8, 0, 0, 0] + named[1...] + [0])
            case .ipip: Issue.record("IPIP names no flow")
            }
            let contents = try header.payload.withUnsafeBytes {
                try EncapsulatedPacket.contents(of: $0, kind: encapsulation.kind, network: encapsulation.network)
            }
            #expect(contents.flow == flow && Array(header.payload[contents.range]) == packet)
        }
        // One of no flow: VXLAN's own network, and GUE's word would be a lie.
        let packet = Self.inner(v6: v6)
        let payload = OuterHeader(Self.encapsulate(packet, encapsulation)).payload
        let reading = payload.withUnsafeBytes {
            EncapsulatedPacket.read($0.baseAddress!, count: $0.count, kind: encapsulation.kind, network: 7_270)
        }
        guard encapsulation.kind == .vxlan else { return #expect(reading == .refused(.unknownHeader)) }
        guard case .packet(let contents) = reading else {
            Issue.record("\(reading)")
            return
        }
        #expect(contents.flow == 0)
    }

    /// IPIP has no room, and nothing is written there.
    @Test func ipipNamesNoFlow() {
        for var encapsulation in Self.all where encapsulation.kind == .ipip {
            let packet = Self.inner(v6: false)
            let plain = Self.encapsulate(packet, encapsulation)
            encapsulation.namesFlows = true
            #expect(Self.encapsulate(packet, encapsulation, flow: 0xAB_CDEF) == plain)
        }
    }

    /// Packets of one flow take one way, flows many.
    @Test(arguments: [false, true]) func entropyIsTheFlows(v6: Bool) {
        for encapsulation in Self.all where encapsulation.kind != .ipip {
            var ports: Set<UInt16> = []
            var labels: Set<UInt32> = []
            for client in 0..<512 {
                let port = UInt16(40_000 + client)
                let long = OuterHeader(Self.encapsulate(Self.inner(v6: v6, port: port, payload: 700), encapsulation))
                let short = OuterHeader(
                    Self.encapsulate(Self.inner(v6: v6, trafficClass: 3, port: port, payload: 0), encapsulation))
                #expect(long.sourcePort == short.sourcePort && long.flowLabel == short.flowLabel)
                ports.insert(long.sourcePort)
                labels.insert(long.flowLabel)
            }
            #expect(ports.count > 480)
            #expect(labels.count > 480 || encapsulation.destination.isV4)
        }
    }

    // MARK: reader

    private func refusal(
        _ payload: [UInt8], _ kind: Encapsulation.Kind, network: UInt32 = 7_270
    ) -> EncapsulatedPacket.Refusal? {
        payload.withUnsafeBytes { bytes in
            do throws(EncapsulatedPacket.Refusal) {
                _ = try EncapsulatedPacket.find(in: bytes, kind: kind, network: network)
                return nil
            } catch { return error }
        }
    }

    @Test(arguments: all, [false, true]) func whatIsCutIsRefused(encapsulation: Encapsulation, v6: Bool) {
        let payload = OuterHeader(Self.encapsulate(Self.inner(v6: v6), encapsulation)).payload
        #expect(refusal(payload, encapsulation.kind) == nil)
        for length in 0..<payload.count {
            #expect(refusal(Array(payload[..<length]), encapsulation.kind) != nil, "\(length)")
        }
        // Bytes behind the packet are nobody's.
        #expect(refusal(payload + [1, 2, 3], encapsulation.kind) == nil)
    }

    @Test func whatIsUnknownIsRefused() {
        func gue(_ header: [UInt8], v6: Bool = false) -> [UInt8] { header + Self.inner(v6: v6) }
        #expect(refusal(gue([0, 4, 0, 0]), .gue) == nil)
        #expect(refusal(gue([1, 4, 0, 0, 0, 0, 0, 7]), .gue) == nil)
        // Variant 1, a control message, an optional field, a flag; private data that names no flow, and more of it.
        let strange: [[UInt8]] = [
            [0x40, 4, 0, 0], [0x20, 4, 0, 0], [0x01, 4, 0, 0], [0, 4, 0x80, 0], [0, 4, 0, 1],
            [1, 4, 0, 0, 0, 0, 0, 0], [1, 4, 0, 0, 1, 0, 0, 7], [2, 4, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0],
        ]
        for header in strange {
            #expect(refusal(gue(header), .gue) == .unknownHeader)
        }
        #expect(refusal(gue([0, 41, 0, 0]), .gue) == .notIP)
        #expect(refusal(gue([0, 6, 0, 0]), .gue) == .notIP)
        #expect(refusal(gue([0, 4, 0, 0], v6: true), .gue) == .notIP)

        func vxlan(_ header: [UInt8], type: [UInt8] = [8, 0]) -> [UInt8] {
            header + [UInt8](repeating: 2, count: 12) + type + Self.inner(v6: false)
        }
        #expect(refusal(vxlan([8, 0, 0, 0, 0, 0x1C, 0x66, 0]), .vxlan) == nil)
        #expect(refusal(vxlan([0, 0, 0, 0, 0, 0x1C, 0x66, 0]), .vxlan) == .unknownHeader)
        #expect(refusal(vxlan([8, 0, 0, 0, 0, 0x1C, 0x67, 0]), .vxlan) == .foreignNetwork)
        #expect(refusal(vxlan([8, 0, 0, 0, 0, 0x1C, 0x66, 0], type: [8, 6]), .vxlan) == .notIP)

        var packet = Self.inner(v6: false)
        packet[6] = 0x20
        #expect(refusal(packet, .ipip) == .fragment)
        packet[6] = 0x40
        packet[0] = 0x44
        #expect(refusal(packet, .ipip) == .notIP)
        packet[0] = 0x75
        #expect(refusal(packet, .ipip) == .notIP)
        packet = Self.inner(v6: true)
        packet[6] = 44
        #expect(refusal(packet, .ipip) == .fragment)
    }

    /// RFC 6040 section 4.2, figure 4: rows are the inner marks Not-ECT, ECT(0), ECT(1), CE; columns the outer ones. nil: drop.
    @Test(arguments: [false, true]) func marksAreCombined(v6: Bool) {
        let (notCapable, ect0, ect1, congested): (UInt8, UInt8, UInt8, UInt8) = (0, 2, 1, 3)
        let marks = [notCapable, ect0, ect1, congested]
        let table: [[UInt8?]] = [
            [notCapable, notCapable, notCapable, nil], [ect0, ect0, ect1, congested],
            [ect1, ect1, ect1, congested], [congested, congested, congested, congested],
        ]
        for (inner, row) in zip(marks, table) {
            for (outer, combined) in zip(marks, row) {
                var packet = Self.inner(v6: v6, trafficClass: 0xB8 | inner)
                let isKept = packet.withUnsafeMutableBytes {
                    EncapsulatedPacket.combineMarks($0.baseAddress!, outer: 0x28 | outer)
                }
                #expect(isKept == (combined != nil))
                // The inner code point is the client's.
                let expected = Self.inner(v6: v6, trafficClass: 0xB8 | (combined ?? inner))
                #expect(packet == expected, "\(inner) in \(outer)")
            }
        }
    }
}
