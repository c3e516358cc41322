import Testing
import Wire

private func header(_ bytes: [UInt8]) -> QUICLongHeader? { bytes.withUnsafeBytes { QUICLongHeader($0) } }

@Suite struct QUICLongHeaderTests {
    private let initial: [UInt8] = [0xC0, 0, 0, 0, 1, 8] + Array(1...8) + [2, 0xAA, 0xBB, 0]

    @Test func identifiersAreFound() throws {
        let read = try #require(header(initial))
        #expect(read.version == 1 && read.isInitial)
        #expect(read.destination == ByteRange(start: 6, count: 8) && read.source == ByteRange(start: 15, count: 2))
        #expect(read.opens(datagramOf: 1_200) && !read.opens(datagramOf: 1_199))
        for count in 0..<17 { #expect(header(Array(initial[..<count])) == nil) }
    }

    @Test func otherPacketsAreTold() {
        func isInitial(_ first: UInt8, _ version: [UInt8]) -> Bool? {
            header([first] + version + initial[5...])?.isInitial
        }
        #expect(isInitial(0xD3, [0x6B, 0x33, 0x43, 0xCF]) == true)
        // 0-RTT, Handshake, Retry of version 1; Retry of version 2; the fixed bit missing; negotiation; the future.
        #expect(isInitial(0xD0, [0, 0, 0, 1]) == false && isInitial(0xE0, [0, 0, 0, 1]) == false)
        #expect(isInitial(0xF0, [0, 0, 0, 1]) == false && isInitial(0xC0, [0x6B, 0x33, 0x43, 0xCF]) == false)
        #expect(isInitial(0x80, [0, 0, 0, 1]) == false && isInitial(0xC0, [0, 0, 0, 0]) == false)
        #expect(isInitial(0xC0, [0, 0, 0, 2]) == false)
        #expect(isInitial(0x40, [0, 0, 0, 1]) == nil)
        // Identifiers of 21 bytes, and one that is too easy to guess.
        #expect(header([0xC0, 0, 0, 0, 1, 21] + [UInt8](repeating: 1, count: 40)) == nil)
        #expect(header([0xC0, 0, 0, 0, 1, 0, 21] + [UInt8](repeating: 1, count: 40)) == nil)
        #expect(header([0xC0, 0, 0, 0, 1, 7] + Array(1...7) + [0])?.opens(datagramOf: 1_200) == false)
    }
}

@Suite struct QUICHandshakeStreamTests {
    private func insert(_ stream: inout QUICHandshakeStream, _ bytes: [UInt8], _ offset: Int) -> Bool {
        bytes.withUnsafeBytes { stream.insert($0, at: offset) }
    }

    private func take(_ stream: inout QUICHandshakeStream, _ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { stream.take(frames: $0) }
    }

    /// Against the simplest possible stream: pieces of one text in random order, some of them twice.
    @Test(arguments: 1...40) func anyOrderGivesTheSameText(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let text = (0..<600).map { _ in UInt8.random(in: 0...255, using: &random) }
        var stream = QUICHandshakeStream()
        var known = [Bool](repeating: false, count: text.count)
        while known.contains(false) {
            let start = Int.random(in: 0..<text.count, using: &random)
            let end = min(text.count, start + Int.random(in: 0...150, using: &random))
            guard insert(&stream, Array(text[start..<end]), start) else {
                Issue.record("refused with seed \(seed)")
                return
            }
            for index in start..<end { known[index] = true }
            let expected = known.firstIndex(of: false) ?? known.count
            #expect(Array(stream.contiguous) == Array(text[..<expected]), "seed \(seed)")
        }
    }

    @Test func whatIsSaidTwiceMustBeTheSame() {
        var stream = QUICHandshakeStream()
        #expect(insert(&stream, [1, 2, 3], 5))
        #expect(insert(&stream, [3, 4], 7))
        #expect(!insert(&stream, [9], 6))
    }

    @Test func bytesAndPiecesAreBounded() {
        var stream = QUICHandshakeStream()
        #expect(insert(&stream, [1], QUICHandshakeStream.maximumLength - 1))
        #expect(!insert(&stream, [1], QUICHandshakeStream.maximumLength))
        #expect(!insert(&stream, [1], Int.max))
        var scattered = QUICHandshakeStream()
        for piece in 0..<QUICHandshakeStream.maximumPieces { #expect(insert(&scattered, [1], 2 * piece)) }
        #expect(!insert(&scattered, [1], 2 * QUICHandshakeStream.maximumPieces))
    }

    @Test func framesAreRead() {
        var stream = QUICHandshakeStream()
        // PADDING, PING, ACK of two ranges, ACK with ECN counts, CRYPTO of three bytes, PADDING
        #expect(take(&stream, [0, 1, 2, 9, 0, 1, 2, 3, 4, 3, 9, 0, 0, 2, 1, 2, 3, 6, 0, 3, 7, 8, 9, 0]))
        #expect(Array(stream.contiguous) == [7, 8, 9])
        #expect(take(&stream, [6, 0x40, 3, 1, 5]))
        #expect(Array(stream.contiguous) == [7, 8, 9, 5])
    }

    @Test(
        arguments: [
            [], [0x1C, 0, 0, 0], [0x08, 0], [6, 0, 4, 1, 2, 3], [6, 0], [6], [2, 9, 0, 9, 1], [0x40],
            [6, 0xC0, 0, 0, 0],
            [6, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 1],
        ] as [[UInt8]]) func whatAClientHasNoBusinessToSendIsRefused(_ frames: [UInt8])
    {
        var stream = QUICHandshakeStream()
        #expect(!take(&stream, frames))
    }

    @Test func aHelloIsReadWithoutRecords() {
        let message = HelloBuilder(alpn: ["h3"]).message
        func read(_ bytes: [UInt8]) -> Recognition { bytes.withUnsafeBytes { recogniseQUICHandshake($0) } }
        guard case .request(let request) = read(message) else {
            Issue.record("not read")
            return
        }
        #expect(request.application == .quic && request.alpn == .http3 && request.headLength == message.count)
        #expect(message.withUnsafeBytes { Array(request.host.of($0)) } == Array("www.example.com".utf8))
        for count in message.indices { #expect(read(Array(message[..<count])) == .incomplete) }
        #expect(read(message + [0]) == .unsuitable(.malformed))
        #expect(read(HelloBuilder(extra: [(42, [])]).message) == .unsuitable(.earlyData))
        #expect(read(HelloBuilder(extra: [(0xFE0D, [0, 1])]).message) == .unsuitable(.encryptedClientHello))
        #expect(read(HelloBuilder(serverName: nil).message) == .unsuitable(.noServerName))
    }
}
