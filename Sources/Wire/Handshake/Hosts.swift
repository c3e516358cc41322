extension PacketLayout {
    /// From one host to another one, as far as the frame itself shows: a SYN to or from a group, from nowhere, from port 0 or
    /// from its own destination is to have no answer (RFC 1122 sections 3.2.1.3 and 4.2.3.10, RFC 9293 section 3.9.2.3).
    @inline(__always)
    func isBetweenHosts(_ frame: UnsafeRawPointer) -> Bool {
        // The bit of a group, in both Ethernet addresses; then the source port.
        guard frame.wire8(0) & 1 == 0, frame.wire8(6) & 1 == 0, frame.wire16(Int(transport)) != 0 else { return false }
        let source = source(frame, ipHeader: Int(network))
        let destination = destination(frame, ipHeader: Int(network))
        return source.isHost(isV6: isV6) && destination.isHost(isV6: isV6) && source != destination
    }
}

extension IPAddress {
    /// Not multicast, broadcast, loopback or unspecified; nor IPv4's form within an IPv6 header (RFC 6890 section 2.2.3).
    @inline(__always)
    fileprivate func isHost(isV6: Bool) -> Bool {
        guard isV6 else {
            let network = v4 &>> 24
            return network != 0 && network != 127 && network &>> 4 != 14 && v4 != 0xFFFF_FFFF
        }
        return high &>> 56 != 0xFF && !(high == 0 && (low <= 1 || low &>> 32 == 0xFFFF))
    }
}
