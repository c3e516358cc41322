/// How hosts on one wire find each other's Ethernet addresses: ARP (RFC 826) for IPv4, Neighbor Discovery (RFC 4861) for
/// IPv6, as one thing.
public struct NeighborMessage: Equatable, Sendable {
    public enum Kind: Equatable, Sendable { case question, answer }

    public var kind: Kind
    /// Whom it is about: an ARP target or its answering sender, the target of a solicitation or an advertisement.
    public var subject: IPAddress
    /// The sender's own; `unspecified`, with a zero Ethernet address, of an IPv6 host that asks whether the subject is free
    /// for it (RFC 4862 section 5.4).
    public var sender: IPAddress
    public var senderMAC: MACAddress

    public init(_ kind: Kind, subject: IPAddress, sender: IPAddress, senderMAC: MACAddress) {
        self.kind = kind
        self.subject = subject
        self.sender = sender
        self.senderMAC = senderMAC
    }

    /// Reads a frame of `length` bytes; nil for anything else, and for what is malformed. Constant time but for an
    /// ICMPv6 checksum and at most eight options.
    public init?(of frame: UnsafeRawPointer, length: Int) {
        guard length >= 42 else { return nil }
        let start = frame.wire16(12) == 0x8100 ? 18 : 14
        switch frame.wire16(start - 2) {
        case 0x0806: self.init(arp: frame + start, length: length - start)
        case 0x86DD: self.init(ipv6: frame + start, length: length - start)
        default: return nil
        }
    }

    private init?(arp packet: UnsafeRawPointer, length: Int) {
        guard length >= 28, packet.wire32(0) == 0x0001_0800, packet.wire16(4) == 0x0604 else { return nil }
        sender = IPAddress(v4: packet.wire32(14))
        senderMAC = packet.wireMAC(8)
        switch packet.wire16(6) {
        case 1:
            kind = .question
            subject = IPAddress(v4: packet.wire32(24))
        case 2:
            kind = .answer
            subject = sender
        default: return nil
        }
    }

    private init?(ipv6 packet: UnsafeRawPointer, length: Int) {
        // A hop limit of 255 says that no router has seen it (RFC 4861 sections 7.1.1 and 7.1.2).
        guard length >= 64, packet.wire8(0) >> 4 == 6, packet.wire8(6) == 58, packet.wire8(7) == 255 else { return nil }
        let size = Int(packet.wire16(4))
        let message = packet + 40
        guard size >= 24, 40 + size <= length, message.wire8(1) == 0 else { return nil }
        guard Self.checksum(ofICMPv6: message, count: size, in: packet).isValid else { return nil }
        subject = IPAddress(high: message.wire64(8), low: message.wire64(16))
        sender = IPAddress(high: packet.wire64(8), low: packet.wire64(16))
        let wanted: UInt8
        switch message.wire8(0) {
        case 135: (kind, wanted) = (.question, 1)
        case 136: (kind, wanted) = (.answer, 2)
        default: return nil
        }
        let address = Self.linkAddress(wanted, message + 24, count: size - 24)
        if sender == .unspecified {
            let receiver = IPAddress(high: packet.wire64(24), low: packet.wire64(32))
            guard kind == .question, address == nil, receiver == Self.solicitedNode(subject) else { return nil }
        } else if address == nil {
            return nil
        }
        senderMAC = address ?? .zero
    }

    /// The link-layer address among a message's options.
    private static func linkAddress(_ wanted: UInt8, _ options: UnsafeRawPointer, count: Int) -> MACAddress? {
        var offset = 0
        for _ in 0..<8 {
            guard offset + 8 <= count else { return nil }
            let length = Int(options.wire8(offset + 1)) * 8
            guard length > 0, offset + length <= count else { return nil }
            if options.wire8(offset) == wanted { return options.wireMAC(offset + 2) }
            offset += length
        }
        return nil
    }

    private static func checksum(
        ofICMPv6 message: UnsafeRawPointer, count: Int, in packet: UnsafeRawPointer
    ) -> InternetChecksum {
        var sum = InternetChecksum()
        sum.add(packet + 8, count: 32)
        sum.add(word: UInt16(truncatingIfNeeded: count))
        sum.add(word: 58)
        sum.add(message, count: count)
        return sum
    }

    // MARK: frames

