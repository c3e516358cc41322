/// A view over a TCP header that `PacketLayout` has checked (RFC 9293 section 3.1):
///
///      0                   1                   2                   3
///     |          source port          |       destination port        |  0
///     |                        sequence number                        |  4
///     |                    acknowledgement number                     |  8
///     | offset|  rsvd |  flags        |            window             | 12
///     |           checksum            |        urgent pointer         | 16
///     |                    options, up to 40 bytes                    | 20
public struct TCPHeader {
    public let base: UnsafeRawPointer

    @inlinable @inline(__always)
    public init(_ base: UnsafeRawPointer) { self.base = base }

    @inlinable @inline(__always) public var sequence: SequenceNumber { .init(base.wire32(4)) }
    @inlinable @inline(__always) public var acknowledgement: SequenceNumber { .init(base.wire32(8)) }
    @inlinable @inline(__always) public var length: Int { Int(base.wire8(12) >> 4) &* 4 }
    @inlinable @inline(__always) public var flags: TCPFlags { .init(rawValue: base.wire8(13)) }
    /// AE of AccECN, the last of the once reserved bits.
    @inlinable @inline(__always) public var hasAE: Bool { base.wire8(12) & 1 != 0 }
    /// As sent: unscaled.
    @inlinable @inline(__always) public var window: UInt16 { base.wire16(14) }
    @inlinable @inline(__always) public var checksum: UInt16 { base.wire16(16) }
}

public struct TCPFlags: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    @inlinable @inline(__always) public init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable public static var fin: TCPFlags { .init(rawValue: 0x01) }
    @inlinable public static var syn: TCPFlags { .init(rawValue: 0x02) }
    @inlinable public static var rst: TCPFlags { .init(rawValue: 0x04) }
    @inlinable public static var psh: TCPFlags { .init(rawValue: 0x08) }
    @inlinable public static var ack: TCPFlags { .init(rawValue: 0x10) }
    @inlinable public static var urg: TCPFlags { .init(rawValue: 0x20) }
    @inlinable public static var ece: TCPFlags { .init(rawValue: 0x40) }
    @inlinable public static var cwr: TCPFlags { .init(rawValue: 0x80) }

    /// No bit of `others` is set.
    @inlinable @inline(__always)
    public func lacks(_ others: TCPFlags) -> Bool { rawValue & others.rawValue == 0 }
    /// Every bit of `others` is set.
    @inlinable @inline(__always)
    public func has(_ others: TCPFlags) -> Bool { rawValue & others.rawValue == others.rawValue }
}

/// Kinds of TCP options (IANA, "TCP Parameters").
public enum TCPOptionKind {
    @inlinable public static var end: UInt8 { 0 }
    @inlinable public static var noOperation: UInt8 { 1 }
    @inlinable public static var maximumSegmentSize: UInt8 { 2 }
    @inlinable public static var windowScale: UInt8 { 3 }
    @inlinable public static var sackPermitted: UInt8 { 4 }
    @inlinable public static var sack: UInt8 { 5 }
    @inlinable public static var timestamps: UInt8 { 8 }
    @inlinable public static var md5: UInt8 { 19 }
    @inlinable public static var authentication: UInt8 { 29 }
    @inlinable public static var multipath: UInt8 { 30 }
    @inlinable public static var fastOpen: UInt8 { 34 }
    /// AccECN, both orders (RFC 9768).
    @inlinable public static var accurateECN0: UInt8 { 172 }
    @inlinable public static var accurateECN1: UInt8 { 174 }
    /// Shared experiments, TCP fast open once among them (RFC 6994).
    @inlinable public static var experiment: UInt8 { 254 }
}

/// What the options of one header say.
public struct TCPOptions: Sendable, BitwiseCopyable {
    /// 0 when absent.
    public var maximumSegmentSize: UInt16 = 0
    /// Offset of the MSS option's value in the header; 0 when absent.
    public var maximumSegmentSizeOffset: UInt8 = 0
    /// 0xFF when absent; otherwise at most 14 (RFC 7323 section 2.3).
    public var windowScale: UInt8 = 0xFF
    public var sackPermitted = false
    public var hasTimestamps = false
    /// AO or MD5: a connection whose segments nobody else can write.
    public var isAuthenticated = false
    /// An option's length does not fit: nothing behind it was read.
    public var isMalformed = false
    public var timestampValue: UInt32 = 0
    public var timestampEcho: UInt32 = 0

    @inlinable public init() {}

    /// Reads a header's options; at most 40 steps.
    @inlinable
    public init(of header: TCPHeader) {
        var cursor = TCPOptionCursor(header.base, end: header.length)
        while let option = cursor.next() { read(option, header.base) }
        isMalformed = cursor.isMalformed
    }

    @inlinable
    mutating func read(_ option: TCPOption, _ base: UnsafeRawPointer) {
        let (kind, offset, length) = (option.kind, option.offset, option.length)
        if option.isTimestamps {
            hasTimestamps = true
            timestampValue = base.wire32(offset &+ 2)
            timestampEcho = base.wire32(offset &+ 6)
        } else if kind == TCPOptionKind.maximumSegmentSize, length == 4 {
            maximumSegmentSize = base.wire16(offset &+ 2)
            maximumSegmentSizeOffset = UInt8(truncatingIfNeeded: offset &+ 2)
        } else if kind == TCPOptionKind.windowScale, length == 3 {
            windowScale = min(base.wire8(offset &+ 2), 14)
        } else if kind == TCPOptionKind.sackPermitted, length == 2 {
            sackPermitted = true
        } else if kind == TCPOptionKind.md5 || kind == TCPOptionKind.authentication {
            isAuthenticated = true
        }
    }
}
