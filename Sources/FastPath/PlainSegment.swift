import CDPDKShim
import Wire

/// The frame that comes most by far, told in few instructions: untagged, an IPv4 header without options or an IPv6 header
/// without extensions, a whole TCP segment that acknowledges and neither opens nor ends its connection. All its fields
/// but the payload lie at fixed offsets (`EntryLayout`), so nothing else need be noted of it.
package struct PlainSegment: BitwiseCopyable {
    /// Bytes of payload in the lower 16 bits; bit 16: IPv6; bit 31: not a plain segment.
    private let bits: UInt32

    /// What any other frame is.
    @inline(__always)
    package static func none(isV6: Bool) -> PlainSegment { PlainSegment(bits: 1 &<< 31 | (isV6 ? 1 &<< 16 : 0)) }

    @inline(__always)
    private init(bits: UInt32) { self.bits = bits }

    @inline(__always) package var isPlain: Bool { bits &>> 31 == 0 }
    @inline(__always) var isPlainIPv4: Bool { bits <= 0xFFFF }
    @inline(__always) var isPlainIPv6: Bool { bits &>> 16 == 1 }
    /// Whether plain or not.
    @inline(__always) package var isV6: Bool { bits & 1 &<< 16 != 0 }
    /// Bytes of TCP payload by the IP header's account.
    @inline(__always) package var payloadLength: UInt32 { bits & 0xFFFF }

    /// Nil for any other frame than an IPv4 one.
    @inline(__always)
    package init?(ipv4 frame: UnsafeRawPointer, length: Int) {
        // Of sixteen bytes from the type on: type, version and header length, flags and fragment offset, protocol.
        guard length >= 54,
            shim_equal_where(frame + 12, 0x45_0008, 0xFF_FFFF, 0x0600_0000, 0xFF00_FF3F)
        else { return nil }
        self.init(frame, total: frame.wire16(16), beforeTCP: 20, room: length &- 14, tcp: 34, family: 0)
    }

    /// Nil for any other frame than an IPv6 one.
    @inline(__always)
    package init?(ipv6 frame: UnsafeRawPointer, length: Int) {
        // Type and version; next header.
        guard length >= 74, shim_equal_where(frame + 12, 0x60_DD86, 0xF0_FFFF, 0x06, 0xFF) else { return nil }
        self.init(frame, total: frame.wire16(18), beforeTCP: 0, room: length &- 54, tcp: 54, family: 1 &<< 16)
    }

    /// - Parameters:
    ///   - total: bytes by the IP header's account, of which `beforeTCP` come before the TCP header.
    ///   - room: bytes that the frame has for them.
    ///   - tcp: where the TCP header begins.
    @inline(__always)
    private init?(_ frame: UnsafeRawPointer, total: UInt16, beforeTCP: Int, room: Int, tcp: Int, family: UInt32) {
        // Data offset and flags (RFC 9293 section 3.1) as they lie in memory: the offset's four bits, then ACK set and
        // RST, SYN and FIN clear; counted from the least offset, five words.
        let word = UInt32(UInt16(littleEndian: frame.loadUnaligned(fromByteOffset: tcp &+ 12, as: UInt16.self)))
        let options = word & 0x17F0 &- 0x1050
        let payload = Int(total) &- beforeTCP &- 20 &- Int(options &>> 2)
        guard options <= 0xA0, payload >= 0, Int(total) <= room else { return nil }
        bits = UInt32(truncatingIfNeeded: payload) | family
    }
}
