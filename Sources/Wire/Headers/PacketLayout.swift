/// Where the parts of an Ethernet frame lie, as far as Baton looks: found once, checked against the frame's length, so
/// that every later access is total.
///
///     Ethernet (14) | 802.1Q (4, optional) | IPv4 or IPv6 with extension headers | TCP, UDP or ICMP | payload
///
/// Offsets count from the frame's first byte.
public struct PacketLayout: Equatable, Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        // The three that belong to a flow come first.
        /// A whole TCP segment.
        case tcp
        /// An ICMP or ICMPv6 error that quotes a TCP segment; `transport` is the ICMP header.
        case icmpError
        /// A whole UDP datagram.
        case udp
        /// A piece of an IP packet.
        case fragment
        /// Anything else, malformed IP, TCP and UDP included.
        case other
    }

    public var kind: Kind = .other
    public var isV6: Bool = false
    public var vlan: VLAN = .untagged
    /// Start of the IP header.
    public var network: UInt16 = 0
    /// Start of the TCP, UDP or ICMP header.
    public var transport: UInt16 = 0
    /// Start of the TCP or UDP payload; of an ICMP error, of the TCP header that it quotes.
    public var payload: UInt16 = 0
    /// Bytes from there on by the IP header's account (Ethernet padding excluded).
    public var payloadLength: UInt16 = 0

    @inlinable
    public init() {}

    /// Reads a frame of `length` bytes in one piece. Never fails: what is not understood is `.other`.
    @inlinable
    public init(of frame: UnsafeRawPointer, length: Int) {
        guard length >= 34 else { return }
        var type = frame.wire16(12)
        var offset = 14
        if type == 0x8100 {
            vlan = VLAN(frame.wire16(14) & 0x0FFF)
            type = frame.wire16(16)
            offset = 18
        }
        network = UInt16(truncatingIfNeeded: offset)
        if type == 0x0800 {
            readIPv4(frame, length: length)
        } else if type == 0x86DD {
            readIPv6(frame, length: length)
        }
    }

    @inlinable
    mutating func readIPv4(_ frame: UnsafeRawPointer, length: Int) {
        let start = Int(network)
        guard length >= start &+ 20 else { return }
        let versionAndLength = frame.wire8(start)
        let header = Int(versionAndLength & 15) &* 4
        let total = Int(frame.wire16(start &+ 2))
        guard versionAndLength >> 4 == 4, header >= 20, total >= header, start &+ total <= length else { return }
        if frame.wire16(start &+ 6) & 0x3FFF != 0 {
            kind = .fragment
            return
        }
        readTransport(frame, protocol: frame.wire8(start &+ 9), start: start &+ header, end: start &+ total)
    }

    /// Walks at most eight extension headers (RFC 8200 section 4).
    @inlinable
    mutating func readIPv6(_ frame: UnsafeRawPointer, length: Int) {
        let start = Int(network)
        guard length >= start &+ 40, frame.wire8(start) >> 4 == 6 else { return }
        let end = start &+ 40 &+ Int(frame.wire16(start &+ 4))
        guard end <= length else { return }
        isV6 = true
        var next = frame.wire8(start &+ 6)
        var offset = start &+ 40
        var steps = 0
        while steps < 8 {
            if next == 44 {
                kind = .fragment
                return
            }
            // Hop-by-hop options, routing, destination options.
            guard next == 0 || next == 43 || next == 60 else { break }
            guard offset &+ 8 <= end else { return }
            next = frame.wire8(offset)
            offset &+= (Int(frame.wire8(offset &+ 1)) &+ 1) &* 8
            steps &+= 1
        }
        guard offset <= end else { return }
        readTransport(frame, protocol: next, start: offset, end: end)
    }

    @inlinable
    mutating func readTransport(_ frame: UnsafeRawPointer, protocol number: UInt8, start: Int, end: Int) {
        transport = UInt16(truncatingIfNeeded: start)
        if number == 6 {
            guard start &+ 20 <= end else { return }
            let header = Int(frame.wire8(start &+ 12) >> 4) &* 4
            guard header >= 20, start &+ header <= end else { return }
            payload = UInt16(truncatingIfNeeded: start &+ header)
            payloadLength = UInt16(truncatingIfNeeded: end &- start &- header)
            kind = .tcp
        } else if number == 17 {
            // All of the packet or nothing: what lies behind a shorter datagram could be read in two ways.
            guard start &+ 8 <= end, Int(frame.wire16(start &+ 4)) == end &- start else { return }
            payload = UInt16(truncatingIfNeeded: start &+ 8)
            payloadLength = UInt16(truncatingIfNeeded: end &- start &- 8)
            kind = .udp
        } else if number == (isV6 ? 58 : 1), start &+ 8 <= end {
            let type = frame.wire8(start)
            // Destination unreachable, packet too big, time exceeded, parameter problem (RFC 792, RFC 4443).
            guard isV6 ? (type >= 1 && type <= 4) : (type == 3 || type == 11 || type == 12) else { return }
            readQuotedSegment(frame, start: start &+ 8, end: end)
        }
    }

    /// An ICMP error counts only when it quotes the addresses, ports and sequence number of a TCP segment.
    @inlinable
    mutating func readQuotedSegment(_ frame: UnsafeRawPointer, start: Int, end: Int) {
        if isV6 {
            guard start &+ 48 <= end, frame.wire8(start) >> 4 == 6, frame.wire8(start &+ 6) == 6 else { return }
            payload = UInt16(truncatingIfNeeded: start &+ 40)
        } else {
            guard start &+ 28 <= end, frame.wire8(start) >> 4 == 4, frame.wire8(start &+ 9) == 6 else { return }
            let header = Int(frame.wire8(start) & 15) &* 4
            // Only a first fragment, or a whole packet, has ports.
            guard header >= 20, start &+ header &+ 8 <= end, frame.wire16(start &+ 6) & 0x1FFF == 0 else { return }
            payload = UInt16(truncatingIfNeeded: start &+ header)
        }
        payloadLength = UInt16(truncatingIfNeeded: end &- Int(payload))
        kind = .icmpError
    }
}

