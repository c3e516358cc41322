import CDPDKShim
import InterCore
import Wire

/// The way to proxies beyond layer 2: a client's packet goes whole into one of the director's own.
extension Worker {
    mutating func encapsulate(_ proxy: ProxyIndex, _ encapsulation: Encapsulation?) {
        tunnels.set(proxy, encapsulation)
        limitSegments()
    }

    mutating func limitSegments() { tunnels.limitSegments(proxies) }

    /// Writes the proxy's header before the packet; Ethernet's stays the outermost, with the tag that it has. What does not
    /// fit is dropped, and the client hears of it.
    @inline(never)
    mutating func sendThroughTunnel(_ packet: OpaquePointer, _ proxy: ProxyIndex) {
        sendThroughTunnel(packet, proxy, flow: 0, hash: nil)
    }

    /// - Parameters:
    ///   - flow: its identifier, where packets name flows.
    ///   - hash: the flow's, which routers are to spread tunnels by; nil: what they find in the packet.
    @inline(never)
    mutating func sendThroughTunnel(_ packet: OpaquePointer, _ proxy: ProxyIndex, flow: UInt32, hash: UInt64?) {
        let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
        let length = Int(shim_mbuf_length(packet))
        let layout = PacketLayout(of: frame, length: length)
        let network = Int(layout.network)
        guard layout.belongsToFlow, length == Int(shim_mbuf_total_length(packet)) else {
            return discard(packet, .droppedUnencapsulated)
        }
        // Without what Ethernet had to add to short frames.
        let view = UnsafeRawPointer(frame)
        let count =
            layout.isV6 ? 40 &+ Int(view.wire16(network &+ 4)) : Int(view.wire16(network &+ 2))
        let room = Int(proxies[Int(proxy.value)].mtu)
        if room != 0, count > room {
            if tunnels.mayAnswer(in: tick) { answerTooBig(frame, layout, count, mtu: room) }
            return discard(packet, .droppedTooBig)
        }
        let header = tunnels.header(of: proxy)
        guard header.length != 0, let first = shim_mbuf_prepend(packet, UInt16(truncatingIfNeeded: header.length))
        else {
            return discard(packet, .droppedUnencapsulated)
        }
        let outer = UnsafeMutableRawPointer(first)
        outer.copyMemory(from: frame, byteCount: network)
        outer.storeDestination(proxyMACs[Int(proxy.value)])
        outer.setWire16(network &- 2, header.isV6 ? 0x86DD : 0x0800)
        if let hash {
            header.write(
                before: frame + network, count: count, flow: flow, entropy: UInt32(truncatingIfNeeded: hash &>> 32))
        } else {
            header.write(before: frame + network, count: count)
        }
        shim_mbuf_resize(packet, UInt16(truncatingIfNeeded: network &+ header.length &+ count))
        counters.add(.encapsulated)
        if configuration.proxiesOnClientSide {
            // Switches must not learn that the client is here.
            outer.setWireMAC(6, links.clientMAC)
            return sendToClients(packet)
        }
        if configuration.isForwarder { outer.setWireMAC(6, links.serverMAC) }
        sendToServers(packet)
    }

    private func discard(_ packet: OpaquePointer, _ reason: Counter) {
        counters.add(reason)
        shim_mbuf_free(packet)
    }

    private mutating func answerTooBig(_ frame: UnsafeRawPointer, _ layout: PacketLayout, _ count: Int, mtu: Int) {
        let answer = PacketTooBig(layout, count: count, mtu: UInt16(truncatingIfNeeded: mtu))
        guard let packet = shim_mbuf_make(links.pool, UInt16(truncatingIfNeeded: answer.length)) else { return }
        answer.write(to: UnsafeMutableRawPointer(shim_mbuf_data(packet)), about: frame)
        counters.add(.tooBigAnswered)
        counters.add(.generated)
        sendToClients(packet)
    }

    /// True, and the packet is dealt with: who asks for the director's end of a tunnel, and routers' errors about tunnels.
    @inline(never)
    mutating func takeTunnels(_ packet: Packet) -> Bool {
        if answerNeighbor(packet) { return true }
        let length = Int(shim_mbuf_length(packet.mbuf))
        guard packet.destinationMAC == (packet.fromClient ? links.clientMAC : links.serverMAC),
            let error = TunnelError(of: packet.bytes, packet.layout, length: length),
            let first = tunnels.proxy(error, from: 0)
        else { return false }
        // The control core decides, and tells all workers. Two proxies may be behind one address.
        var next: ProxyIndex? = first
        while let proxy = next {
            _ = push(.pathNarrowed(proxy, error.mtu))
            next = tunnels.proxy(error, from: Int(proxy.value) &+ 1)
        }
        drop(packet, .droppedTunnelError)
        return true
    }
}
