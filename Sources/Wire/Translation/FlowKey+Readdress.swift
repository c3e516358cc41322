extension FlowKey {
    /// Gives a TCP segment this connection's addresses and ports, in place, or an ICMP error that quotes one. IPv4's
    /// header checksum, TCP's and ICMP's follow; a wrong one stays wrong. The VLAN stays.
    ///
    /// False, and nothing changed, for anything else and for a packet of the other address family.
    @inlinable
    public func readdress(_ frame: UnsafeMutableRawPointer, _ layout: PacketLayout, fromClient: Bool) -> Bool {
        guard layout.isV6 != client.isV4, layout.isV6 != server.isV4 else { return false }
        switch layout.kind {
        case .tcp:
            var network = HeaderEdit(frame + Int(layout.network))
            var segment = HeaderEdit(frame + Int(layout.transport))
            setEndpoints(&network, &segment, isV6: layout.isV6, fromClient: fromClient, hasChecksum: true)
            return true
        case .icmpError:
            readdressError(frame, layout, fromClient: fromClient)
            return true
        case .udp, .fragment, .other: return false
        }
    }

    /// An error that comes from the client's side quotes what a server sent.
    @inlinable
    func readdressError(_ frame: UnsafeMutableRawPointer, _ layout: PacketLayout, fromClient: Bool) {
        let isV6 = layout.isV6
        let quote = QuotedSegment(of: frame, layout)
        var outer = HeaderEdit(frame + Int(layout.network))
        let (source, destination) = fromClient ? (client, server) : (server, client)
        // From the host itself and not from a router on the way.
        let isFromEnd =
            layout.source(frame, ipHeader: Int(layout.network)) == layout.destination(frame, ipHeader: quote.network)
        if isFromEnd { outer.setAddress(isV6 ? 8 : 12, source, isV6: isV6) }
        outer.setAddress(isV6 ? 24 : 16, destination, isV6: isV6)

        var network = HeaderEdit(frame + quote.network)
        var segment = HeaderEdit(frame + quote.transport)
        setEndpoints(&network, &segment, isV6: isV6, fromClient: !fromClient, hasChecksum: quote.hasChecksum)

        var error = HeaderEdit(frame + Int(layout.transport))
        if isV6 {
            // ICMPv6 sums a pseudo-header (RFC 4443 section 2.3), ICMP does not.
            error.updateChecksum(2, after: outer.change + network.change + segment.change)
        } else {
            error.updateChecksum(2, after: network.change + segment.change)
            outer.updateChecksum(10, after: outer.change)
        }
    }

    /// Addresses of an IP header, ports of the TCP header behind it, and the checksums of both.
    @inlinable @inline(__always)
    func setEndpoints(
        _ network: inout HeaderEdit, _ segment: inout HeaderEdit, isV6: Bool, fromClient: Bool, hasChecksum: Bool
    ) {
        network.setAddress(isV6 ? 8 : 12, fromClient ? client : server, isV6: isV6)
        network.setAddress(isV6 ? 24 : 16, fromClient ? server : client, isV6: isV6)
        segment.set16(0, fromClient ? clientPort : serverPort)
        segment.set16(2, fromClient ? serverPort : clientPort)
        if hasChecksum { segment.updateChecksum(16, after: network.change + segment.change) }
        if !isV6 { network.updateChecksum(10, after: network.change) }
    }
}
