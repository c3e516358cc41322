// Numbers and one endpoint of a whole TCP segment in one step: what a worker does for most packets of a translated
// connection. The other endpoint is the same on both sides. Checksums follow; a wrong one stays wrong.

extension Translation {
    /// A client's segment, which is to go to its server. It has ACK set, and neither SYN nor IP options. False, and nothing
    /// changed, when it has other TCP options than timestamps that both sides agreed on.
    ///
    /// - Parameters:
    ///   - network: where the IP header begins; its destination is the endpoint that `server` takes the place of.
    ///   - segment: where the TCP header begins.
    @inlinable @inline(__always)
    public func toServer(
        plain network: UnsafeMutableRawPointer, _ segment: UnsafeMutableRawPointer, destination server: EndpointRewrite,
        isV6: Bool
    ) -> Bool {
        var edit = HeaderEdit(segment)
        guard clientShift.apply(toPlain: &edit) else { return false }
        server.write(network, isV6 ? 24 : 16, &edit, 2, isV6: isV6)
        return true
    }

    /// A server's segment of that kind, which is to come from where the client dialled.
    @inlinable @inline(__always)
    public func toClient(
        plain network: UnsafeMutableRawPointer, _ segment: UnsafeMutableRawPointer, source server: EndpointRewrite,
        isV6: Bool
    ) -> Bool {
        var edit = HeaderEdit(segment)
        guard serverShift.apply(toPlain: &edit) else { return false }
        server.write(network, isV6 ? 8 : 12, &edit, 0, isV6: isV6)
        return true
    }
}

/// One endpoint in the place of another of the same family: what that does to a segment, reckoned once for all of them.
public struct EndpointRewrite: Sendable, BitwiseCopyable {
    /// The new address as it lies in a header: four bytes, or sixteen.
    @usableFromInline let address: (UInt64, UInt64)
    @usableFromInline let port: UInt16
    /// By the address alone, folded to one word in memory's order: an IP header's sum has nothing else to learn.
    @usableFromInline let addressChange: UInt32
    /// By both.
    @usableFromInline let change: ChecksumChange

    public init(from old: Endpoint, to new: Endpoint) {
        precondition(old.address.isV4 == new.address.isV4, "endpoints of two families")
        let isV4 = new.address.isV4
        address =
            isV4
            ? (UInt64(UInt32(new.address.v4).bigEndian), 0)
            : (new.address.high.bigEndian, new.address.low.bigEndian)
        port = new.port
        var change = ChecksumChange()
        if isV4 {
            change.replace(old.address.v4, with: new.address.v4)
        } else {
            for (before, after) in [(old.address.high, new.address.high), (old.address.low, new.address.low)] {
                change.replace(UInt32(before >> 32), with: UInt32(after >> 32))
                change.replace(UInt32(truncatingIfNeeded: before), with: UInt32(truncatingIfNeeded: after))
            }
        }
        addressChange = UInt32(change.folded.bigEndian)
        change.replace(old.port, with: new.port)
        self.change = change
    }

    /// Into an IP header and the TCP header behind it, and the checksums of both after `segment`'s other changes.
    @inlinable @inline(__always)
    func write(
        _ network: UnsafeMutableRawPointer, _ addressOffset: Int, _ segment: inout HeaderEdit, _ portOffset: Int,
        isV6: Bool
    ) {
        if isV6 {
            network.storeBytes(of: address.0, toByteOffset: addressOffset, as: UInt64.self)
            network.storeBytes(of: address.1, toByteOffset: addressOffset &+ 8, as: UInt64.self)
        } else {
            network.storeBytes(
                of: UInt32(truncatingIfNeeded: address.0), toByteOffset: addressOffset, as: UInt32.self)
            let checksum = network.loadUnaligned(fromByteOffset: 10, as: UInt16.self)
            let sum = UInt32(~checksum) &+ addressChange
            network.storeBytes(of: ~UInt16(truncatingIfNeeded: sum &+ sum &>> 16), toByteOffset: 10, as: UInt16.self)
        }
        segment.header.setWire16(portOffset, port)
        segment.updateChecksum(16, after: segment.change + change)
    }
}
