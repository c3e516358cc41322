/// The reader of what `EncapsulationHeader` writes, from behind the outer IP header (`ipip`) or UDP header on: what a
/// kernel gives to who has a socket.
public enum EncapsulatedPacket {
    public enum Refusal: Error, Equatable, Sendable, BitwiseCopyable, CaseIterable {
        /// Less than the headers need, or than the inner packet's own length says.
        case tooShort
        /// GUE of another variant, a control message, with optional fields, flags, or private data that is no flow's
        /// identifier; VXLAN without its network bit.
        case unknownHeader
        /// Another VXLAN network than one's own.
        case foreignNetwork
        /// What is inside is no IPv4 or IPv6 packet.
        case notIP
        /// A piece of a packet, which a director never sends.
        case fragment
    }

    /// Where the inner packet lies, by its own account of its length, and whose it is.
    public struct Contents: Equatable, Sendable, BitwiseCopyable {
        public var start: Int
        /// Bytes.
        public var length: Int
        /// The flow's identifier, 24 bits; 0 for none. Of VXLAN: the network, unless it is one's own.
        public var flow: UInt32
        @inlinable public var range: Range<Int> { start..<start + length }

        @inlinable
        init(start: Int, length: Int, flow: UInt32) {
            self.start = start
            self.length = length
            self.flow = flow
        }
    }

    /// A worker must not throw: even a typed error calls the runtime.
    public enum Reading: Equatable, Sendable, BitwiseCopyable {
        case packet(Contents)
        case refused(Refusal)
    }

    /// Where the inner packet lies in `payload`, of senders that name no flows by VXLAN's network. Constant time.
    @inlinable
    public static func find(
        in payload: UnsafeRawBufferPointer, kind: Encapsulation.Kind, network: UInt32 = 0
    ) throws(Refusal) -> Range<Int> {
        let contents = try contents(of: payload, kind: kind, network: network)
        guard kind != .vxlan || contents.flow == 0 else { throw .foreignNetwork }
        return contents.range
    }

    /// The same of senders that may name the flow.
    /// - Parameter network: VXLAN's, that names none.
    @inlinable
    public static func contents(
        of payload: UnsafeRawBufferPointer, kind: Encapsulation.Kind, network: UInt32 = 0
    ) throws(Refusal) -> Contents {
        guard let bytes = payload.baseAddress else { throw .tooShort }
        switch read(bytes, count: payload.count, kind: kind, network: network) {
        case .packet(let contents): return contents
        case .refused(let refusal): throw refusal
        }
    }

    /// The same without throwing. Constant time.
    /// - Parameter count: bytes that may be read.
    @inlinable
    public static func read(
        _ bytes: UnsafeRawPointer, count: Int, kind: Encapsulation.Kind, network: UInt32 = 0
    ) -> Reading {
        // Without UDP's header.
        var start = kind == .ipip ? 0 : kind.headerLength &- 8
        // The shortest IP header.
        guard count >= start &+ 20 else { return .refused(.tooShort) }
        var flow: UInt32 = 0
        switch kind {
        case .ipip: break
        case .gue:
            // Variant 0, no control message, no optional fields, no flags; private data (section 3.6) of one word.
            let words = bytes.wire8(0)
            guard words <= 1, bytes.wire16(2) == 0 else { return .refused(.unknownHeader) }
            if words == 1 {
                flow = bytes.wire32(4)
                guard Encapsulation.flowIdentifiers.contains(flow) else { return .refused(.unknownHeader) }
                start &+= 4
                guard count >= start &+ 20 else { return .refused(.tooShort) }
            }
        case .vxlan:
            guard bytes.wire8(0) & 0x08 != 0 else { return .refused(.unknownHeader) }
            let named = bytes.wire32(4) &>> 8
            if named != network { flow = named }
            guard named == network || flow != 0 else { return .refused(.foreignNetwork) }
        }
        let version = bytes.wire8(start) &>> 4
        switch kind {
        case .ipip: break
        case .gue: guard bytes.wire8(1) == (version == 6 ? 41 : 4) else { return .refused(.notIP) }
        case .vxlan:
            guard bytes.wire16(start &- 2) == (version == 6 ? 0x86DD : 0x0800) else { return .refused(.notIP) }
        }
        return inner(bytes + start, start: start, room: count &- start, version: version, flow: flow)
    }

    @inlinable
    static func inner(
        _ packet: UnsafeRawPointer, start: Int, room: Int, version: UInt8, flow: UInt32
    ) -> Reading {
        let length: Int
        switch version {
        case 4:
            length = Int(packet.wire16(2))
            let header = Int(packet.wire8(0) & 15) &* 4
            guard header >= 20, header <= length else { return .refused(.notIP) }
            guard packet.wire16(6) & 0x3FFF == 0 else { return .refused(.fragment) }
        case 6:
            guard room >= 40 else { return .refused(.tooShort) }
            length = 40 &+ Int(packet.wire16(4))
            guard packet.wire8(6) != 44 else { return .refused(.fragment) }
        default: return .refused(.notIP)
        }
        guard length <= room else { return .refused(.tooShort) }
        return .packet(Contents(start: start, length: length, flow: flow))
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
