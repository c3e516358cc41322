import Wire

/// A client as RFC 9293 and RFC 7323 have it, as far as a handshake goes.
struct Client {
    /// Nil when it says none.
    var segmentSize: UInt16? = 1_460
    var windowScale: UInt8?
    var sack = false
    var timestamps = false
    var ecn = false
    var isn: UInt32 = 0x1234_5678
    var timestamp: UInt32 = 0x0102_0304
    var isV6 = false
    var tag: UInt16?

    /// In the order of Linux.
    var options: [UInt8] {
        var bytes: [UInt8] = []
        if let segmentSize { bytes += [2, 4] + big(segmentSize) }
        if sack { bytes += [4, 2] }
        if timestamps { bytes += [8, 10] + big(timestamp) + [0, 0, 0, 0] }
        if let windowScale { bytes += [3, 3, windowScale] }
        return Client.padded(bytes)
    }

    static func padded(_ options: [UInt8]) -> [UInt8] {
        options + [UInt8](repeating: 1, count: (4 - options.count % 4) % 4)
    }

    var syn: HandshakeSegment {
        var syn = HandshakeSegment(isV6: isV6, flags: ecn ? 0xC2 : 0x02)
        syn.tag = tag
        syn.sequence = isn
        syn.options = options
        return syn
    }

    /// What it sends when it gets this answer; the request with it, if there is one.
    func acknowledgement(of answer: HandshakeSegment, request: [UInt8] = []) -> HandshakeSegment {
        var segment = HandshakeSegment(isV6: isV6, flags: request.isEmpty ? 0x10 : 0x18)
        segment.tag = tag
        segment.sequence = isn &+ 1
        segment.acknowledgement = answer.sequence &+ 1
        segment.window = 501
        segment.payload = request
        let timestampOption = answer.options.count >= 16 ? Array(answer.options[6..<16]) : nil
        if let timestampOption, timestamps {
            segment.options = [1, 1, 8, 10] + big(timestamp &+ 3) + timestampOption[2..<6]
        }
        return segment
    }
}

/// A director: key, offer and time.
struct Responder {
    var key = CookieKey(secret: CookieSecret(low: 0x0706_0504_0302_0100, high: 0x0F0E_0D0C_0B0A_0908), minute: 1_000)
    var offer = HandshakeOffer(windowScale: 9, sack: true, timestamps: true, ecn: true)
    var milliseconds: UInt32 = 60_000_123

    /// Some bytes behind the frame show when something is written there.
    static let guardBytes: [UInt8] = [0xA5, 0x5A, 0xC3, 0x3C]

    /// - Returns: what became of the frame, and the frame's bytes then.
    func answer(_ frame: [UInt8], room: Int = 98) -> (SYNAnswer, [UInt8]) {
        let size = max(frame.count, room)
        var buffer = frame + [UInt8](repeating: 0xEE, count: size - frame.count) + Self.guardBytes
        let answer = buffer.withUnsafeMutableBytes { bytes in
            let base = bytes.baseAddress!
            return SYNAnswer.answer(
                base, PacketLayout(of: UnsafeRawPointer(base), length: frame.count), room: room, offer: offer, key: key,
                milliseconds: milliseconds)
        }
        precondition(buffer.suffix(4) == Self.guardBytes[...])
        guard case .answered(let length) = answer else { return (answer, Array(buffer.prefix(frame.count))) }
        return (answer, Array(buffer.prefix(length)))
    }

    func answer(_ syn: HandshakeSegment) -> HandshakeSegment? {
        guard case (.answered, let frame) = answer(syn.bytes) else { return nil }
        return HandshakeSegment(frame)
    }

    func check(_ frame: [UInt8]) -> CookieReturn {
        frame.withUnsafeBytes { bytes in
            CookieReturn.check(
                bytes.baseAddress!, PacketLayout(of: bytes.baseAddress!, length: frame.count), offer: offer, key: key,
                milliseconds: milliseconds)
        }
    }

    func check(_ segment: HandshakeSegment) -> CookieReturn { check(segment.bytes) }
    func accepts(_ segment: HandshakeSegment) -> Bool {
        if case .accepted = check(segment) { true } else { false }
    }
}

extension SplitMix64 {
    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) } }
}
