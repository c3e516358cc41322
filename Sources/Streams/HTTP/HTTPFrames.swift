internal import CRTP
internal import NIOHTTP1

/// Frames in headers of HTTP/1.1: each is the value of a `CRTP` field, in base64url without padding (RFC 4648,
/// section 5).
enum HTTPFrames {
    static var field: String { "CRTP" }
    /// Names the exchange, which may use several connections: 32 hexadecimal digits.
    static var exchangeField: String { "CRTP-Exchange" }
    /// Frames of one request or answer: their fields stay below the 8 KiB that intermediaries allow for a head.
    static var most: Int { 3 }

    static func put(_ frames: [[UInt8]], into headers: inout HTTPHeaders) {
        for frame in frames { headers.add(name: field, value: encode(frame)) }
    }

    /// nil when one of the fields holds no frame, or there are too many.
    static func frames(of headers: HTTPHeaders) -> [[UInt8]]? {
        let values = headers[field]
        guard values.count <= most else { return nil }
        var frames: [[UInt8]] = []
        for value in values {
            guard let frame = decode(value), frame.withUnsafeBytes(FrameHeader.frameLength) == frame.count else {
                return nil
            }
            frames.append(frame)
        }
        return frames
    }

    static func isExchange(_ name: String) -> Bool {
        name.utf8.count == 32 && name.utf8.allSatisfy { Character(UnicodeScalar($0)).isHexDigit }
    }

    // MARK: base64url

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 4 + 2) / 3)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var word: UInt32 = 0
            for byte in group { word = word << 8 | UInt32(byte) }
            word <<= 8 * UInt32(3 - group.count)
            for place in 0...group.count { text.append(alphabet[Int(word >> (18 - 6 * UInt32(place)) & 63)]) }
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: String) -> [UInt8]? {
        guard text.utf8.count <= (FrameHeader.maximumFrame * 4 + 2) / 3, text.utf8.count % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        var word: UInt32 = 0
        var bits = 0
        for letter in text.utf8 {
            guard let value = value(of: letter) else { return nil }
            word = word << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(bits)))
            }
        }
        // What is left over of the last letter is zero.
        return word & ((1 << UInt32(bits)) - 1) == 0 ? bytes : nil
    }

    private static func value(of letter: UInt8) -> UInt8? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): letter - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): letter - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): letter - UInt8(ascii: "0") + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
