import Wire

/// An Ethernet frame with TCP over IPv4 or IPv6, as a test's director sees it. Written for the tests alone, so that
/// they do not believe what they test.
struct Segment: Sendable {
    static let fin: UInt8 = 1, syn: UInt8 = 2, rst: UInt8 = 4, push: UInt8 = 8, ack: UInt8 = 16

    var frame: [UInt8]
    let ip: Int
    let tcp: Int
    let isV4: Bool
    let end: Int

    /// nil for anything but an unfragmented TCP segment.
    init?(_ frame: [UInt8]) {
        guard frame.count >= 54 else { return nil }
        ip = 14
        switch UInt16(frame[12]) << 8 | UInt16(frame[13]) {
        case 0x0800 where frame[14] >> 4 == 4 && frame[23] == 6:
            isV4 = true
            tcp = 14 + Int(frame[14] & 15) * 4
            end = 14 + Int(frame[16]) << 8 + Int(frame[17])
        case 0x86DD where frame[20] == 6:
            isV4 = false
            tcp = 54
            end = 54 + Int(frame[18]) << 8 + Int(frame[19])
        default: return nil
        }
        guard end <= frame.count, tcp + 20 <= end else { return nil }
        self.frame = frame
    }

    func word(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 << 8 | UInt32(frame[at + $1]) } }
    func half(_ at: Int) -> UInt16 { UInt16(frame[at]) << 8 | UInt16(frame[at + 1]) }

    private func address(_ at: Int) -> IPAddress {
        if isV4 { return IPAddress(v4: word(at)) }
        let high = UInt64(word(at)) << 32 | UInt64(word(at + 4))
        return IPAddress(high: high, low: UInt64(word(at + 8)) << 32 | UInt64(word(at + 12)))
    }

    var source: Endpoint { Endpoint(address(isV4 ? 26 : 22), port: half(tcp)) }
    var destination: Endpoint { Endpoint(address(isV4 ? 30 : 38), port: half(tcp + 2)) }
    var sequence: UInt32 { word(tcp + 4) }
    var acknowledgement: UInt32 { word(tcp + 8) }
    var flags: UInt8 { frame[tcp + 13] }
    var window: UInt16 { half(tcp + 14) }
    var payloadStart: Int { tcp + Int(frame[tcp + 12] >> 4) * 4 }
    var payload: [UInt8] { payloadStart <= end ? Array(frame[payloadStart..<end]) : [] }

    /// TCP options by kind; the first of each.
    var options: [UInt8: [UInt8]] {
        var found: [UInt8: [UInt8]] = [:]
        var at = tcp + 20
        while at < payloadStart {
            if frame[at] == 0 { break }
            if frame[at] == 1 {
                at += 1
                continue
            }
            guard at + 1 < payloadStart, frame[at + 1] >= 2, at + Int(frame[at + 1]) <= payloadStart else { break }
            found[frame[at]] = Array(frame[at + 2..<at + Int(frame[at + 1])])
            at += Int(frame[at + 1])
        }
        return found
    }

    var timestamp: UInt32? { options[8].map { $0.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } } }

    /// The same addresses and ports, no options and no payload.
    func bare(flags: UInt8, sequence: UInt32, acknowledgement: UInt32) -> [UInt8] {
        var bytes = Array(frame[..<tcp]) + [UInt8](repeating: 0, count: 20)
        func put(_ value: UInt32, _ at: Int, _ count: Int) {
            for index in 0..<count {
                bytes[at + index] = UInt8(truncatingIfNeeded: value >> UInt32((count - 1 - index) * 8))
            }
        }
        put(UInt32(half(tcp)), tcp, 2)
        put(UInt32(half(tcp + 2)), tcp + 2, 2)
        put(sequence, tcp + 4, 4)
        put(acknowledgement, tcp + 8, 4)
        bytes[tcp + 12] = 0x50
        bytes[tcp + 13] = flags
        put(1_024, tcp + 14, 2)
        if isV4 {
            put(UInt32(tcp - ip + 20), ip + 2, 2)
            put(0, ip + 10, 2)
            put(UInt32(Segment.checksum(bytes[ip..<tcp])), ip + 10, 2)
        } else {
            put(20, ip + 4, 2)
        }
        let addresses = isV4 ? bytes[26..<34] : bytes[22..<54]
        let pseudo = Array(addresses) + [0, 6, 0, 20]
        put(UInt32(Segment.checksum((pseudo + bytes[tcp...])[...])), tcp + 16, 2)
        return bytes
    }

    static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
        var sum: UInt32 = 0
        for (index, byte) in bytes.enumerated() { sum += index % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte) }
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        return ~UInt16(sum)
    }
}
