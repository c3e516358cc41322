import Testing
import Wire

/// ICMP errors about segments that were translated: whoever gets one must find in it what he sent himself.
@Suite struct ErrorTranslationTests {
    /// A segment is translated, its first bytes come back in an error, and the error is translated the other way: each
    /// field that is wholly there is the sender's own again, and all checksums are right, the quoted one included.
    @Test(arguments: translationSeeds) func quotesAreWhatTheirSenderSent(seed: UInt64) {
        var segments = RandomSegments(seed: seed)
        var cuts: Set<Int> = []
        for round in 0..<4_000 {
            var (client, server) = segments.views()
            // What is rounded or blanked cannot be had back.
            client.options = server.options
            let translation = Translation(client: client, server: server)
            let reference = ReferenceTranslation(client: client, server: server)
            var original = segments.segment()
            if original.isV6 { original.networkOptions = [] }
            let isServers = segments.chance(50)
            let seen = isServers ? reference.toClient(original) : reference.toServer(original)

            let header = 20 + original.options.reduce(0) { $0 + $1.bytes.count }
            let count = segments.chance(30) ? 8 : segments.number(8...min(seen.tcp.count, header + 8))
            cuts.insert(count)
            let router = segments.address(isV6: original.isV6)
            let error = seen.error(quoting: Array(seen.tcp.prefix(count)), from: router)
            let result = error.changed(isServers ? translation.toServer : translation.toClient)

            var quoted = quote(of: original, seenAs: seen, bytes: count).tcp.prefix(count)
            // Half a checksum tells nothing.
            if count == 17 { quoted[16] = seen.tcp[16] }
            let expected = original.error(quoting: Array(quoted), from: router)
            #expect(result.isChanged)
            #expect(result.bytes == expected, "seed \(seed), round \(round), \(count) bytes quoted of \(original)")
        }
        #expect(cuts.isSuperset(of: 8...60))
    }

    /// What comes out of a quote of so many bytes: `original`, but for what was cut off.
    private func quote(of original: SegmentValue, seenAs seen: SegmentValue, bytes count: Int) -> SegmentValue {
        var result = seen
        result.sequence = original.sequence
        guard count >= 20 else { return result }
        result.acknowledgement = original.acknowledgement
        result.window = original.window
        var end = 20
        for (index, option) in original.options.enumerated() {
            end += option.bytes.count
            if end <= count { result.options[index] = option }
        }
        return result
    }

    @Test(arguments: translationSeeds) func addressesOfErrorsAgreeWithRecomputation(seed: UInt64) {
        var segments = RandomSegments(seed: seed)
        for round in 0..<3_000 {
            var original = segments.segment()
            if original.isV6 { original.networkOptions = [] }
            let isV6 = original.isV6
            var seen = original
            (seen.source, seen.sourcePort) = (segments.address(isV6: isV6), segments.port())
            (seen.destination, seen.destinationPort) = (segments.address(isV6: isV6), segments.port())
            let isServers = segments.chance(50)
            let (source, destination) = (
                (original.source, original.sourcePort), (original.destination, original.destinationPort)
            )
            let key =
                isServers ? FlowKey(client: destination, server: source) : FlowKey(client: source, server: destination)

            // Half of them come from the host that the segment went to, the others from a router on the way.
            let isFromEnd = segments.chance(50)
            let router = segments.address(isV6: isV6)
            let count = segments.number(8...min(seen.tcp.count, 70))
            let error = seen.error(quoting: Array(seen.tcp.prefix(count)), from: isFromEnd ? seen.destination : router)
            let result = error.changed { key.readdress($0, $1, fromClient: isServers) }
            var quoted = original.tcp.prefix(count)
            if count == 17 { quoted[16] = seen.tcp[16] }
            let expected = original.error(
                quoting: Array(quoted), from: isFromEnd ? original.destination : router)
            #expect(result.isChanged)
            #expect(result.bytes == expected, "seed \(seed), round \(round), \(count) bytes quoted of \(original)")
        }
    }

    /// RFC 4884: behind a quote that is the whole packet come padding and objects, which are no TCP header.
    @Test func extensionsBehindTheQuoteStay() {
        let options = NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460)
        let translation = Translation(
            client: .init(serverSequence: .init(9_000), serverTimestamp: 70, options: options),
            server: .init(serverSequence: .init(1_000), options: options))
        var segments = RandomSegments(seed: 8)
        for isV6 in [false, true] {
            var original = segments.segment(isV6: isV6)
            original.networkOptions = []
            original.options = []
            original.payload = []
            original.flags = 16
            var seen = original
            seen.sequence = original.sequence &+ 8_000
            // As timestamps would look.
            let objects = Array(repeatElement([8, 10, 0, 0, 0, 1, 0, 0, 0, 2] as [UInt8], count: 6).joined())
            // A data offset that reaches into the padding, as damage would make it.
            func tcp(_ segment: SegmentValue) -> [UInt8] {
                segment.tcp.enumerated().map { $0.offset == 12 ? 0xF0 : $0.element }
            }
            let error = seen.error(
                quoting: tcp(seen), from: [UInt8](repeating: 9, count: isV6 ? 16 : 4), extensions: objects)
            let result = error.changed(translation.toServer)
            let expected = original.error(
                quoting: tcp(original), from: [UInt8](repeating: 9, count: isV6 ? 16 : 4), extensions: objects)
            #expect(result.isChanged && result.bytes == expected)
        }
    }

    /// A wrong sum over the error stays wrong.
    @Test func wrongErrorsStayWrong() {
        var segments = RandomSegments(seed: 10)
        for _ in 0..<300 {
            let (client, server) = segments.views()
            var segment = segments.segment()
            segment.networkOptions = []
            let right = segment.error(quoting: Array(segment.tcp.prefix(8)), from: segment.destination)
            var wrong = right
            let field = (segment.vlan == nil ? 14 : 18) + (segment.isV6 ? 40 : 20) + 2
            wrong[field] ^= 0x10
            let translation = Translation(client: client, server: server)
            #expect(right.changed(translation.toServer).bytes != wrong.changed(translation.toServer).bytes)
        }
    }
}
