/// Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, times in nanoseconds since 1970.
package struct CaptureFile: Sendable {
    /// Blocks that nobody has taken yet.
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }

    /// Takes at most `limit` bytes of whole blocks, or the first block if that one is longer.
    package mutating func take(limit: Int) -> [UInt8] {
        var end = 0
        while end < bytes.count {
            let length = (0..<4).reduce(0) { $0 | Int(bytes[end + 4 + $1]) << (8 * $1) }
            if end > 0, end + length > limit { break }
            end += length
        }
        defer { bytes.removeFirst(end) }
        return Array(bytes[..<end])
    }

    package enum LinkType: UInt16, Sendable {
        case ethernet = 1
        /// Begins with an IPv4 or IPv6 header.
        case rawIP = 101
    }

    package enum Direction: UInt32, Sendable { case inbound = 1, outbound = 2 }

    package mutating func section(application: String) {
        block(0x0A0D_0D0A) { body in
            body.append32(0x1A2B_3C4D)
            body.append16(1)
            body.append16(0)
            // The section's length is not known beforehand.
            body.append32(.max)
            body.append32(.max)
            body.option(4, text: application)
            body.endOfOptions()
        }
    }

    package mutating func interface(
        name: String, description: String, filter: String, link: LinkType, snapLength: Int
    ) {
        block(1) { body in
            body.append16(link.rawValue)
            body.append16(0)
            body.append32(UInt32(snapLength))
            body.option(2, text: name)
            body.option(3, text: description)
            // Nanoseconds: ten to the minus ninth.
            body.option(9, [9])
            // Code 0: a filter in words, as libpcap's.
            body.option(11, [0] + Array(filter.utf8))
            body.endOfOptions()
        }
    }

    /// - Parameters:
    ///   - interface: by order of the interfaces' blocks.
    ///   - dropped: packets lost since the last one.
    package mutating func packet(
        interface: Int, nanoseconds: UInt64, bytes frame: [UInt8], length: Int, comment: String, direction: Direction,
        dropped: UInt64
    ) {
        block(6) { body in
            body.append32(UInt32(interface))
            body.append32(UInt32(truncatingIfNeeded: nanoseconds >> 32))
            body.append32(UInt32(truncatingIfNeeded: nanoseconds))
            body.append32(UInt32(frame.count))
            body.append32(UInt32(length))
            body.append(padded: frame)
            if !comment.isEmpty { body.option(1, text: comment) }
            body.option(2, littleEndian(UInt64(direction.rawValue), bytes: 4))
            if dropped > 0 { body.option(4, littleEndian(dropped, bytes: 8)) }
            body.endOfOptions()
        }
    }

    package mutating func statistics(interface: Int, nanoseconds: UInt64, received: UInt64, dropped: UInt64) {
        block(5) { body in
            body.append32(UInt32(interface))
            body.append32(UInt32(truncatingIfNeeded: nanoseconds >> 32))
            body.append32(UInt32(truncatingIfNeeded: nanoseconds))
            body.option(4, littleEndian(received, bytes: 8))
            body.option(5, littleEndian(dropped, bytes: 8))
            body.endOfOptions()
        }
    }

    private mutating func block(_ type: UInt32, _ fill: (inout Body) -> Void) {
        var body = Body()
        fill(&body)
        let length = littleEndian(UInt64(body.bytes.count + 12), bytes: 4)
        bytes += littleEndian(UInt64(type), bytes: 4) + length + body.bytes + length
    }

    /// What lies between a block's lengths.
    private struct Body {
        var bytes: [UInt8] = []

        mutating func append16(_ value: UInt16) { bytes += littleEndian(UInt64(value), bytes: 2) }
        mutating func append32(_ value: UInt32) { bytes += littleEndian(UInt64(value), bytes: 4) }

        /// Followed by zeros up to a multiple of four bytes.
        mutating func append(padded value: [UInt8]) {
            bytes += value
            bytes += [UInt8](repeating: 0, count: (4 - value.count % 4) % 4)
        }

        mutating func option(_ code: UInt16, _ value: [UInt8]) {
            append16(code)
            append16(UInt16(value.count))
            append(padded: value)
        }

        mutating func option(_ code: UInt16, text: String) { option(code, Array(text.utf8.prefix(1_000))) }
        mutating func endOfOptions() { append32(0) }
    }
}

private func littleEndian(_ value: UInt64, bytes count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}
