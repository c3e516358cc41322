// Numbers and one endpoint of a whole TCP segment in one step: what a worker does for most packets of a translated
// connection. The other endpoint is the same on both sides. Checksums follow; a wrong one stays wrong.

extension Translation {
    /// A client's segment, which is to go to `server`. False, and nothing changed, when its options are malformed.
    ///
    /// - Parameters:
    ///   - network: where the IP header begins; its address is of the server's family.
    ///   - segment: where the TCP header begins.
    @inlinable @inline(__always)
    public func toServer(
        _ network: UnsafeMutableRawPointer, _ segment: UnsafeMutableRawPointer, destination server: Endpoint, isV6: Bool
    ) -> Bool {
        var edit = HeaderEdit(segment)
        guard clientShift.apply(&edit) else { return false }
        edit.set16(2, server.port)
        edit.finish(HeaderEdit(network), isV6 ? 24 : 16, server.address, isV6: isV6)
        return true
    }

    /// A server's segment, which is to come from `server`, as the client knows it.
    @inlinable @inline(__always)
    public func toClient(
        _ network: UnsafeMutableRawPointer, _ segment: UnsafeMutableRawPointer, source server: Endpoint, isV6: Bool
    ) -> Bool {
        var edit = HeaderEdit(segment)
        guard serverShift.apply(&edit) else { return false }
        edit.set16(0, server.port)
        edit.finish(HeaderEdit(network), isV6 ? 8 : 12, server.address, isV6: isV6)
        return true
    }
}

extension HeaderEdit {
    /// Of a TCP header: the address before it, and the checksums of both.
    @inlinable @inline(__always)
    mutating func finish(_ network: HeaderEdit, _ offset: Int, _ address: IPAddress, isV6: Bool) {
        var network = network
        network.setAddress(offset, address, isV6: isV6)
        updateChecksum(16, after: network.change + change)
        if !isV6 { network.updateChecksum(10, after: network.change) }
    }
}
