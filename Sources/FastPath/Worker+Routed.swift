import InterCore
import Wire

/// Connections that a route gave to a proxy: their packets go there as they are, and only their end is looked for. An
/// ended flow still takes its last packets to the proxy, and leaves when there have been none for a closed flow's
/// lifetime; so a forged end does no harm to a connection that goes on.
extension Worker {
    /// A first SYN with a destination of its own. Where that cannot be reached the origin gets it, and is noted: the rest of
    /// the connection must not follow the route when the proxy is back.
    mutating func openRouted(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64, _ proxy: ProxyIndex) {
        guard proxy.value != ProxyIndex.none.value, !isInOtherVLAN(proxy, key.vlan) else { return passUnknown(packet) }
        guard proxiesUp[Int(proxy.value)], proxies[Int(proxy.value)].mac != .zero else {
            counters.add(.passedProxyDown)
            guard let flow = makeFlow(key, hash, packet, .origin, limit: configuration.idle) else { return }
            flow.pointee.clientNext = packet.tcp.sequence + 1
            return pass(packet)
        }
        // Without an entry the route leads there, too.
        if let flow = note(key, hash, .routed, limit: configuration.idle, now: packet.now) {
            give(flow, to: proxy)
            // The first acknowledgement tells where the proxy's numbers begin.
            flow.pointee.marks.insert(.announced)
            flow.pointee.clientNext = packet.tcp.sequence + 1 + UInt32(packet.layout.payloadLength)
        }
        sendToProxy(packet.mbuf, proxy)
    }

    /// A connection of a route to a proxy, in mid-stream, whose entry has gone: idle for too long, or an earlier worker's.
    mutating func resumeRouted(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64, _ proxy: ProxyIndex) {
        if packet.tcp.flags.lacks(.rst),
            let flow = note(key, hash, .routed, limit: configuration.idle, now: packet.now)
        {
            give(flow, to: proxy)
            flow.pointee.marks.insert(.announced)
            flow.pointee.clientNext = packet.tcp.sequence
        } else if !proxiesUp[Int(proxy.value)] {
            // Perhaps one that the origin got, and the table had no room to note.
            return passUnknown(packet)
        }
        sendToProxy(packet.mbuf, proxy)
    }

    mutating func hasEnded(_ flow: Flow) -> Bool {
        flow.pointee.marks.contains(.clientFinished) && flow.pointee.marks.contains(.serverFinished)
    }

    mutating func clientRouted(_ packet: Packet, _ flow: Flow) {
        touch(flow)
        let flags = packet.tcp.flags
        if flags.contains(.rst) {
            guard packet.tcp.sequence == flow.pointee.clientNext, packet.hasValidChecksum else { return }
            return finish(flow, [.clientFinished, .serverFinished], now: packet.now)
        }
        noteCommitted(packet, flow)
        if flags.contains(.fin), end(of: packet) == flow.pointee.clientNext, packet.hasValidChecksum {
            finish(flow, .clientFinished, now: packet.now)
        }
    }

    mutating func serverRouted(_ packet: Packet, _ flow: Flow) {
        touch(flow)
        let tcp = packet.tcp
        guard packet.sourceMAC == proxies[Int(flow.pointee.proxy.value)].mac else { return }
        let end = end(of: packet)
        if tcp.flags.contains(.rst) {
            // Of a refused SYN nobody has acknowledged anything yet: its answer does.
            let isExact =
                flow.pointee.marks.contains(.announced)
                ? tcp.flags.contains(.ack) && tcp.acknowledgement == flow.pointee.clientNext
                : tcp.sequence == flow.pointee.serverNext
            guard isExact, packet.hasValidChecksum else { return }
            return finish(flow, [.clientFinished, .serverFinished], now: packet.now)
        }
        guard !flow.pointee.marks.contains(.announced) else { return }
        if end.isAfter(flow.pointee.serverNext) { flow.pointee.serverNext = end }
        if tcp.flags.contains(.fin), end == flow.pointee.serverNext, packet.hasValidChecksum {
            finish(flow, .serverFinished, now: packet.now)
        }
    }

    private mutating func end(of packet: Packet) -> SequenceNumber {
        packet.tcp.sequence + UInt32(packet.layout.payloadLength) + (packet.tcp.flags.contains(.fin) ? 1 : 0)
    }

    private mutating func finish(_ flow: Flow, _ marks: FlowEntry.Marks, now: UInt64) {
        guard !hasEnded(flow) else { return }
        flow.pointee.marks.formUnion(marks)
        guard hasEnded(flow) else { return }
        counters.add(.flowsClosed)
        rearm(flow, now: now, limit: configuration.closed)
    }
}