    /// The frame that asks everybody, or that answers `receiver`; as long as Ethernet wants it at least.
    public func frame(to receiver: (address: IPAddress, mac: MACAddress)? = nil, vlan: VLAN = .untagged) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: max(length(vlan: vlan), 60 + (vlan.isTagged ? 4 : 0)))
        bytes.withUnsafeMutableBytes { write(over: $0.baseAddress!, to: receiver, vlan: vlan) }
        return bytes
    }

    /// Bytes that `write` writes.
    public func length(vlan: VLAN) -> Int { (vlan.isTagged ? 18 : 14) + (subject.isV4 ? 28 : 40 + sizeOfICMPv6) }

    /// Whoever has no address yet does not say its Ethernet address.
    private var sizeOfICMPv6: Int { kind == .question && sender == .unspecified ? 24 : 32 }

    /// The same over whatever is at `frame`, with room for `length(vlan:)` bytes; allocates nothing.
    public func write(
        over frame: UnsafeMutableRawPointer, to receiver: (address: IPAddress, mac: MACAddress)?, vlan: VLAN
    ) {
        let isV4 = subject.isV4
        let destination: MACAddress
        if let receiver, receiver.address != .unspecified || isV4 {
            destination = receiver.mac
        } else if isV4 {
            destination = .broadcast
        } else {
            destination = .ofGroup(receiver == nil ? Self.solicitedNode(subject) : Self.allNodes)
        }
        let start = frame.setEthernet(from: senderMAC, to: destination, vlan: vlan, type: isV4 ? 0x0806 : 0x86DD)
        if isV4 { setARP(frame + start, receiver) } else { setICMPv6(frame + start, receiver?.address) }
    }

    private func setARP(_ packet: UnsafeMutableRawPointer, _ receiver: (address: IPAddress, mac: MACAddress)?) {
        packet.setWire32(0, 0x0001_0800)
        packet.setWire32(4, kind == .question ? 0x0604_0001 : 0x0604_0002)
        packet.setWireMAC(8, senderMAC)
        packet.setWire32(14, kind == .question ? sender.v4 : subject.v4)
        packet.setWireMAC(18, receiver?.mac ?? .zero)
        packet.setWire32(24, kind == .question ? subject.v4 : receiver?.address.v4 ?? subject.v4)
    }

    /// Whoever has no address yet is answered with all others (RFC 4861 section 7.2.4).
    private func setICMPv6(_ packet: UnsafeMutableRawPointer, _ receiver: IPAddress?) {
        let isToAll = receiver == .unspecified
        let destination = isToAll ? Self.allNodes : receiver ?? Self.solicitedNode(subject)
        packet.setIPv6(
            0, from: kind == .question ? sender : subject, to: destination, next: 58, length: sizeOfICMPv6,
            hops: 255)
        let message = packet + 40
        message.setWire32(0, kind == .question ? 135 &<< 24 : 136 &<< 24)
        // An answer was asked for, and replaces what was known (RFC 4861 section 4.4).
        message.setWire32(4, kind == .question ? 0 : isToAll ? 0x2000_0000 : 0x6000_0000)
        message.setAddress(8, subject)
        if sizeOfICMPv6 > 24 {
            message.setWire16(24, kind == .question ? 0x0101 : 0x0201)
            message.setWireMAC(26, senderMAC)
        }
        message.setWire16(2, Self.checksum(ofICMPv6: message, count: sizeOfICMPv6, in: packet).value)
    }

    /// ff02::1 (RFC 4291 section 2.7.1).
    private static var allNodes: IPAddress { IPAddress(high: 0xFF02 << 48, low: 1) }

    /// ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1).
    static func solicitedNode(_ address: IPAddress) -> IPAddress {
        IPAddress(high: 0xFF02 << 48, low: 0x0000_0001_FF00_0000 | address.low & 0xFF_FFFF)
    }
}

extension MACAddress {
    /// For many receivers.
    @inlinable public var isGroup: Bool { value & 0x0100_0000_0000 != 0 }
    public static var broadcast: MACAddress { .init(0xFFFF_FFFF_FFFF) }

    /// Where a multicast group's frames go (RFC 1112 section 6.4, RFC 2464 section 7).
    public static func ofGroup(_ group: IPAddress) -> MACAddress {
        group.isV4
            ? MACAddress(0x0100_5E00_0000 | group.low & 0x7F_FFFF)
            : MACAddress(0x3333_0000_0000 | group.low & 0xFFFF_FFFF)
    }
}
