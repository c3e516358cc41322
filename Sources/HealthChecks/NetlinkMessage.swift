internal import Wire

/// A question to the kernel about one route or one neighbour, or its answer (rtnetlink(7); linux/rtnetlink.h and
/// linux/neighbour.h). Numbers are in the machine's byte order, addresses in the wire's.
///
///     nlmsghdr  length, type, flags, sequence, port          16 bytes
///     rtmsg     family, prefix length, …, flags              12 bytes; ndmsg, as long, has the link at its byte 4
///     rtattr    length, type, value, padding to four bytes   any number
struct NetlinkMessage {
    let bytes: [UInt8]

    enum Attribute: UInt16 {
        // RTA_DST and NDA_DST; NDA_LLADDR; RTA_OIF; RTA_GATEWAY.
        case destination = 1
        case linkAddress = 2
        case outgoingLink = 4
        case gateway = 5
    }

    private static var headerLength: Int { 28 }

    /// Which route packets to a host take: RTM_GETROUTE.
    static func route(to host: IPAddress) -> NetlinkMessage {
        NetlinkMessage(type: 26, body: [family(host), host.isV4 ? 32 : 128] + zeros(10), destination: host)
    }

    /// A neighbour's entry on a link, by its index: RTM_GETNEIGH.
    static func neighbor(_ neighbor: IPAddress, link: UInt32) -> NetlinkMessage {
        NetlinkMessage(
            type: 30, body: [family(neighbor)] + zeros(3) + bytes(of: link) + zeros(4), destination: neighbor)
    }

    private init(type: UInt16, body: [UInt8], destination: IPAddress) {
        let address = destination.wireBytes
        let value = Self.bytes(of: UInt16(4 + address.count)) + Self.bytes(of: Attribute.destination.rawValue) + address
        let length = UInt32(16 + body.count + value.count)
        // NLM_F_REQUEST.
        let header = Self.bytes(of: length) + Self.bytes(of: type) + Self.bytes(of: UInt16(1)) + Self.zeros(8)
        bytes = header + body + value
    }

    /// What came as the answer: nil for an error, and for what is cut or about something else. Questions for a GET are
    /// answered by a NEW, whose number is two less.
    init?(answer: ArraySlice<UInt8>, to question: NetlinkMessage) {
        bytes = Array(answer)
        guard bytes.count >= Self.headerLength, Int(word(0)) <= bytes.count, half(4) &+ 2 == question.half(4) else {
            return nil
        }
    }

    func attribute(_ attribute: Attribute) -> NetlinkValue? {
        let end = Int(word(0))
        var offset = Self.headerLength
        while offset + 4 <= end {
            let length = Int(half(offset))
            guard length >= 4, offset + length <= end else { return nil }
            if half(offset + 2) & 0x3FFF == attribute.rawValue {
                return NetlinkValue(bytes: bytes[offset + 4..<offset + length])
            }
            offset += (length + 3) & ~3
        }
        return nil
    }

    private func half(_ offset: Int) -> UInt16 {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt16.self) }
    }

    private func word(_ offset: Int) -> UInt32 {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }

    private static func family(_ address: IPAddress) -> UInt8 { address.isV4 ? 2 : 10 }

    private static func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

    private static func bytes(of value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
}

/// An attribute's value, read as what it should be; nil when it has another length.
struct NetlinkValue {
    let bytes: ArraySlice<UInt8>

    var word: UInt32? {
        bytes.count == 4 ? bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } : nil
    }

    /// nil for an interface without addresses, such as the loopback, as well.
    var mac: MACAddress? {
        guard bytes.count == 6 else { return nil }
        let mac = MACAddress(bytes.reduce(0) { $0 << 8 | UInt64($1) })
        return mac == .zero ? nil : mac
    }

    var address: IPAddress? {
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch bytes.count {
        case 4: return IPAddress(v4: UInt32(number(bytes)))
        case 16: return IPAddress(high: number(bytes.prefix(8)), low: number(bytes.suffix(8)))
        default: return nil
        }
    }
}

extension IPAddress {
    fileprivate var wireBytes: [UInt8] {
        let high = withUnsafeBytes(of: high.bigEndian) { Array($0) }
        let low = withUnsafeBytes(of: low.bigEndian) { Array($0) }
        return isV4 ? Array(low.suffix(4)) : high + low
    }
}
