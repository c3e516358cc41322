import CDPDKShim
import InterCore
import Wire

/// The few segments that a worker makes.
extension Worker {
    /// Resets the origin's half in the client's name, with exactly the number that the origin expects (RFC 5961
    /// section 3.2 ignores any other).
    mutating func resetOriginOf(_ flow: Flow, now: UInt64) {
        let key = flows.key(of: flow).key
        let prelude = flows.prelude(flow)
        let reset = TCPFrame(
            from: Endpoint(key.client, port: key.clientPort), at: prelude.pointee.clientMAC,
            to: Endpoint(key.server, port: key.serverPort), at: prelude.pointee.originMAC, vlan: key.vlan,
            hops: prelude.pointee.timeToLive, flags: .rst, sequence: prelude.pointee.psn)
        sendReset(reset, counter: .originResetsSent, now: now)
        if prelude.pointee.resetsSent == 0 { prelude.pointee.firstReset = now }
        prelude.pointee.resetsSent &+= 1
    }

    /// Answers a late packet of the origin with the reset that it would have got from a client that knows nothing.
    mutating func resetSender(of packet: Packet) {
        guard packet.tcp.flags.contains(.ack) else { return }
        sendReset(resetFor(packet), counter: .tombstoneResetsSent, now: packet.now)
    }

    /// What a host says to a segment that acknowledges what it has never sent (RFC 9293 section 3.5.2).
    func resetFor(_ packet: Packet) -> TCPFrame {
        let bytes = UnsafeRawPointer(packet.bytes)
        let network = Int(packet.layout.network)
        let tcp = packet.tcp
        return TCPFrame(
            from: Endpoint(packet.layout.destination(bytes, ipHeader: network), port: tcp.base.wire16(2)),
            at: packet.destinationMAC,
            to: Endpoint(packet.layout.source(bytes, ipHeader: network), port: tcp.base.wire16(0)),
            at: packet.sourceMAC, vlan: packet.layout.vlan, flags: .rst, sequence: tcp.acknowledgement)
    }

    /// Sends a reset to the servers' side.
    private mutating func sendReset(_ reset: TCPFrame, counter: Counter, now: UInt64) {
        guard let packet = make(reset) else { return }
        counters.add(counter)
        if capture.isOn { captureReset(packet, reset, counter, now: now) }
        sendToServers(packet)
    }

    /// The packet of a segment. An empty pool loses it: what it answers comes again.
    mutating func make(_ segment: TCPFrame) -> OpaquePointer? {
        guard let packet = shim_mbuf_make(links.pool, UInt16(truncatingIfNeeded: segment.length)) else { return nil }
        segment.write(to: UnsafeMutableRawPointer(shim_mbuf_data(packet)))
        counters.add(.generated)
        return packet
    }
}
