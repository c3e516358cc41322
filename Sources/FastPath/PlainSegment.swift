import CDPDKShim
import Wire

/// The frame that comes most by far, told in few instructions: untagged, an IPv4 header without options or an IPv6 header
/// without extensions, a whole TCP segment that acknowledges and neither opens nor ends its connection. All its fields
/// but the payload lie at fixed offsets (`EntryLayout`), so nothing else need be noted of it.
package struct PlainSegment: BitwiseCopyable {
    /// Bytes of payload in the lower 16 bits; bit 16: IPv6; bit 29: a plain SYN; bit 30: an origin's; bit 31: not a plain
    /// segment.
    private let bits: UInt32

    /// What any other frame is.
    @inline(__always)
    package static func none(isV6: Bool) -> PlainSegment { PlainSegment(bits: 1 &<< 31 | (isV6 ? 1 &<< 16 : 0)) }

    @inline(__always)
    private init(bits: UInt32) { self.bits = bits }

    @inline(__always) package var isPlain: Bool { bits &>> 31 == 0 }
    @inline(__always) var isPlainIPv4: Bool { bits <= 0xFFFF }
    @inline(__always) var isPlainIPv6: Bool { bits &>> 16 == 1 }
    /// A plain segment of a virtual server's origin: its connection's key is not the frame's (`Worker.findOrigins`).
    @inline(__always) var isOfOrigin: Bool { bits &>> 30 == 1 }
    @inline(__always) var ofOrigin: PlainSegment { PlainSegment(bits: bits | 1 &<< 30) }
    /// A first SYN of the same plain form. It is no plain segment, but its fields lie where those of one do, so no layout
    /// was made of it, either.
    @inline(__always) package var isPlainSYN: Bool { bits &>> 29 == 0b101 }
    /// True for all other frames: `Burst.layouts` says where their fields lie.
    @inline(__always) var isLaidOut: Bool { bits &>> 29 == 0b100 }
    /// Whether plain or not.
    @inline(__always) package var isV6: Bool { bits & 1 &<< 16 != 0 }
    /// Bytes of TCP payload by the IP header's account.
    @inline(__always) package var payloadLength: UInt32 { bits & 0xFFFF }

    /// Nil for any other frame than an IPv4 one.
    @inline(__always)
    package init?(ipv4 frame: UnsafeRawPointer, length: Int) {
        guard Self.isPlain(ipv4: frame, length) else { return nil }
        self.init(ipv4: frame, length: length, form: .acknowledging, marks: 0)
    }

    /// Nil for any other frame than an IPv6 one.
    @inline(__always)
    package init?(ipv6 frame: UnsafeRawPointer, length: Int) {
        guard Self.isPlain(ipv6: frame, length) else { return nil }
        self.init(ipv6: frame, length: length, form: .acknowledging, marks: 0)
    }

    /// Nil for any other frame than a plain SYN.
    @inline(__always)
    package init?(syn frame: UnsafeRawPointer, length: Int) {
        if Self.isPlain(ipv4: frame, length) {
            self.init(ipv4: frame, length: length, form: .opening, marks: 0b101 &<< 29)
        } else if Self.isPlain(ipv6: frame, length) {
            self.init(ipv6: frame, length: length, form: .opening, marks: 0b101 &<< 29)
        } else {
            return nil
        }
    }

    /// Of sixteen bytes from the type on: type, version and header length, flags and fragment offset, protocol.
    @inline(__always)
    private static func isPlain(ipv4 frame: UnsafeRawPointer, _ length: Int) -> Bool {
        length >= 54 && shim_equal_where(frame + 12, 0x45_0008, 0xFF_FFFF, 0x0600_0000, 0xFF00_FF3F)
    }

    /// Type and version; next header.
    @inline(__always)
    private static func isPlain(ipv6 frame: UnsafeRawPointer, _ length: Int) -> Bool {
        length >= 74 && shim_equal_where(frame + 12, 0x60_DD86, 0xF0_FFFF, 0x06, 0xFF)
    }

    /// Data offset and flags (RFC 9293 section 3.1) as they lie in memory: the least offset, and of ACK, RST, SYN and FIN
    /// those that are set.
    private enum Form: UInt32 {
        case acknowledging = 0x1050
        case opening = 0x0250

        /// The offset's four bits and those flags.
        static var mask: UInt32 { 0x17F0 }
    }

    @inline(__always)
    private init?(ipv4 frame: UnsafeRawPointer, length: Int, form: Form, marks: UInt32) {
        self.init(frame, total: frame.wire16(16), beforeTCP: 20, room: length &- 14, tcp: 34, form, marks)
    }

    @inline(__always)
    private init?(ipv6 frame: UnsafeRawPointer, length: Int, form: Form, marks: UInt32) {
        self.init(frame, total: frame.wire16(18), beforeTCP: 0, room: length &- 54, tcp: 54, form, marks | 1 &<< 16)
    }

    /// - Parameters:
    ///   - total: bytes by the IP header's account, of which `beforeTCP` come before the TCP header.
    ///   - room: bytes that the frame has for them.
    ///   - tcp: where the TCP header begins.
    @inline(__always)
    private init?(
        _ frame: UnsafeRawPointer, total: UInt16, beforeTCP: Int, room: Int, tcp: Int, _ form: Form, _ marks: UInt32
    ) {
        let word = UInt32(UInt16(littleEndian: frame.loadUnaligned(fromByteOffset: tcp &+ 12, as: UInt16.self)))
        // Counted from the least offset, five words.
        let options = word & Form.mask &- form.rawValue
        let payload = Int(total) &- beforeTCP &- 20 &- Int(options &>> 2)
        guard options <= 0xA0, payload >= 0, Int(total) <= room else { return nil }
        bits = UInt32(truncatingIfNeeded: payload) | marks
    }
}

extension PacketLayout {
    /// That of a plain SYN.
    @inline(__always)
    package init(plainSYN frame: UnsafeRawPointer, _ segment: PlainSegment) {
        self.init()
        kind = .tcp
        isV6 = segment.isV6
        network = 14
        transport = segment.isV6 ? 54 : 34
        payload = transport &+ UInt16(TCPHeader(frame + Int(transport)).length)
        payloadLength = UInt16(truncatingIfNeeded: segment.payloadLength)
    }
}
