import CDPDKShim
import InterCore
import Wire

/// The way that most packets go.
extension Worker {
    /// A client's segment of a transferred connection that neither opens nor ends anything and stays within a step that
    /// any window allows: noted, given its proxy's address, sent. False, and nothing done, for any other packet. There
    /// must be room for it in `serverSide`.
    @inline(__always)
    mutating func forwardCommitted(
        _ packet: OpaquePointer, _ layout: UnsafePointer<PacketLayout>, _ flow: Flow?
    ) -> Bool {
        guard let flow, flow.pointee.state == .committed, flow.pointee.marks.lacks(.announced),
            layout.pointee.kind == .tcp
        else { return false }
        let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
        let tcp = TCPHeader(UnsafeRawPointer(frame) + Int(layout.pointee.transport))
        // SYN, FIN and RST clear, ACK set.
        guard tcp.flags.rawValue & 0x17 == TCPFlags.ack.rawValue else { return false }
        let end = tcp.sequence + UInt32(layout.pointee.payloadLength)
        let sent = end.value &- flow.pointee.clientNext.value
        let heard = tcp.acknowledgement.value &- flow.pointee.serverNext.value
        guard sent | heard < FlowEntry.leastStep else { return false }
        flow.pointee.clientNext = end
        flow.pointee.serverNext = tcp.acknowledgement
        touch(flow)
        rewriteDestination(frame, flow.pointee.proxy)
        serverSide.append(packet)
        return true
    }
}
