import Testing
import Wire

/// Seeds of all property tests here; the last one is new each time, and a failure names it.
let translationSeeds = [UInt64(1), 2, 3, UInt64.random(in: 4...UInt64.max)]

@Suite struct TranslationTests {
    /// Segments of every layout, both ways, against values that are changed field by field and built anew.
    @Test(arguments: translationSeeds) func translationAgreesWithRecomputation(seed: UInt64) {
        var segments = RandomSegments(seed: seed)
        var offsets: [String: Set<Int>] = ["timestamps": [], "sack": []]
        var wraps = 0
        for round in 0..<6_000 {
            let (client, server) = segments.views()
            let translation = Translation(client: client, server: server)
            let reference = ReferenceTranslation(client: client, server: server)
            let segment = segments.segment()
            note(segment, &offsets)

            let down = segment.frame.changed(translation.toClient)
            let expectedDown = reference.toClient(segment)
            #expect(down.isChanged)
            #expect(down.bytes == expectedDown.frame, "seed \(seed), round \(round), to the client: \(segment)")

            let up = segment.frame.changed(translation.toServer)
            #expect(up.isChanged)
            #expect(
                up.bytes == reference.toServer(segment).frame, "seed \(seed), round \(round), to the server: \(segment)"
            )
            if expectedDown.sequence < segment.sequence, translation.sequence < 1 << 31 { wraps += 1 }
        }
        #expect(offsets["timestamps"] == [0, 1, 2, 3] && offsets["sack"] == [0, 1, 2, 3])
        #expect(wraps > 50)
    }

    private func note(_ segment: SegmentValue, _ offsets: inout [String: Set<Int>]) {
        var offset = 0
        for option in segment.options {
            if option.isTimestamps { offsets["timestamps"]?.insert(offset % 4) }
            if option.isSACK { offsets["sack"]?.insert(offset % 4) }
            offset += option.bytes.count
        }
    }

    /// Corruption is not laundered: what was wrong comes out wrong, with every other byte as it should be.
    @Test(arguments: translationSeeds) func wrongChecksumsStayWrong(seed: UInt64) {
        var segments = RandomSegments(seed: seed)
        for round in 0..<2_000 {
            let (client, server) = segments.views()
            let translation = Translation(client: client, server: server)
            var segment = segments.segment()
            segment.networkOptions = []
            segment.flaw = UInt16(segments.number(1...0xFFFE))
            // 0xFFFF for 0 would be the same number.
            guard segment.tcp.word(16) != 0xFFFF else { continue }
            let result = segment.frame.changed(translation.toClient).bytes
            var right = ReferenceTranslation(client: client, server: server).toClient(segment)
            right.flaw = 0
            #expect(SegmentValue(frame: result) == nil, "seed \(seed), round \(round): \(segment)")
            let checksum = (segment.vlan == nil ? 14 : 18) + (segment.isV6 ? 40 : 20) + 16
            var repaired = result
            repaired.replaceSubrange(checksum..<checksum + 2, with: right.frame[checksum..<checksum + 2])
            #expect(repaired == right.frame, "seed \(seed), round \(round): \(segment)")
        }
    }

    /// A length that does not fit, a SACK of half a block, timestamps of another size: the caller hears of it, and not a
    /// byte has changed.
    @Test(
        arguments: [
            [8, 0, 1, 1], [8, 1, 1, 1], [2, 5, 5, 180], [1, 1, 1, 8], [5, 9, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1],
            [5, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0], [8, 8, 0, 0, 0, 1, 0, 0],
            [1, 1, 8, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 1, 1],
            [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 5, 255, 0, 0], [1, 1, 8, 10, 0, 0, 0, 1],
        ] as [[UInt8]])
    func malformedOptionsLeaveTheSegmentAsItIs(options: [UInt8]) {
        var segments = RandomSegments(seed: 1)
        let translation = Translation(
            client: .init(serverSequence: .init(9_000), serverTimestamp: 70, options: Self.all(0, 0)),
            server: .init(serverSequence: .init(1_000), serverTimestamp: 20, options: Self.all(3, 3)))
        for isV6 in [false, true] {
            var segment = segments.segment(isV6: isV6)
            // END's other bytes may be anything, so what comes before them may be written over END itself.
            segment.options = [.end([UInt8](options.dropFirst()))]
            var frame = segment.frame
            let start = (segment.vlan == nil ? 14 : 18) + segment.packet.count - segment.payload.count - options.count
            frame[start] = options[0]
            let (down, up) = (frame.changed(translation.toClient), frame.changed(translation.toServer))
            #expect(!down.isChanged && down.bytes == frame)
            #expect(!up.isChanged && up.bytes == frame)
        }
    }

    /// Whatever is no TCP segment is refused.
    @Test func othersAreLeftAlone() {
        let translation = Translation(
            client: .init(serverSequence: .init(1), options: Self.all(0, 0)),
            server: .init(serverSequence: .init(2), options: Self.all(0, 0)))
        var frame = RandomSegments(seed: 9).with { $0.segment(isV6: false).frame }
        frame[frame.word(12) == 0x8100 ? 27 : 23] = 17
        let result = frame.changed(translation.toClient)
        #expect(!result.isChanged && result.bytes == frame)
    }

    /// Nothing differs, so nothing changes.
    @Test func equalViewsAreTheIdentity() {
        var segments = RandomSegments(seed: 4)
        for _ in 0..<500 {
            let view = segments.views().client
            let translation = Translation(client: view, server: view)
            let frame = segments.segment().frame
            #expect(frame.changed(translation.toClient) == (true, frame))
            #expect(frame.changed(translation.toServer) == (true, frame))
        }
    }

    static func all(_ clientScale: UInt8, _ serverScale: UInt8) -> NegotiatedOptions {
        NegotiatedOptions(
            clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: clientScale, serverWindowScale: serverScale,
            windowScale: true, sack: true, timestamps: true)
    }

    /// It lies in a flow's second cache line, beside addresses.
    @Test func aTranslationIsSmall() {
        #expect(MemoryLayout<Translation>.stride == 16)
    }
}

