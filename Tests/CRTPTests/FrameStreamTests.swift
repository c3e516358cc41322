import CRTP
import Testing

@Suite struct FrameStreamTests {
    private func frame(_ length: Int, filler: UInt8 = 0xAA) -> [UInt8] {
        var bytes = [UInt8](repeating: filler, count: length)
        bytes.replaceSubrange(0..<6, with: [0x14, 5, 0, 0, UInt8(length >> 8), UInt8(length & 0xFF)])
        return bytes
    }

    /// The frames of a stream that comes in these pieces; nil when it broke.
    private func cut(_ pieces: [ArraySlice<UInt8>]) -> [[UInt8]]? {
        var stream = FrameStream()
        var frames: [[UInt8]] = []
        for piece in pieces { piece.withUnsafeBytes { _ = stream.append($0) { frames.append($0) } } }
        return stream.isBroken ? nil : frames
    }

    @Test func framesAreWholeWhereverTheStreamIsCut() {
        let frames = [frame(48, filler: 1), frame(1_472, filler: 2), frame(49, filler: 3), frame(336, filler: 4)]
        let bytes = frames.flatMap { $0 }
        #expect(cut([bytes[...]]) == frames)
        for first in 0...bytes.count {
            #expect(cut([bytes[..<first], bytes[first...]]) == frames, "cut at \(first)")
        }
        for size in [1, 2, 5, 6, 7, 47, 48, 49, 1_471, 1_473] {
            let pieces = stride(from: 0, to: bytes.count, by: size).map { bytes[$0..<min($0 + size, bytes.count)] }
            #expect(cut(pieces) == frames, "pieces of \(size)")
        }
    }

    @Test func aFrameThatIsNotWholeIsNotGiven() {
        let bytes = frame(100)
        #expect(cut([bytes[..<99]]) == [])
        #expect(cut([bytes[..<5]]) == [])
    }

    @Test(arguments: [0, 47, 1_473, 65_535]) func aLengthOutOfBoundsBreaksTheStream(_ length: Int) {
        var bytes = frame(48)
        bytes[4] = UInt8(length >> 8)
        bytes[5] = UInt8(length & 0xFF)
        for first in 0...6 {
            #expect(cut([bytes[..<first], bytes[first...]]) == nil)
        }
        let good = frame(60)
        var stream = FrameStream()
        var frames: [[UInt8]] = []
        (good + bytes + good).withUnsafeBytes { _ = stream.append($0) { frames.append($0) } }
        #expect(frames == [good] && stream.isBroken, "what stood before it was given, and nothing behind it")
        good.withUnsafeBytes { #expect(!stream.append($0) { frames.append($0) }) }
        #expect(frames == [good])
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "\u{24}\u{5}\u{0}\u{0}\u{0}\u{30}"])
    func whatIsNoFrameBreaksTheStream(_ text: String) {
        let bytes = Array(text.utf8)
        #expect(cut([bytes[...]]) == nil)
        #expect(cut(bytes.indices.map { bytes[$0...$0] }) == nil)
    }

    @Test func theLongestFrameIsTheMostThatIsKept() {
        var stream = FrameStream()
        var count = 0
        let bytes = frame(1_472)
        for _ in 0..<10_000 {
            bytes.withUnsafeBytes { _ = stream.append($0) { count += $0.count } }
        }
        #expect(count == 14_720_000)
    }
}
