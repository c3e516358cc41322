/// All that goes before a packet to one proxy, made once: a packet copies it and sets what differs, which is lengths,
/// traffic class, the flow's entropy and checksums.
///
/// Don't fragment is set, so the identification means nothing and is 0 (RFC 6864 section 4.1).
public struct EncapsulationHeader: BitwiseCopyable {
    /// Belongs to whoever has made the header.
    @usableFromInline let template: UnsafeRawPointer
    /// Bytes; 0 of a place that has none.
    public let length: Int
    /// Of the outer packet.
    public let isV6: Bool
    @usableFromInline let kind: Encapsulation.Kind
    /// Where a packet's flow is written, from the header's beginning; 0 where flows are not named.
    @usableFromInline let flowOffset: UInt8
    /// The outer IPv4 header's sum, without what differs from packet to packet: version and traffic class, length, and of
    /// IPIP the protocol.
    @usableFromInline let sum: InternetChecksum

    /// None.
    public init() {
        template = UnsafeRawPointer(bitPattern: 1)!
        length = 0
        isV6 = false
        kind = .ipip
        flowOffset = 0
        sum = InternetChecksum()
    }

    /// - Parameter memory: `Encapsulation.longestOverhead` bytes that live as long as the header.
    public init(_ encapsulation: Encapsulation, in memory: UnsafeMutableRawPointer) {
        template = UnsafeRawPointer(memory)
        length = encapsulation.overhead
        isV6 = !encapsulation.destination.isV4
        kind = encapsulation.kind
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: Encapsulation.longestOverhead)
        // Of IPIP the first inner packet says what follows.
        let number: UInt8 = kind == .ipip ? 0 : 17
        if isV6 {
            memory.setIPv6(
                0, from: encapsulation.source, to: encapsulation.destination, next: number, length: 0, hops: 64)
        } else {
            memory.setIPv4(
                0, from: encapsulation.source, to: encapsulation.destination, protocol: number, length: 0, hops: 64)
        }
        let transport = isV6 ? 40 : 20
        if let port = kind.port { memory.setWire16(transport + 2, port) }
        let namesFlows = encapsulation.namesFlows && kind != .ipip
        // GUE's word of private data; VXLAN's word with the network identifier.
        flowOffset = namesFlows ? UInt8(transport + 12) : 0
        if kind == .gue, namesFlows { memory.setWire8(transport + 8, 1) }
        if kind == .vxlan {
            memory.setWire8(transport + 8, 0x08)
            memory.setWire32(transport + 12, encapsulation.network &<< 8)
            memory.setWireMAC(transport + 16, encapsulation.innerMAC)
            memory.setWireMAC(transport + 22, Self.innerSource)
        }
        var sum = InternetChecksum()
        if !isV6 {
            for offset in [0, 2, 10] { memory.setWire16(offset, 0) }
            sum.add(UnsafeRawPointer(memory), count: 20)
        }
        self.sum = sum
    }

    /// Nobody's address: locally administered, and never answered.
    static var innerSource: MACAddress { .init(0x02BA_7000_0000) }

    /// Writes the header before an IP packet of `count` bytes, at most 65,535 less `length`; there must be room. UDP over
    /// IPv6 needs a checksum (RFC 8200 section 8.1), which is linear in `count`; all else is constant.
    /// - Parameter flow: its identifier, where the encapsulation names flows; 0 leaves VXLAN's own network there.
    @inlinable
    public func write(before packet: UnsafeMutableRawPointer, count: Int, flow: UInt32 = 0) {
        let inner = UnsafeRawPointer(packet)
        write(
            before: packet, count: count, flow: flow,
            entropy: Self.entropy(of: inner, isV6: inner.wire8(0) &>> 4 == 6, count: count))
    }

    /// The same for who knows the packet's flow by a hash of it: all packets of one flow must have the same `entropy`.
    @inlinable @inline(__always)
    public func write(before packet: UnsafeMutableRawPointer, count: Int, flow: UInt32, entropy: UInt32) {
        let outer = packet - length
        copyTemplate(to: outer)
        let inner = UnsafeRawPointer(packet)
        let isInnerV6 = inner.wire8(0) &>> 4 == 6
        // Both, the code point and ECN's bits as they are (RFC 2983 section 3, RFC 6040 section 4.1).
        let trafficClass =
            isInnerV6 ? UInt8(truncatingIfNeeded: inner.wire16(0) &>> 4) : inner.wire8(1)
        let total = length &+ count
        if isV6 {
            // RFC 6438: routers spread tunnels by the flow label.
            outer.setWire32(0, 0x6000_0000 | UInt32(trafficClass) &<< 20 | entropy & 0xF_FFFF)
            outer.setWire16(4, UInt16(truncatingIfNeeded: total &- 40))
        } else {
            outer.setWire16(0, 0x4500 | UInt16(trafficClass))
            outer.setWire16(2, UInt16(truncatingIfNeeded: total))
        }
        let transport = isV6 ? 40 : 20
        if kind == .ipip {
            outer.setWire8(isV6 ? 6 : 9, isInnerV6 ? 41 : 4)
        } else {
            outer.setWire16(transport, Self.port(entropy))
            outer.setWire16(transport &+ 4, UInt16(truncatingIfNeeded: total &- transport))
            if kind == .gue {
                outer.setWire8(transport &+ 9, isInnerV6 ? 41 : 4)
            } else {
                outer.setWire16(length &- 2, isInnerV6 ? 0x86DD : 0x0800)
            }
        }
        if flowOffset != 0, flow != 0 {
            outer.setWire32(Int(flowOffset), kind == .gue ? flow : flow &<< 8)
        }
        finish(outer, total: total)
    }

    /// Most have 32 to 64 bytes: two halves, which overlap, cost less than a call.
    @inlinable @inline(__always)
    func copyTemplate(to outer: UnsafeMutableRawPointer) {
        guard length >= 32, length <= 64 else { return outer.copyMemory(from: template, byteCount: length) }
        copyPart(to: outer, 0)
        copyPart(to: outer, 16)
        copyPart(to: outer, length &- 32)
        copyPart(to: outer, length &- 16)
    }

    @inlinable @inline(__always)
    func copyPart(to outer: UnsafeMutableRawPointer, _ offset: Int) {
        let part = template.loadUnaligned(fromByteOffset: offset, as: SIMD16<UInt8>.self)
        outer.storeBytes(of: part, toByteOffset: offset, as: SIMD16<UInt8>.self)
    }

    @inlinable @inline(__always)
    func finish(_ outer: UnsafeMutableRawPointer, total: Int) {
        let bytes = UnsafeRawPointer(outer)
        var sum = InternetChecksum()
        if !isV6 {
            // Over UDP there is none (RFC 7348 section 5): the inner packet has its own.
            var sum = self.sum
            sum.add(pair: UInt32(bytes.wire16(0)) &<< 16 | UInt32(total))
            if kind == .ipip { sum.add(word: UInt16(bytes.wire8(9))) }
            outer.setWire16(10, sum.value)
        } else if kind != .ipip {
            sum.add(bytes + 8, count: 32)
            sum.add(word: UInt16(truncatingIfNeeded: total &- 40))
            sum.add(word: 17)
            sum.add(bytes + 40, count: total &- 40)
            outer.setWire16(46, sum.value == 0 ? 0xFFFF : sum.value)
        }
    }

    /// A flow's packets take one way: of its addresses and ports, nothing else. What has no ports, or hides them behind
    /// other headers, goes by its addresses.
    @inlinable
    static func entropy(of inner: UnsafeRawPointer, isV6: Bool, count: Int) -> UInt32 {
        var mixed: UInt64
        let (number, transport): (UInt8, Int)
        if isV6 {
            mixed = inner.wire64(8) ^ inner.wire64(16) ^ inner.wire64(24) ^ inner.wire64(32)
            (number, transport) = (inner.wire8(6), 40)
        } else {
            mixed = inner.wire64(12)
            (number, transport) = (inner.wire8(9), Int(inner.wire8(0) & 15) &* 4)
        }
        if number == 6 || number == 17, transport &+ 4 <= count { mixed ^= UInt64(inner.wire32(transport)) &<< 16 }
        // Fibonacci hashing, twice, so that low bits reach the high ones and back.
        mixed = (mixed ^ mixed &>> 32) &* 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ mixed &>> 29) &* 0x9E37_79B9_7F4A_7C15
        return UInt32(truncatingIfNeeded: mixed &>> 32)
    }

    /// 49152…65535.
    @inlinable static func port(_ entropy: UInt32) -> UInt16 { 0xC000 | UInt16(truncatingIfNeeded: entropy) & 0x3FFF }
}
