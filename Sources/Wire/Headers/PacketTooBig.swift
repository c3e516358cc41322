/// The answer to a packet that is too long for the way ahead: ICMP "fragmentation needed" (RFC 1191 section 4) or ICMPv6
/// "packet too big" (RFC 4443 section 3.2). It comes from whom the packet was for, since a director has no address there.
public struct PacketTooBig: BitwiseCopyable {
    /// Bytes of IP that the way takes. Of IPv6 it never says less than 1,280, which every link must take.
    public let mtu: UInt16
    /// Bytes of the frame that `write` writes.
    public let length: Int
    private let quoted: Int
    private let layout: PacketLayout

    /// About a frame whose IP header says that it has `count` bytes.
    public init(_ layout: PacketLayout, count: Int, mtu: UInt16) {
        self.layout = layout
        self.mtu = layout.isV6 ? max(mtu, 1_280) : mtu
        // As much as fits into 576 bytes (RFC 1812 section 4.3.2.3), or 1,280 (RFC 4443 section 2.4).
        quoted = min(count, layout.isV6 ? 1_280 - 48 : 576 - 28)
        length = Int(layout.network) + (layout.isV6 ? 48 : 28) + quoted
    }

    /// Writes the answer to `frame`; the two must not overlap. Linear in `length`.
    public func write(to answer: UnsafeMutableRawPointer, about frame: UnsafeRawPointer) {
        let network = Int(layout.network)
        answer.copyMemory(from: frame, byteCount: network)
        answer.setWireMAC(0, frame.wireMAC(6))
        answer.setWireMAC(6, frame.wireMAC(0))
        let source = layout.source(frame, ipHeader: network)
        let destination = layout.destination(frame, ipHeader: network)
        let size = 8 + quoted
        let message = answer + network + (layout.isV6 ? 40 : 20)
        var sum = InternetChecksum()
        if layout.isV6 {
            answer.setIPv6(network, from: destination, to: source, next: 58, length: size, hops: 64)
            message.setWire32(0, 0x0200_0000)
            message.setWire32(4, UInt32(mtu))
            sum.add(UnsafeRawPointer(answer) + network + 8, count: 32)
            sum.add(word: UInt16(truncatingIfNeeded: size))
            sum.add(word: 58)
        } else {
            answer.setIPv4(network, from: destination, to: source, protocol: 1, length: size, hops: 64)
            message.setWire32(0, 0x0304_0000)
            message.setWire32(4, UInt32(mtu))
        }
        (message + 8).copyMemory(from: frame + network, byteCount: quoted)
        sum.add(UnsafeRawPointer(message), count: size)
        message.setWire16(2, sum.value)
    }
}
