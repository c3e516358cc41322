import CDPDKShim
import InterCore
import Wire

/// The director's own address, where it has one on the servers' side.
extension Worker {
    /// True, and it is the control core's, for what a server sends to the director itself.
    @inline(never)
    mutating func takeOwn(_ packet: Packet, _ own: OwnAddressLink) -> Bool {
        guard !packet.fromClient, isOwn(packet.mbuf, own) else { return false }
        let length = Int(shim_mbuf_length(packet.mbuf))
        let frame = UnsafeRawBufferPointer(start: shim_mbuf_data(packet.mbuf), count: length)
        if length <= OwnAddressLink.longestFrame, own.received.push(OwnFrame(), payload: frame) {
            counters.add(.ownReceived)
            ringControl()
        } else {
            counters.add(.droppedOwnFull)
        }
        shim_mbuf_free(packet.mbuf)
        return true
    }

    @inline(__always)
    func isOwn(_ packet: OpaquePointer) -> Bool {
        guard let own = links.own else { return false }
        return isOwn(packet, own)
    }

    /// To the port's own Ethernet address, or to everybody and asking for the director's.
    @inline(never)
    func isOwn(_ packet: OpaquePointer, _ own: OwnAddressLink) -> Bool {
        let frame = UnsafeRawPointer(shim_mbuf_data(packet))
        let length = Int(shim_mbuf_length(packet))
        guard length >= 18 else { return false }
        let isTagged = frame.wire16(12) == 0x8100
        guard (isTagged ? VLAN(frame.wire16(14) & 0x0FFF) : .untagged) == own.vlan else { return false }
        let destination = frame.wireMAC(0)
        if destination == own.mac { return true }
        guard destination.isGroup, let message = NeighborMessage(of: frame, length: length) else { return false }
        return message.kind == .question && message.subject == own.address
    }

    /// What the control core wants to send.
    @inline(never)
    mutating func transmitOwn() {
        guard let own = links.own else { return }
        var left = OwnAddressLink.framesOfOneCommand
        while left > 0, own.waiting.hasMessage {
            left &-= 1
            let packet = own.waiting.pop { [pool = links.pool] _, frame -> OpaquePointer? in
                guard let packet = shim_mbuf_make(pool, UInt16(truncatingIfNeeded: frame.count)) else { return nil }
                if let start = frame.baseAddress {
                    UnsafeMutableRawPointer(shim_mbuf_data(packet)).copyMemory(from: start, byteCount: frame.count)
                }
                return packet
            }
            // Without a buffer it is one more lost datagram.
            guard let packet = packet ?? nil else { continue }
            counters.add(.generated)
            sendToServers(packet)
        }
    }
}
