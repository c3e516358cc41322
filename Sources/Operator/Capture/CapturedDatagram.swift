import Wire

/// A datagram of the control channel as a packet that Wireshark reads: IP and UDP headers made anew, for the kernel
/// keeps the ones that it had.
func capturedDatagram(_ payload: [UInt8], from source: Endpoint, to destination: Endpoint) -> [UInt8] {
    let isV4 = source.address.isV4 && destination.address.isV4
    let udpLength = 8 + payload.count
    var packet = [UInt8](repeating: 0, count: (isV4 ? 20 : 40) + udpLength)
    packet.withUnsafeMutableBytes { buffer in
        guard let start = buffer.baseAddress else { return }
        let udp = start + (isV4 ? 20 : 40)
        udp.put(0, source.port)
        udp.put(2, destination.port)
        udp.put(4, UInt16(truncatingIfNeeded: udpLength))
        payload.withUnsafeBytes {
            if let from = $0.baseAddress { (udp + 8).copyMemory(from: from, byteCount: $0.count) }
        }
        // The addresses, protocol and length that the checksum also covers (RFC 768, RFC 8200 section 8.1).
        var sum = InternetChecksum()
        sum.add(word: 17)
        sum.add(word: UInt16(truncatingIfNeeded: udpLength))
        if isV4 {
            start.put(0, UInt16(0x4500))
            start.put(2, UInt16(truncatingIfNeeded: 20 + udpLength))
            start.put(8, UInt16(64 << 8 | 17))
            start.put(12, source.address.v4)
            start.put(16, destination.address.v4)
            var header = InternetChecksum()
            header.add(start, count: 20)
            start.put(10, header.value)
            sum.add(start + 12, count: 8)
        } else {
            start.put(0, UInt16(0x6000))
            start.put(4, UInt16(truncatingIfNeeded: udpLength))
            start.put(6, UInt16(17 << 8 | 64))
            start.put(8, source.address.high)
            start.put(16, source.address.low)
            start.put(24, destination.address.high)
            start.put(32, destination.address.low)
            sum.add(start + 8, count: 32)
        }
        sum.add(udp, count: udpLength)
        // 0 would mean that there is none.
        udp.put(6, sum.value == 0 ? 0xFFFF : sum.value)
    }
    return packet
}

extension UnsafeMutableRawPointer {
    fileprivate func put<Value: FixedWidthInteger>(_ offset: Int, _ value: Value) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: Value.self)
    }
}
