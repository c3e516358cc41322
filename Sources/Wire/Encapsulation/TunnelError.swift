/// What a router between director and proxy says of an outer packet: that it is too long for the way from there on.
public struct TunnelError: Equatable, Sendable {
    /// The two ends of the packet that it quotes.
    public var source: IPAddress
    public var destination: IPAddress
    public var kind: Encapsulation.Kind
    /// Bytes of IP that the next link takes, as told.
    public var mtu: UInt16

    /// Reads a frame: ICMP "fragmentation needed" (RFC 1191 section 4) or ICMPv6 "packet too big" (RFC 4443 section 3.2)
    /// with a right checksum that comes to whoever sent the packet in it; nil for all else. Linear in the message.
    public init?(of frame: UnsafeRawPointer, _ layout: PacketLayout, length: Int) {
        let network = Int(layout.network)
        let start = Int(layout.transport)
        let isV6 = layout.isV6
        // No options or extension headers, and none in what is quoted: nobody has put any there.
        let header = isV6 ? 40 : 20
        guard layout.kind == .other, start == network + header, length >= start + 8 + header + 8 else { return nil }
        let size = Int(frame.wire16(network + (isV6 ? 4 : 2))) - (isV6 ? 0 : 20)
        guard frame.wire8(network + (isV6 ? 6 : 9)) == (isV6 ? 58 : 1), size >= 8 + header + 8, start + size <= length,
            frame.wire16(start) == (isV6 ? 0x0200 : 0x0304)
        else { return nil }
        var sum = InternetChecksum()
        if isV6 {
            sum.add(frame + network + 8, count: 32)
            sum.add(word: UInt16(truncatingIfNeeded: size))
            sum.add(word: 58)
        }
        sum.add(frame + start, count: size)
        guard sum.isValid else { return nil }

        let quoted = start + 8
        guard frame.wire8(quoted) == (isV6 ? 0x60 : 0x45) || frame.wire8(quoted) >> 4 == 6 && isV6 else { return nil }
        source = layout.source(frame, ipHeader: quoted)
        destination = layout.destination(frame, ipHeader: quoted)
        guard source == layout.destination(frame, ipHeader: network) else { return nil }
        switch frame.wire8(quoted + (isV6 ? 6 : 9)) {
        case 4, 41: kind = .ipip
        case 17:
            let port = frame.wire16(quoted + header + 2)
            guard let found = Encapsulation.Kind.allCases.first(where: { $0.port == port }) else { return nil }
            kind = found
        default: return nil
        }
        mtu = isV6 ? UInt16(clamping: frame.wire32(start + 4)) : frame.wire16(start + 6)
    }
}
