/// The reader of what `EncapsulationHeader` writes, from behind the outer IP header (`ipip`) or UDP header on: what a
/// kernel gives to who has a socket.
public enum EncapsulatedPacket {
    public enum Refusal: Error, Equatable, Sendable, CaseIterable {
        /// Less than the headers need, or than the inner packet's own length says.
        case tooShort
        /// GUE of another variant, a control message, with optional fields or flags; VXLAN without its network bit.
        case unknownHeader
        /// Another VXLAN network than one's own.
        case foreignNetwork
        /// What is inside is no IPv4 or IPv6 packet.
        case notIP
        /// A piece of a packet, which a director never sends.
        case fragment
    }

    /// Where the inner packet lies in `payload`, by its own account of its length. Constant time.
    @inlinable
    public static func find(
        in payload: UnsafeRawBufferPointer, kind: Encapsulation.Kind, network: UInt32 = 0
    ) throws(Refusal) -> Range<Int> {
        // Without UDP's header.
        let start = kind == .ipip ? 0 : kind.headerLength - 8
        // The shortest IP header.
        guard payload.count >= start + 20, let bytes = payload.baseAddress else { throw .tooShort }
        let version = bytes.wire8(start) >> 4
        switch kind {
        case .ipip: break
        case .gue:
            // Variant 0, no control message, no optional fields, no flags.
            guard bytes.wire8(0) == 0, bytes.wire16(2) == 0 else { throw .unknownHeader }
            guard bytes.wire8(1) == (version == 6 ? 41 : 4) else { throw .notIP }
        case .vxlan:
            guard bytes.wire8(0) & 0x08 != 0 else { throw .unknownHeader }
            guard bytes.wire32(4) >> 8 == network else { throw .foreignNetwork }
            guard bytes.wire16(start - 2) == (version == 6 ? 0x86DD : 0x0800) else { throw .notIP }
        }
        let length = try innerLength(bytes + start, count: payload.count - start, version: version)
        return start..<start + length
    }

    @inlinable
    static func innerLength(_ packet: UnsafeRawPointer, count: Int, version: UInt8) throws(Refusal) -> Int {
        let length: Int
        switch version {
        case 4:
            length = Int(packet.wire16(2))
            let header = Int(packet.wire8(0) & 15) * 4
            guard header >= 20, header <= length else { throw .notIP }
            guard packet.wire16(6) & 0x3FFF == 0 else { throw .fragment }
        case 6:
            guard count >= 40 else { throw .tooShort }
            length = 40 + Int(packet.wire16(4))
            guard packet.wire8(6) != 44 else { throw .fragment }
        default: throw .notIP
        }
        guard length <= count else { throw .tooShort }
        return length
    }

    /// Brings ECN's mark from the outer header into the inner one (RFC 6040 section 4.2). False when the packet is to be
    /// dropped: a router has marked what cannot hear of it.
    /// - Parameters:
    ///   - packet: the inner packet, as `find` found it.
    ///   - outer: the outer header's TOS or traffic class.
    @inlinable
    public static func combineMarks(_ packet: UnsafeMutableRawPointer, outer: UInt8) -> Bool {
        let view = UnsafeRawPointer(packet)
        let isV6 = view.wire8(0) >> 4 == 6
        let inner = isV6 ? UInt8(truncatingIfNeeded: view.wire16(0) >> 4) : view.wire8(1)
        let (notCapable, ect1, congested): (UInt8, UInt8, UInt8) = (0, 1, 3)
        let (mark, arrived) = (inner & 3, outer & 3)
        if mark == notCapable { return arrived != congested }
        guard mark != congested, arrived == congested || arrived == ect1, arrived != mark else { return true }
        let combined = inner & ~3 | arrived
        if isV6 {
            packet.setWire16(0, 0x6000 | UInt16(combined) << 4 | view.wire16(0) & 0xF)
        } else {
            var header = HeaderEdit(packet)
            header.set8(1, combined)
            header.updateChecksum(10, after: header.change)
        }
        return true
    }
}
