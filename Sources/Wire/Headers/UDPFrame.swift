/// An Ethernet frame with one UDP datagram, as bytes: for who has a port but no kernel's socket on it.
public enum UDPFrame {
    /// Bytes before the payload.
    public static func headerLength(isV6: Bool, vlan: VLAN) -> Int {
        14 + (vlan.isTagged ? 4 : 0) + (isV6 ? 40 : 20) + 8
    }

    /// Both addresses must be of one family. Checksums are right; the payload must fit into an IP packet.
    public static func bytes(
        _ payload: [UInt8], from source: Endpoint, at sourceMAC: MACAddress, to destination: Endpoint,
        at destinationMAC: MACAddress, vlan: VLAN = .untagged, hops: UInt8 = 64
    ) -> [UInt8] {
        let isV6 = !source.address.isV4
        let header = headerLength(isV6: isV6, vlan: vlan)
        var bytes = [UInt8](repeating: 0, count: max(header + payload.count, 60))
        bytes.withUnsafeMutableBytes { buffer in
            let frame = buffer.baseAddress!
            let network = frame.setEthernet(
                from: sourceMAC, to: destinationMAC, vlan: vlan, type: isV6 ? 0x86DD : 0x0800)
            let length = 8 + payload.count
            if isV6 {
                frame.setIPv6(
                    network, from: source.address, to: destination.address, next: 17, length: length, hops: hops)
            } else {
                frame.setIPv4(
                    network, from: source.address, to: destination.address, protocol: 17, length: length, hops: hops)
            }
            let transport = network + (isV6 ? 40 : 20)
            frame.setWire16(transport, source.port)
            frame.setWire16(transport + 2, destination.port)
            frame.setWire16(transport + 4, UInt16(truncatingIfNeeded: length))
            payload.withUnsafeBytes {
                if let start = $0.baseAddress { (frame + header).copyMemory(from: start, byteCount: $0.count) }
            }
            let sum = PacketLayout(of: frame, length: header + payload.count).computedChecksum(frame)
            // 0 would say that there is none (RFC 768).
            frame.setWire16(transport + 6, sum == 0 ? 0xFFFF : sum)
        }
        return bytes
    }
}

extension UnsafeMutableRawPointer {
    /// Returns where the network header begins.
    func setEthernet(from source: MACAddress, to destination: MACAddress, vlan: VLAN, type: UInt16) -> Int {
        setWireMAC(0, destination)
        setWireMAC(6, source)
        guard vlan.isTagged else {
            setWire16(12, type)
            return 14
        }
        setWire16(12, 0x8100)
        setWire16(14, vlan.value)
        setWire16(16, type)
        return 18
    }

    /// Twenty bytes at `start`, for `length` bytes of payload. Don't fragment.
    @inline(__always)
    func setIPv4(
        _ start: Int, from source: IPAddress, to destination: IPAddress, protocol number: UInt8, length: Int,
        hops: UInt8
    ) {
        var header = HeaderWriter(self + start)
        header.set32(0, 0x4500_0000 | UInt32(UInt16(truncatingIfNeeded: 20 + length)))
        header.set32(4, 0x4000)
        header.set32(8, UInt32(hops) << 24 | UInt32(number) << 16)
        header.set32(12, source.v4)
        header.set32(16, destination.v4)
        setWire16(start + 10, header.sum.value)
    }

    /// Forty bytes at `start`, for `length` bytes of payload.
    @inline(__always)
    func setIPv6(
        _ start: Int, from source: IPAddress, to destination: IPAddress, next: UInt8, length: Int, hops: UInt8
    ) {
        setWire32(start, 0x6000_0000)
        setWire32(start + 4, UInt32(UInt16(truncatingIfNeeded: length)) << 16 | UInt32(next) << 8 | UInt32(hops))
        setAddress(start + 8, source)
        setAddress(start + 24, destination)
    }

    func setAddress(_ offset: Int, _ address: IPAddress) {
        setWire64(offset, address.high)
        setWire64(offset + 8, address.low)
    }
}
