import Wire

/// A TCP segment in its frame, written and read by code of its own, so that a mistake in `Wire` does not cancel itself
/// out.
struct HandshakeSegment: Equatable {
    var isV6 = false
    /// All 16 bits of the tag.
    var tag: UInt16?
    var sourceMAC: [UInt8] = [2, 0, 0, 0, 0, 1]
    var destinationMAC: [UInt8] = [2, 0, 0, 0, 0, 2]
    var source: [UInt8]
    var destination: [UInt8]
    /// Between IPv6's header and TCP's, or IPv4's options; at most 40 bytes, a multiple of 8.
    var networkOptions: [UInt8] = []
    var sourcePort: UInt16 = 40_000
    var destinationPort: UInt16 = 80
    var sequence: UInt32 = 0
    var acknowledgement: UInt32 = 0
    var flags: UInt8
    var window: UInt16 = 64_240
    var options: [UInt8] = []
    var payload: [UInt8] = []
    var hops: UInt8 = 57
    /// What follows the packet: Ethernet's padding.
    var padding: [UInt8] = []

    init(isV6: Bool, flags: UInt8) {
        self.isV6 = isV6
        self.flags = flags
        source = isV6 ? [0x20, 1, 0xD, 0xB8] + [UInt8](repeating: 7, count: 12) : [198, 51, 100, 7]
        destination = isV6 ? [0x20, 1, 0xD, 0xB8] + [UInt8](repeating: 8, count: 12) : [192, 0, 2, 80]
    }

    private var network: Int { tag == nil ? 14 : 18 }

    var bytes: [UInt8] {
        var segment = big(sourcePort) + big(destinationPort) + big(sequence) + big(acknowledgement)
        segment += [UInt8(20 + options.count) << 2, flags] + big(window) + [0, 0, 0, 0] + options + payload
        let pseudo = source + destination + [0, 6] + big(UInt16(segment.count))
        segment.replaceSubrange(16..<18, with: big(~onesComplementSum(pseudo + segment)))
        let ethernet = destinationMAC + sourceMAC + (tag.map { [0x81, 0x00] + big($0) } ?? [])
        return ethernet + (isV6 ? ipv6(segment.count) : ipv4(segment.count)) + segment + padding
    }

    private func ipv4(_ length: Int) -> [UInt8] {
        let own = 20 + networkOptions.count
        var header =
            [UInt8(0x40 | own / 4), 0] + big(UInt16(own + length)) + [0x12, 0x34, 0x40, 0, hops, 6, 0, 0]
        header += source + destination + networkOptions
        header.replaceSubrange(10..<12, with: big(~onesComplementSum(header)))
        return [8, 0] + header
    }

    private func ipv6(_ length: Int) -> [UInt8] {
        var headers = networkOptions
        if !headers.isEmpty { headers.replaceSubrange(0..<2, with: [6, UInt8(headers.count / 8 - 1)]) }
        return [0x86, 0xDD, 0x60, 1, 2, 3] + big(UInt16(headers.count + length))
            + [headers.isEmpty ? 6 : 60, hops] + source + destination + headers
    }

    /// Reads a frame without IP options. Nil unless it is whole and all its checksums are right; and, when it is the
    /// director's, the fields that are not here are as they ought to be.
    init?(_ frame: [UInt8], isDirectors: Bool = true) {
        let isTagged = frame[12] == 0x81
        let network = isTagged ? 18 : 14
        isV6 = frame[network - 2] == 0x86
        tag = isTagged ? UInt16(frame[14]) << 8 | UInt16(frame[15]) : nil
        destinationMAC = Array(frame[..<6])
        sourceMAC = Array(frame[6..<12])
        let transport = network + (isV6 ? 40 : 20)
        let addresses = isV6 ? network + 8..<network + 40 : network + 12..<network + 20
        source = Array(frame[addresses].prefix(addresses.count / 2))
        destination = Array(frame[addresses].suffix(addresses.count / 2))
        hops = frame[isV6 ? network + 7 : network + 8]
        let length = Self.number(frame, isV6 ? network + 4 : network + 2, 2) - (isV6 ? 0 : 20)
        let end = transport + Int(length)
        let own = Int(frame[transport + 12] >> 4) * 4
        guard end <= frame.count, transport + own <= end else { return nil }
        let first: [UInt8] =
            isV6 ? [0x60, 0, 0, 0] : [0x45, 0] + big(UInt16(20 + length)) + [0, 0, 0x40, 0, hops, 6]
        guard frame[network...].starts(with: first) || !isDirectors, frame[network + (isV6 ? 6 : 9)] == 6 else {
            return nil
        }
        guard isV6 || onesComplementSum(Array(frame[network..<transport])) == 0xFFFF else { return nil }
        let segment = Array(frame[transport..<end])
        let pseudo = frame[addresses] + [0, 6] + big(UInt16(segment.count))
        guard onesComplementSum(pseudo + segment) == 0xFFFF, segment[18...19].allSatisfy({ $0 == 0 }) else {
            return nil
        }
        sourcePort = UInt16(Self.number(segment, 0, 2))
        destinationPort = UInt16(Self.number(segment, 2, 2))
        sequence = UInt32(Self.number(segment, 4, 4))
        acknowledgement = UInt32(Self.number(segment, 8, 4))
        flags = segment[13]
        window = UInt16(Self.number(segment, 14, 2))
        options = Array(segment[20..<own])
        payload = Array(segment[own...])
        padding = Array(frame[end...])
    }

    static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        bytes[offset..<offset + count].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