extension PacketLayout {
    /// Source address of the IP header at `offset`.
    @inlinable @inline(__always)
    public func source(_ frame: UnsafeRawPointer, ipHeader offset: Int) -> IPAddress {
        isV6
            ? IPAddress(high: frame.wire64(offset &+ 8), low: frame.wire64(offset &+ 16))
            : IPAddress(v4: frame.wire32(offset &+ 12))
    }

    /// Destination address of the IP header at `offset`.
    @inlinable @inline(__always)
    public func destination(_ frame: UnsafeRawPointer, ipHeader offset: Int) -> IPAddress {
        isV6
            ? IPAddress(high: frame.wire64(offset &+ 24), low: frame.wire64(offset &+ 32))
            : IPAddress(v4: frame.wire32(offset &+ 16))
    }

    /// True for what has a connection: a TCP segment, an ICMP error that quotes one, and a UDP datagram.
    @inlinable @inline(__always)
    public var belongsToFlow: Bool { kind.rawValue < Kind.fragment.rawValue }

    /// The connection of a TCP segment, or the one that an ICMP error quotes: an error that comes from the client's side
    /// quotes what a server sent. Meaningful when `belongsToFlow`.
    @inlinable @inline(__always)
    public func key(_ frame: UnsafeRawPointer, fromClient: Bool) -> PackedFlowKey {
        let isQuoted = kind == .icmpError
        return PackedFlowKey(
            sourceAddress: frame + (isQuoted ? Int(transport) &+ 8 : Int(network)) + (isV6 ? 8 : 12),
            ports: frame + Int(isQuoted ? payload : transport), isV6: isV6, vlan: vlan,
            fromClient: fromClient != isQuoted)
    }

    /// True when the TCP or UDP checksum is right (RFC 9293 section 3.1, RFC 768), and IPv4's header checksum. Linear in
    /// the segment's length.
    @inlinable
    public func hasValidChecksum(_ frame: UnsafeRawPointer) -> Bool {
        if !isV6 {
            var header = InternetChecksum()
            header.add(frame + Int(network), count: Int(frame.wire8(Int(network)) & 15) &* 4)
            guard header.isValid else { return false }
        }
        if kind == .udp, frame.wire16(Int(transport) &+ 6) == 0 {
            // None was made, which only IPv4 allows (RFC 8200 section 8.1).
            return !isV6
        }
        let length = Int(payload) &+ Int(payloadLength) &- Int(transport)
        var sum = InternetChecksum()
        addPseudoHeader(to: &sum, frame, length: length)
        sum.add(frame + Int(transport), count: length)
        return sum.isValid
    }

    /// The checksum that the TCP or UDP header ought to have; the field itself must be 0.
    @inlinable
    public func computedChecksum(_ frame: UnsafeRawPointer) -> UInt16 {
        let length = Int(payload) &+ Int(payloadLength) &- Int(transport)
        var sum = InternetChecksum()
        addPseudoHeader(to: &sum, frame, length: length)
        sum.add(frame + Int(transport), count: length)
        return sum.value
    }

    @inlinable
    func addPseudoHeader(to sum: inout InternetChecksum, _ frame: UnsafeRawPointer, length: Int) {
        if isV6 {
            sum.add(frame + Int(network) + 8, count: 32)
        } else {
            sum.add(frame + Int(network) + 12, count: 8)
        }
        sum.add(word: UInt16(truncatingIfNeeded: length))
        sum.add(word: kind == .udp ? 17 : 6)
    }
}
