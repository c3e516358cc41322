import Testing
import Wire

extension FlowKey {
    init(client: ([UInt8], UInt16), server: ([UInt8], UInt16)) {
        func address(_ bytes: [UInt8]) -> IPAddress {
            if bytes.count == 4 { return IPAddress(v4: bytes.long(0)) }
            let words = stride(from: 0, to: 16, by: 4).map { UInt64(bytes.long($0)) }
            return IPAddress(high: words[0] << 32 | words[1], low: words[2] << 32 | words[3])
        }
        self.init(
            client: address(client.0), clientPort: client.1, server: address(server.0), serverPort: server.1)
    }
}

@Suite struct ReaddressTests {
    /// Every layout, both ways, against frames that are built anew.
    @Test(arguments: translationSeeds) func addressesAndPortsAgreeWithRecomputation(seed: UInt64) {
        var segments = RandomSegments(seed: seed)
        for round in 0..<3_000 {
            var segment = segments.segment()
            let client = (segments.address(isV6: segment.isV6), segments.port())
            let server = (segments.address(isV6: segment.isV6), segments.port())
            let key = FlowKey(client: client, server: server)
            let frame = segment.frame
            let up = frame.changed { key.readdress($0, $1, fromClient: true) }
            let down = frame.changed { key.readdress($0, $1, fromClient: false) }

            (segment.source, segment.sourcePort) = client
            (segment.destination, segment.destinationPort) = server
            #expect(
                up.isChanged && up.bytes == segment.frame, "seed \(seed), round \(round), to the server: \(segment)")
            (segment.source, segment.sourcePort) = server
            (segment.destination, segment.destinationPort) = client
            #expect(
                down.isChanged && down.bytes == segment.frame, "seed \(seed), round \(round), to the client: \(segment)"
            )
        }
    }

    @Test func aKeyOfTheOtherFamilyChangesNothing() {
        var segments = RandomSegments(seed: 6)
        for isV6 in [false, true] {
            let frame = segments.segment(isV6: isV6).frame
            let other = (segments.address(isV6: !isV6), UInt16(1))
            let result = frame.changed {
                FlowKey(client: other, server: other).readdress($0, $1, fromClient: true)
            }
            #expect(!result.isChanged && result.bytes == frame)
        }
    }

    /// Both checksums, IP's and TCP's.
    @Test func wrongChecksumsStayWrong() {
        var segments = RandomSegments(seed: 7)
        for _ in 0..<500 {
            var segment = segments.segment()
            segment.networkOptions = []
            let key = FlowKey(
                client: (segments.address(isV6: segment.isV6), 1), server: (segments.address(isV6: segment.isV6), 2))
            var frame = segment.frame
            let network = segment.vlan == nil ? 14 : 18
            // An address that was damaged on the way; TCP's sum covers it, too.
            frame[network + (segment.isV6 ? 20 : 14)] ^= 0x40
            #expect(SegmentValue(frame: frame) == nil)
            let result = frame.changed { key.readdress($0, $1, fromClient: true) }.bytes
            #expect(SegmentValue(frame: result) == nil, "\(segment)")
        }
    }
}
