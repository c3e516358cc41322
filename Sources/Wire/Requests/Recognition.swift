/// What the first bytes of a connection turn out to be. Director and agent read requests with the same code, so
/// that both always mean the same request (rule 10 of a transfer).
public enum Recognition: Equatable, Sendable, BitwiseCopyable {
    /// Not decided yet: more bytes are needed.
    case incomplete
    /// One complete request head that can be read in one way only.
    case request(RecognisedRequest)
    /// To the origin: another protocol, or a head that two servers could read differently.
    case unsuitable(Unsuitability)
}

/// Where the interesting parts of a request head lie.
public struct RecognisedRequest: Equatable, Sendable, BitwiseCopyable {
    public var application: Application
    /// Length of the head: HTTP up to and with the empty line; a TLS ClientHello with its record headers; an SMTP
    /// line with its CRLF.
    public var headLength: Int
    /// HTTP Host, without the port, or the path's own authority in absolute form; TLS and QUIC: the server name; SMTP:
    /// the argument of EHLO or HELO; DNS: the name asked for.
    public var host: ByteRange
    /// HTTP: the request target's path and query, from its first "/". Empty for the others.
    public var path: ByteRange
    /// The request carries Authorization or Cookie.
    public var hasCredentials: Bool
    /// TLS and QUIC: the protocols of the ALPN extension.
    public var alpn: ALPN

    public init(
        application: Application, headLength: Int, host: ByteRange, path: ByteRange = .init(),
        hasCredentials: Bool = false, alpn: ALPN = []
    ) {
        self.application = application
        self.headLength = headLength
        self.host = host
        self.path = path
        self.hasCredentials = hasCredentials
        self.alpn = alpn
    }
}

/// Application signatures by which a rule can choose.
public struct Application: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// HTTP/1.x GET or HEAD.
    @inlinable public static var httpGet: Application { .init(rawValue: 1) }
    /// HTTP/1.x with any other method.
    @inlinable public static var httpOther: Application { .init(rawValue: 2) }
    /// TLS ClientHello with a server name.
    @inlinable public static var tls: Application { .init(rawValue: 4) }
    /// SMTP EHLO or HELO after the greeting.
    @inlinable public static var smtp: Application { .init(rawValue: 8) }
    /// A DNS query, in a UDP datagram.
    @inlinable public static var dns: Application { .init(rawValue: 16) }
    /// QUIC, by the server name in its ClientHello.
    @inlinable public static var quic: Application { .init(rawValue: 32) }

    /// Those that come in UDP datagrams; all others by TCP.
    @inlinable public static var overUDP: Application { [.dns, .quic] }
    @inlinable public var isOverUDP: Bool { !isDisjoint(with: .overUDP) }
}

/// Protocols named in a ClientHello's ALPN extension (RFC 7301); empty when the extension is absent.
public struct ALPN: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable public static var http11: ALPN { .init(rawValue: 1) }
    @inlinable public static var http2: ALPN { .init(rawValue: 2) }
    @inlinable public static var other: ALPN { .init(rawValue: 4) }
    @inlinable public static var http3: ALPN { .init(rawValue: 8) }
}

/// Why a request is the origin's.
public enum Unsuitability: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case unknownProtocol
    case bareLineFeed
    case obsoleteFold
    case hostMissing
    case hostRepeated
    case framedBody
    case expectation
    case upgrade
    case http2Preface
    case connectMethod
    case authorityMismatch
    case malformed
    case earlyData
    case encryptedClientHello
    case noServerName
    case tooLong
}

/// Some of the bytes that were read: an offset and a count.
public struct ByteRange: Equatable, Sendable, BitwiseCopyable {
    public var start: UInt32
    public var count: UInt32

    @inlinable
    public init(start: Int = 0, count: Int = 0) {
        self.start = UInt32(truncatingIfNeeded: start)
        self.count = UInt32(truncatingIfNeeded: count)
    }

    @inlinable public var isEmpty: Bool { count == 0 }
    @inlinable public var end: Int { Int(start) + Int(count) }

    /// The bytes themselves; empty when the range does not lie within `bytes`.
    @inlinable
    public func of(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard end <= bytes.count else { return .init(start: nil, count: 0) }
        return .init(rebasing: bytes[Int(start)..<end])
    }
}
