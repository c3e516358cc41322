import Wire

/// Reads an outer packet by code of its own, so that a mistake in `Wire` does not cancel itself out. Nil, and why is told by
/// `flaw`, when anything is not as the RFCs want it.
struct OuterHeader {
    var trafficClass: UInt8 = 0
    var protocolNumber: UInt8 = 0
    var hops: UInt8 = 0
    var source: [UInt8] = []
    var destination: [UInt8] = []
    var flowLabel: UInt32 = 0
    var sourcePort: UInt16 = 0
    var destinationPort: UInt16 = 0
    /// Behind IP, or behind UDP.
    var payload: [UInt8] = []
    var flaw: String?

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt16 {
        UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
    }

    init(_ packet: [UInt8]) {
        func word(_ offset: Int) -> UInt16 { Self.word(packet, offset) }
        let isV6 = packet[0] >> 4 == 6
        let header = isV6 ? 40 : 20
        if isV6 {
            trafficClass = UInt8(truncatingIfNeeded: word(0) >> 4)
            flowLabel = UInt32(packet[1] & 15) << 16 | UInt32(word(2))
            (protocolNumber, hops) = (packet[6], packet[7])
            (source, destination) = (Array(packet[8..<24]), Array(packet[24..<40]))
            if Int(word(4)) != packet.count - 40 { flaw = "length" }
        } else {
            trafficClass = packet[1]
            (hops, protocolNumber) = (packet[8], packet[9])
            (source, destination) = (Array(packet[12..<16]), Array(packet[16..<20]))
            if packet[0] != 0x45 || Int(word(2)) != packet.count { flaw = "length" }
            if word(6) != 0x4000 { flaw = "may be fragmented" }
            if onesComplementSum(Array(packet[..<20])) != 0xFFFF { flaw = "header checksum" }
        }
        payload = Array(packet[header...])
        guard protocolNumber == 17 else { return }
        (sourcePort, destinationPort) = (word(header), word(header + 2))
        if Int(word(header + 4)) != packet.count - header { flaw = "UDP length" }
        let pseudo = source + destination + big(UInt32(payload.count)) + [0, 0, 0, 17]
        if isV6 {
            if word(header + 6) == 0 || onesComplementSum(pseudo + payload) != 0xFFFF { flaw = "UDP checksum" }
        } else if word(header + 6) != 0 {
            flaw = "UDP checksum over IPv4"
        }
        payload = Array(payload[8...])
    }
}
