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

    /// The short way for plain segments against the two steps of all others.
    @Test(arguments: translationSeeds) func theShortWayAgreesWithTheLongOne(seed: UInt64) {
        var segments = RandomSegments(seed: seed)
        var (taken, left) = (0, 0)
        for round in 0..<6_000 {
            let (client, server) = segments.views()
            // As it is kept.
            let translation = PackedTranslation(Translation(client: client, server: server)).translation
            var segment = segments.segment()
            segment.networkOptions = []
            segment.flags = segment.flags & ~2 | 16
            if segments.chance(50) { segment.options = [] }
            let dialled = (segments.address(isV6: segment.isV6), segments.port())
            let origin = (segments.address(isV6: segment.isV6), segments.port())
            let toServer = round & 1 == 0
            (segment.source, segment.sourcePort) = toServer ? (segment.source, segment.sourcePort) : origin
            (segment.destination, segment.destinationPort) =
                toServer ? dialled : (segment.destination, segment.destinationPort)
            let other = toServer ? (segment.source, segment.sourcePort) : (segment.destination, segment.destinationPort)
            let key = FlowKey(client: other, server: toServer ? origin : dialled)
            let (old, new) = (FlowKey(client: other, server: dialled), FlowKey(client: other, server: origin))
            let ends = (
                Endpoint(old.server, port: old.serverPort), Endpoint(new.server, port: new.serverPort)
            )
            let rewrite = EndpointRewrite(from: toServer ? ends.0 : ends.1, to: toServer ? ends.1 : ends.0)

            let short = segment.frame.changed { frame, layout in
                let (network, tcp) = (frame + Int(layout.network), frame + Int(layout.transport))
                return toServer
                    ? translation.toServer(plain: network, tcp, destination: rewrite, isV6: segment.isV6)
                    : translation.toClient(plain: network, tcp, source: rewrite, isV6: segment.isV6)
            }
            let long = segment.frame.changed { frame, layout in
                (toServer ? translation.toServer(frame, layout) : translation.toClient(frame, layout))
                    && key.readdress(frame, layout, fromClient: toServer)
            }
            if short.isChanged {
                taken += 1
                #expect(short.bytes == long.bytes, "seed \(seed), round \(round): \(segment)")
            } else {
                left += 1
                #expect(short.bytes == segment.frame && !segment.options.isEmpty, "seed \(seed), round \(round)")
            }
        }
        #expect(taken > 3_000 && left > 100)
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