extension RandomSegments {
    /// The value that `body` makes.
    consuming func with<Value>(_ body: (inout RandomSegments) -> Value) -> Value {
        var copy = self
        return body(&copy)
    }
}

@Suite struct WindowScalingTests {
    @Test(
        arguments: [
            // The server agreed to no scale: the client's windows become bytes.
            (7, 0, 10, 1_280), (7, 0, 512, 65_535), (14, 0, 65_535, 65_535), (14, 0, 1, 16_384),
            // The server shifts by less than the client was told: rounded down, never closed.
            (0, 7, 65_535, 511), (0, 7, 128, 1), (0, 7, 127, 1), (0, 7, 1, 1), (0, 7, 0, 0), (0, 14, 65_535, 3),
            // By more.
            (9, 7, 100, 400), (9, 7, 20_000, 65_535), (7, 9, 3, 1),
            // No difference.
            (7, 7, 3, 3), (0, 0, 65_535, 65_535),
            // RFC 7323 section 2.3: more than 14 is 14.
            (200, 14, 77, 77),
        ] as [(UInt8, UInt8, UInt16, UInt16)])
    func windows(sent: UInt8, read: UInt8, window: UInt16, expected: UInt16) {
        #expect(WindowScaling(sent: sent, read: read).scaled(window) == expected)
    }
}

@Suite struct SegmentSizeTests {
    /// At every offset that NOPs can push it to.
    @Test func theClampKeepsChecksumsRight() {
        var segments = RandomSegments(seed: 5)
        for shift in 0..<4 {
            for size in [UInt16(0), 536, 1_380, 1_381, 9_000, 65_535] {
                var segment = segments.segment()
                segment.flags = 2
                let pad = [OptionValue](repeating: .noOperation, count: shift)
                let tail = [OptionValue](repeating: .noOperation, count: (8 - shift) % 4)
                segment.options = pad + [.other(kind: 2, big(size))] + tail
                let result = segment.frame.changed { frame, layout in
                    let header = frame + Int(layout.transport)
                    var edit = HeaderEdit(header)
                    let options = TCPOptions(of: TCPHeader(header))
                    let isClamped = edit.clampMaximumSegmentSize(options, to: 1_380)
                    edit.updateChecksum(16, after: edit.change)
                    return isClamped
                }
                #expect(result.isChanged == (size > 1_380))
                segment.options = pad + [.other(kind: 2, big(min(size, 1_380)))] + tail
                #expect(result.bytes == segment.frame, "\(size) at \(shift)")
            }
        }
    }
}
