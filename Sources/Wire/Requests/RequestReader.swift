/// Reads the first bytes of a connection as any of the applications of `wanted`.
///
/// Total and pure: every input gives an answer, nothing is allocated. Cost is linear in the bytes. What can no longer
/// become a wanted application is unsuitable from the first byte that says so; a longer prefix of the same stream
/// never takes back `.request` or `.unsuitable`.
public func recogniseRequest(_ bytes: UnsafeRawBufferPointer, wanted: Application) -> Recognition {
    if wanted.isEmpty { return .unsuitable(.unknownProtocol) }
    if bytes.isEmpty { return .incomplete }
    if bytes[0] == TLSClientHelloReader.handshakeContentType {
        guard wanted.contains(.tls) else { return .unsuitable(.unknownProtocol) }
        var reader = TLSClientHelloReader(bytes)
        return reader.read()
    }
    let wantsHTTP = !wanted.isDisjoint(with: [.httpGet, .httpOther])
    guard wanted.contains(.smtp) else {
        guard wantsHTTP else { return .unsuitable(.unknownProtocol) }
        var reader = HTTPRequestReader(bytes, wanted: wanted)
        return reader.read()
    }

    let asSMTP = readSMTPGreeting(bytes)
    guard wantsHTTP, asSMTP == .incomplete || asSMTP == .unsuitable(.unknownProtocol) else { return asSMTP }
    var reader = HTTPRequestReader(bytes, wanted: wanted)
    let asHTTP = reader.read()
    if asSMTP == .incomplete, case .unsuitable = asHTTP { return .incomplete }
    return asHTTP
}

/// Reads the handshake bytes of a QUIC connection, which have no records around them, as a ClientHello. As above.
public func recogniseQUICHandshake(_ bytes: UnsafeRawBufferPointer) -> Recognition {
    if bytes.isEmpty { return .incomplete }
    var reader = TLSClientHelloReader(bytes, application: .quic)
    return reader.read()
}

/// How one step of a reader ends.
enum ReadStep: Equatable {
    case done
    case incomplete
    case unsuitable(Unsuitability)
}

extension UInt8 {
    @inline(__always) static var tab: UInt8 { 0x09 }
    @inline(__always) static var lineFeed: UInt8 { 0x0A }
    @inline(__always) static var carriageReturn: UInt8 { 0x0D }
    @inline(__always) static var space: UInt8 { 0x20 }

    /// ASCII letters in lower case; all else as it is.
    @inline(__always) var lowercased: UInt8 { self &- 0x41 < 26 ? self | 0x20 : self }
    @inline(__always) var isDigit: Bool { self &- 0x30 < 10 }
    @inline(__always) var isUppercaseLetter: Bool { self &- 0x41 < 26 }
    @inline(__always) var isLetterOrDigit: Bool { (self | 0x20) &- 0x61 < 26 || isDigit }
    /// VCHAR of RFC 5234: 0x21...0x7E.
    @inline(__always) var isVisible: Bool { self &- 0x21 < 0x5E }

    /// tchar of RFC 9110 section 5.6.2: `! # $ % & ' * + - . ^ _ \` | ~`, digits and letters.
    @inline(__always) var isTokenCharacter: Bool {
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        let word = self < 64 ? low : high
        return self < 128 && (word &>> UInt64(self & 63)) & 1 == 1
    }

    /// What may stand in a host name: letters, digits, `-`, `.` and, since real names have it, `_`.
    @inline(__always) var isHostNameCharacter: Bool {
        isLetterOrDigit || self == 0x2D || self == 0x2E || self == 0x5F
    }
}

extension UnsafeRawBufferPointer {
    /// The `count` bytes at `start` are `literal`, which is in lower case, in any case. `start + count` is in bounds.
    @inline(__always)
    func matches(_ literal: StaticString, at start: Int, count: Int) -> Bool {
        guard count == literal.utf8CodeUnitCount else { return false }
        let expected = literal.utf8Start
        var index = 0
        while index < count {
            guard self[start &+ index].lowercased == expected[index] else { return false }
            index &+= 1
        }
        return true
    }

    /// How many of the bytes at `start` agree with `literal`, exactly, before its end or theirs.
    @inline(__always)
    func agreement(with literal: StaticString, at start: Int) -> Int {
        let length = Swift.min(literal.utf8CodeUnitCount, count &- start)
        let expected = literal.utf8Start
        var index = 0
        while index < length, self[start &+ index] == expected[index] { index &+= 1 }
        return index
    }
}
