import Wire

/// A TCP segment in a frame, as a value: its bytes are built, summed and verified by code of its own, so that a mistake in
/// `Wire` does not cancel itself out.
struct SegmentValue: Equatable {
    /// IPv4 has four bytes, IPv6 sixteen.
    var source: [UInt8]
    var destination: [UInt8]
    var vlan: UInt16?
    /// IPv4 options, or IPv6 extension headers with `firstExtension` as the kind of the first.
    var networkOptions: [UInt8] = []
    var sourcePort: UInt16
    var destinationPort: UInt16
    var sequence: UInt32
    var acknowledgement: UInt32
    /// As in the header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    var flags: UInt8
    var window: UInt16
    var options: [OptionValue] = []
    var payload: [UInt8] = []
    /// XORed into the TCP checksum.
    var flaw: UInt16 = 0

    var isV6: Bool { source.count == 16 }
    static let firstExtension: UInt8 = 60
}

/// One TCP option.
enum OptionValue: Equatable {
    case noOperation
    case timestamps(UInt32, UInt32)
    case sack([UInt32])
    case other(kind: UInt8, [UInt8])
    /// Bytes behind END mean nothing.
    case end([UInt8])

    var bytes: [UInt8] {
        switch self {
        case .noOperation: [1]
        case .timestamps(let value, let echo): [8, 10] + big(value) + big(echo)
        case .sack(let edges): [5, UInt8(2 + 4 * edges.count)] + edges.flatMap { big($0) }
        case .other(let kind, let content): [kind, UInt8(2 + content.count)] + content
        case .end(let rest): [0] + rest
        }
    }

    var isTimestamps: Bool { if case .timestamps = self { true } else { false } }
    var isSACK: Bool { if case .sack = self { true } else { false } }
}

func big(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
}

/// RFC 1071 as it is written: folded after each word, not complemented.
func onesComplementSum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
        sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        sum = sum & 0xFFFF + sum >> 16
    }
    return UInt16(sum & 0xFFFF + sum >> 16)
}

extension SegmentValue {
    var tcp: [UInt8] {
        let optionBytes = options.flatMap(\.bytes)
        precondition(optionBytes.count % 4 == 0 && optionBytes.count <= 40)
        let words = UInt8(5 + optionBytes.count / 4)
        var bytes = big(sourcePort) + big(destinationPort) + big(sequence) + big(acknowledgement)
        bytes += [words << 4, flags] + big(window) + [0, 0, 0, 0] + optionBytes + payload
        let sum = onesComplementSum(source + destination + big(UInt16(6)) + big(UInt16(bytes.count)) + bytes)
        bytes.replaceSubrange(16..<18, with: big(~sum ^ flaw))
        return bytes
    }

    var packet: [UInt8] { network(length: tcp.count, protocol: 6) + tcp }
    var frame: [UInt8] { padded(ethernet + packet) }

    private var ethernet: [UInt8] {
        [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2] + (vlan.map { [0x81, 0x00] + big($0) } ?? [])
            + (isV6 ? [0x86, 0xDD] : [0x08, 0x00])
    }

    private func padded(_ frame: [UInt8]) -> [UInt8] {
        frame + [UInt8](repeating: 0xEE, count: max(0, 60 - frame.count))
    }

    private func network(length: Int, protocol number: UInt8) -> [UInt8] {
        if isV6 {
            let options = networkOptions.isEmpty ? [] : [number] + networkOptions.dropFirst()
            return [0x60, 0, 0, 0] + big(UInt16(options.count + length))
                + [options.isEmpty ? number : Self.firstExtension, 64] + source + destination + options
        }
        let size = 20 + networkOptions.count
        var header =
            [0x40 | UInt8(size / 4), 0] + big(UInt16(size + length)) + [0x12, 0x34, 0x40, 0, 64, number, 0, 0]
        header += source + destination + networkOptions
        header.replaceSubrange(10..<12, with: big(~onesComplementSum(header)))
        return header
    }

    /// The frame of an ICMP error that quotes the first `count` bytes of this segment behind its IP header, as `router`
    /// sends it to this segment's source. `extensions` stand behind the quote (RFC 4884).
    func error(quoting tcp: [UInt8], from router: [UInt8], extensions: [UInt8] = []) -> [UInt8] {
        var outer = self
        outer.source = router
        outer.destination = source
        outer.networkOptions = []
        var quoted = self
        if isV6 { quoted.networkOptions = [] }
        var message: [UInt8] = [isV6 ? 2 : 3, isV6 ? 0 : 4, 0, 0, 0, 0, 0x05, 0x00]
        message += quoted.network(length: self.tcp.count, protocol: 6) + tcp + extensions
        let pseudo = isV6 ? outer.source + outer.destination + big(UInt16(message.count)) + big(UInt16(58)) : []
        message.replaceSubrange(2..<4, with: big(~onesComplementSum(pseudo + message)))
        return padded(outer.ethernet + outer.network(length: message.count, protocol: isV6 ? 58 : 1) + message)
    }
}

// MARK: reading

extension [UInt8] {
    func word(_ offset: Int) -> UInt16 { UInt16(self[offset]) << 8 | UInt16(self[offset + 1]) }
    func long(_ offset: Int) -> UInt32 { UInt32(word(offset)) << 16 | UInt32(word(offset + 2)) }
}

extension SegmentValue {
    /// Reads a frame that has no IP options; nil when a checksum is wrong.
    init?(frame: [UInt8]) {
        var start = 14
        if frame.word(12) == 0x8100 {
            vlan = frame.word(14)
            start = 18
        }
        let bytes: [UInt8]
        if frame.word(start - 2) == 0x86DD {
            source = Array(frame[start + 8..<start + 24])
            destination = Array(frame[start + 24..<start + 40])
            bytes = Array(frame[start + 40..<start + 40 + Int(frame.word(start + 4))])
        } else {
            guard onesComplementSum(Array(frame[start..<start + 20])) == 0xFFFF else { return nil }
            source = Array(frame[start + 12..<start + 16])
            destination = Array(frame[start + 16..<start + 20])
            bytes = Array(frame[start + 20..<start + Int(frame.word(start + 2))])
        }
        guard onesComplementSum(source + destination + big(UInt16(6)) + big(UInt16(bytes.count)) + bytes) == 0xFFFF
        else { return nil }
        sourcePort = bytes.word(0)
        destinationPort = bytes.word(2)
        sequence = bytes.long(4)
        acknowledgement = bytes.long(8)
        flags = bytes[13]
        window = bytes.word(14)
        let end = Int(bytes[12] >> 4) * 4
        payload = Array(bytes[end...])
        var offset = 20
        while offset < end {
            switch bytes[offset] {
            case 0:
                options.append(.end(Array(bytes[offset + 1..<end])))
                offset = end
            case 1:
                options.append(.noOperation)
                offset += 1
            default:
                let content = Array(bytes[offset + 2..<offset + Int(bytes[offset + 1])])
                switch bytes[offset] {
                case 8: options.append(.timestamps(content.long(0), content.long(4)))
                case 5: options.append(.sack(stride(from: 0, to: content.count, by: 4).map(content.long)))
                case let kind: options.append(.other(kind: kind, content))
                }
                offset += 2 + content.count
            }
        }
    }
}
