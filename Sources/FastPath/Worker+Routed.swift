import InterCore
import Wire

/// Connections that a route gave to a proxy: their packets go there as they are, and only their end is looked for. An
/// ended flow still takes its last packets to the proxy, and leaves when there have been none for a closed flow's
/// lifetime; so a forged end does no harm to a connection that goes on.
extension Worker {
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
