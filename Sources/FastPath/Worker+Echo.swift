import CDPDKShim
import InterCore
import Wire

/// Virtual servers answer pings, so that people and routers can see that they are there.
extension Worker {
    /// True, and it is on its way back as the reply, for a client's echo request (RFC 792, RFC 4443 section 4.1) to a
    /// virtual server's address. With IP options or extension headers it is nobody's.
    @inline(never)
    mutating func answerEcho(_ packet: Packet) -> Bool {
        let layout = packet.layout
        let (bytes, network, transport) = (packet.bytes, Int(layout.network), Int(layout.transport))
        let view = UnsafeRawPointer(bytes)
        guard transport == network &+ (layout.isV6 ? 40 : 20), packet.destinationMAC == links.clientMAC else {
            return false
        }
        let (request, reply): (UInt8, UInt8) = layout.isV6 ? (128, 129) : (8, 0)
        let size = Int(view.wire16(network &+ (layout.isV6 ? 4 : 2))) &- (layout.isV6 ? 0 : 20)
        guard view.wire8(network &+ (layout.isV6 ? 6 : 9)) == (layout.isV6 ? 58 : 1), size >= 8,
            view.wire8(transport) == request, view.wire8(transport &+ 1) == 0
        else { return false }
        let source = layout.source(view, ipHeader: network)
        let destination = layout.destination(view, ipHeader: network)
        guard configuration.isClassifier ? arrivals.isOwn(destination) : virtuals.has(destination),
            !source.isMulticast, !packet.sourceMAC.isGroup
        else { return false }

        let client = packet.sourceMAC
        bytes.setWireMAC(0, client)
        bytes.setWireMAC(6, links.clientMAC)
        // Addresses that change places leave every sum as it was.
        var header = HeaderEdit(bytes + network)
        header.setAddress(layout.isV6 ? 8 : 12, destination, isV6: layout.isV6)
        header.setAddress(layout.isV6 ? 24 : 16, source, isV6: layout.isV6)
        header.set8(layout.isV6 ? 7 : 8, 64)
        if !layout.isV6 { header.updateChecksum(10, after: header.change) }
        var message = HeaderEdit(bytes + transport)
        message.set8(0, reply)
        message.updateChecksum(2, after: message.change)
        counters.add(.echoesAnswered)
        sendToClients(packet.mbuf)
        return true
    }
}
