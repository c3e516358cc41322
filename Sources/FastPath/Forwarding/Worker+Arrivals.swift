import CDPDKShim
import InterCore
import Wire

/// A classifier: packets that forwarders have put into others come out here, and are then like those that a client has
/// sent by way of the gateway, to which the answers go.
extension Worker {
    /// Takes the outer headers off a burst's packets, in place, before anything else is read of them. Closes the gaps that
    /// dropped ones leave, and returns how many packets there are.
    @inline(never)
    mutating func unwrap(_ count: Int) -> Int {
        var kept = 0
        var index = 0
        while index < count {
            let packet = burst.packets[index].unsafelyUnwrapped
            if unwrap(packet) {
                burst.packets[kept] = packet
                kept &+= 1
            }
            index &+= 1
        }
        return kept
    }

    /// False when the packet was dropped. One that is not for the tunnels' end stays as it is.
    @inline(__always)
    private mutating func unwrap(_ packet: OpaquePointer) -> Bool {
        let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
        let length = Int(shim_mbuf_length(packet))
        guard let outer = OuterPacket(UnsafeRawPointer(frame), length: length), arrivals.isOwn(outer.destination),
            outer.isTunnel(arrivals.kind)
        else { return true }
        guard arrivals.isForwarder(outer.source) else { return dropped(packet, .droppedForeignForwarder) }
        guard outer.isWhole, length == Int(shim_mbuf_total_length(packet)),
            case .packet(let contents) = EncapsulatedPacket.read(
                UnsafeRawPointer(frame) + outer.payload, count: outer.end &- outer.payload, kind: arrivals.kind,
                network: arrivals.network)
        else { return dropped(packet, .droppedUnreadable) }
        let inner = outer.payload &+ contents.start
        guard EncapsulatedPacket.combineMarks(frame + inner, outer: outer.trafficClass) else {
            return dropped(packet, .droppedUnreadable)
        }
        let isV6 = UnsafeRawPointer(frame).wire8(inner) &>> 4 == 6
        let tag = outer.network == 18 ? UnsafeRawPointer(frame).wire32(12) : 0
        let start = inner &- outer.network
        frame.setWireMAC(start, links.clientMAC)
        frame.setWireMAC(start &+ 6, arrivals.gateway)
        if outer.network == 18 { frame.setWire32(start &+ 12, tag) }
        frame.setWire16(inner &- 2, isV6 ? 0x86DD : 0x0800)
        shim_mbuf_trim(packet, UInt16(truncatingIfNeeded: start))
        shim_mbuf_resize(packet, UInt16(truncatingIfNeeded: outer.network &+ contents.length))
        counters.add(.arrivals)
        return true
    }

    private func dropped(_ packet: OpaquePointer, _ reason: Counter) -> Bool {
        counters.add(reason)
        shim_mbuf_free(packet)
        return false
    }
}

/// `Arrivals` in raw memory.
struct CompiledArrivals: BitwiseCopyable {
    let kind: Encapsulation.Kind
    let network: UInt32
    let gateway: MACAddress
    private let addresses: UnsafeMutablePointer<IPAddress>
    private let addressCount: Int
    private let forwarders: UnsafeMutablePointer<IPAddress>
    private let forwarderCount: Int

    init(_ arrivals: Arrivals?) {
        func copied(_ list: [IPAddress]) -> UnsafeMutablePointer<IPAddress> {
            let copy = UnsafeMutablePointer<IPAddress>.allocate(capacity: max(list.count, 1))
            copy.initialize(from: list, count: list.count)
            return copy
        }
        kind = arrivals?.kind ?? .ipip
        network = arrivals?.network ?? 0
        gateway = arrivals?.gateway ?? .zero
        addresses = copied(arrivals?.addresses ?? [])
        addressCount = arrivals?.addresses.count ?? 0
        forwarders = copied(arrivals?.forwarders ?? [])
        forwarderCount = arrivals?.forwarders.count ?? 0
    }

    func isOwn(_ address: IPAddress) -> Bool { Self.contains(addresses, addressCount, address) }
    func isForwarder(_ address: IPAddress) -> Bool { Self.contains(forwarders, forwarderCount, address) }

    @inline(__always)
    private static func contains(
        _ list: UnsafeMutablePointer<IPAddress>, _ count: Int, _ address: IPAddress
    ) -> Bool {
        var index = 0
        while index < count {
            if list[index] == address { return true }
            index &+= 1
        }
        return false
    }
}

/// The outer headers of a frame that may be a tunnel's: no options, no extension headers, for forwarders write none. The
/// outer UDP checksum is not looked at: the inner packet has its own, which is, before anything depends on it (RFC 6936).
private struct OuterPacket: BitwiseCopyable {
    let source: IPAddress
    let destination: IPAddress
    /// Where the outer IP header begins: 14, or 18 behind a tag.
    let network: Int
    /// Where UDP's payload begins, or IPIP's.
    let payload: Int
    /// Where it ends, by the IP header's account.
    let end: Int
    let trafficClass: UInt8
    private let number: UInt8
    private let port: UInt16
    /// Not a fragment.
    let isWhole: Bool

    @inline(__always)
    init?(_ frame: UnsafeRawPointer, length: Int) {
        guard length >= 42 else { return nil }
        let network = frame.wire16(12) == 0x8100 ? 18 : 14
        let isV6: Bool
        switch frame.wire16(network &- 2) {
        case 0x0800: isV6 = false
        case 0x86DD: isV6 = true
        default: return nil
        }
        let transport = network &+ (isV6 ? 40 : 20)
        guard length >= transport &+ 8 else { return nil }
        self.network = network
        if isV6 {
            guard frame.wire8(network) &>> 4 == 6 else { return nil }
            end = transport &+ Int(frame.wire16(network &+ 4))
            number = frame.wire8(network &+ 6)
            trafficClass = UInt8(truncatingIfNeeded: frame.wire16(network) &>> 4)
            isWhole = end <= length
            source = IPAddress(high: frame.wire64(network &+ 8), low: frame.wire64(network &+ 16))
            destination = IPAddress(high: frame.wire64(network &+ 24), low: frame.wire64(network &+ 32))
        } else {
            guard frame.wire8(network) == 0x45 else { return nil }
            end = network &+ Int(frame.wire16(network &+ 2))
            number = frame.wire8(network &+ 9)
            trafficClass = frame.wire8(network &+ 1)
            isWhole = end <= length && frame.wire16(network &+ 6) & 0x3FFF == 0
            source = IPAddress(v4: frame.wire32(network &+ 12))
            destination = IPAddress(v4: frame.wire32(network &+ 16))
        }
        port = frame.wire16(transport &+ 2)
        payload = number == 17 ? transport &+ 8 : transport
    }

    @inline(__always)
    func isTunnel(_ kind: Encapsulation.Kind) -> Bool {
        guard let wanted = kind.port else { return number == 4 || number == 41 }
        return number == 17 && port == wanted
    }
}
