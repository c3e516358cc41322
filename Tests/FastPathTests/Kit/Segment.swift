import Wire

/// A TCP segment in a frame, as a value: built and read by code of its own, so that a mistake in `Wire` does not cancel
/// itself out.
struct Segment: Equatable {
    var sourceMAC: UInt64
    var destinationMAC: UInt64
    var vlan: UInt16?
    var source: [UInt8]
    var destination: [UInt8]
    var sourcePort: UInt16
    var destinationPort: UInt16
    var sequence: UInt32 = 0
    var acknowledgement: UInt32 = 0
    /// In tcpdump's letters: S, F, R, P, `.` for ACK, E for ECE, W for CWR, A for AE.
    var flags: String = "."
    var window: UInt16 = 64_000
    var options: [UInt8] = []
    var payload: [UInt8] = []
    var timeToLive: UInt8 = 60
    var isChecksumRight = true
    /// IP fragment: not the first.
    var isFragment = false

    static let letters: [(Character, UInt16)] = [
        ("F", 1), ("S", 2), ("R", 4), ("P", 8), (".", 16), ("U", 32), ("E", 64), ("W", 128), ("A", 256),
    ]

    static func sum(_ bytes: [UInt8]) -> UInt32 {
        var total: UInt32 = 0
        for index in stride(from: 0, to: bytes.count, by: 2) {
            total += UInt32(bytes[index]) << 8 + (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
            total = total & 0xFFFF + total >> 16
        }
        return total & 0xFFFF + total >> 16
    }

    static func big(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
        (0..<value.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    static func mac(_ value: UInt64) -> [UInt8] { Array(big(value).suffix(6)) }

    var ethernet: [UInt8] {
        Segment.mac(destinationMAC) + Segment.mac(sourceMAC)
            + (vlan.map { [0x81, 0x00] + Segment.big($0) } ?? []) + (source.count == 4 ? [0x08, 0x00] : [0x86, 0xDD])
    }

    func network(_ length: Int, protocol number: UInt8) -> [UInt8] {
        if source.count == 16 {
            return [0x60, 0, 0, 0] + Segment.big(UInt16(length)) + [number, timeToLive] + source + destination
        }
        var header =
            [0x45, 0] + Segment.big(UInt16(20 + length)) + [0, 0, isFragment ? 0x20 : 0x40, isFragment ? 9 : 0]
        header += [timeToLive, number, 0, 0] + source + destination
        let checksum = Segment.big(~UInt16(Segment.sum(header)))
        header.replaceSubrange(10..<12, with: checksum)
        return header
    }

    var transport: [UInt8] {
        let padding = [UInt8](repeating: 0, count: (4 - options.count % 4) % 4)
        let headerLength = 20 + options.count + padding.count
        var word = UInt16(headerLength / 4) << 12
        for (letter, bit) in Segment.letters where flags.contains(letter) { word |= bit }
        var bytes = Segment.big(sourcePort) + Segment.big(destinationPort) + Segment.big(sequence)
        bytes += Segment.big(acknowledgement) + Segment.big(word) + Segment.big(window) + [0, 0, 0, 0]
        bytes += options + padding + payload
        let pseudo = source + destination + Segment.big(UInt16(6)) + Segment.big(UInt16(bytes.count))
        var checksum = ~UInt16(Segment.sum(pseudo + bytes))
        if !isChecksumRight { checksum ^= 0x5555 }
        bytes.replaceSubrange(16..<18, with: Segment.big(checksum))
        return bytes
    }

    var frame: [UInt8] {
        let segment = transport
        var bytes = ethernet + network(segment.count, protocol: 6) + segment
        if bytes.count < 60 { bytes += [UInt8](repeating: 0, count: 60 - bytes.count) }
        return bytes
    }

    /// An ICMP or ICMPv6 "packet too big" about this segment, sent to its source by way of its destination's router.
    func tooBig(fromMAC: UInt64, toMAC: UInt64) -> [UInt8] {
        var outer = self
        outer.sourceMAC = fromMAC
        outer.destinationMAC = toMAC
        outer.source = destination
        outer.destination = source
        let isV6 = source.count == 16
        let quoted = network(transport.count, protocol: 6) + transport.prefix(8)
        var message: [UInt8] = [isV6 ? 2 : 3, isV6 ? 0 : 4, 0, 0, 0, 0, 0x05, 0x00] + quoted
        // ICMPv6 sums a pseudo-header, ICMP does not.
        let pseudo = isV6 ? outer.source + outer.destination + Segment.big(UInt32(message.count)) + [0, 0, 0, 58] : []
        message.replaceSubrange(2..<4, with: Segment.big(~UInt16(Segment.sum(pseudo + message))))
        return outer.ethernet + outer.network(message.count, protocol: isV6 ? 58 : 1) + message
    }

}

extension Segment {
    /// Reads a frame; nil when it is not a whole TCP segment.
    init?(frame: [UInt8]) {
        func word(_ offset: Int) -> UInt16 { UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1]) }
        func long(_ offset: Int) -> UInt32 { UInt32(word(offset)) << 16 | UInt32(word(offset + 2)) }
        destinationMAC = frame[0..<6].reduce(0) { $0 << 8 | UInt64($1) }
        sourceMAC = frame[6..<12].reduce(0) { $0 << 8 | UInt64($1) }
        var offset = 12
        if word(12) == 0x8100 {
            vlan = word(14)
            offset = 16
        }
        let isV6 = word(offset) == 0x86DD
        offset += 2
        let end: Int
        let transport: Int
        if isV6 {
            guard frame[offset + 6] == 6 else { return nil }
            source = Array(frame[offset + 8..<offset + 24])
            destination = Array(frame[offset + 24..<offset + 40])
            timeToLive = frame[offset + 7]
            transport = offset + 40
            end = transport + Int(word(offset + 4))
        } else {
            guard frame[offset + 9] == 6, word(offset + 6) & 0x3FFF == 0 else { return nil }
            source = Array(frame[offset + 12..<offset + 16])
            destination = Array(frame[offset + 16..<offset + 20])
            timeToLive = frame[offset + 8]
            transport = offset + Int(frame[offset] & 15) * 4
            end = offset + Int(word(offset + 2))
        }
        sourcePort = word(transport)
        destinationPort = word(transport + 2)
        sequence = long(transport + 4)
        acknowledgement = long(transport + 8)
        flags = String(Segment.letters.filter { word(transport + 12) & $0.1 != 0 }.map(\.0))
        window = word(transport + 14)
        let payloadStart = transport + Int(frame[transport + 12] >> 4) * 4
        options = Array(frame[transport + 20..<payloadStart])
        payload = Array(frame[payloadStart..<end])
        let bytes = Array(frame[transport..<end])
        let pseudo = source + destination + Segment.big(UInt16(6)) + Segment.big(UInt16(bytes.count))
        isChecksumRight = Segment.sum(pseudo + bytes) == 0xFFFF
    }
}

/// Options, as bytes.
enum Options {
    static func mss(_ value: UInt16) -> [UInt8] { [2, 4] + Segment.big(value) }
    static let sackPermitted: [UInt8] = [4, 2]
    static func timestamps(_ value: UInt32, _ echo: UInt32) -> [UInt8] {
        [1, 1, 8, 10] + Segment.big(value) + Segment.big(echo)
    }
    static func windowScale(_ shift: UInt8) -> [UInt8] { [1, 3, 3, shift] }
    static let multipath: [UInt8] = [30, 12, 0, 1] + [UInt8](repeating: 7, count: 8)
    static let fastOpen: [UInt8] = [34, 2, 1, 1]
    static let md5: [UInt8] = [19, 18] + [UInt8](repeating: 9, count: 16)
    static let authentication: [UInt8] = [29, 16] + [UInt8](repeating: 9, count: 14)
}
