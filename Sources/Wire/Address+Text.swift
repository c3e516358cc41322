#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

extension IPAddress: CustomStringConvertible {
    /// Dotted quad for IPv4, RFC 5952 text for IPv6.
    public var description: String {
        if isV4 { return "\(v4 >> 24 & 255).\(v4 >> 16 & 255).\(v4 >> 8 & 255).\(v4 & 255)" }
        var bytes = (high.bigEndian, low.bigEndian)
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        inet_ntop(AF_INET6, &bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Reads a dotted quad or IPv6 text; nil for anything else (host names, zone identifiers, ports).
    public init?(_ text: some StringProtocol) {
        let string = String(text)
        var v4: UInt32 = 0
        if inet_pton(AF_INET, string, &v4) == 1 {
            self.init(v4: UInt32(bigEndian: v4))
            return
        }
        var v6: (UInt64, UInt64) = (0, 0)
        guard inet_pton(AF_INET6, string, &v6) == 1 else { return nil }
        self.init(high: UInt64(bigEndian: v6.0), low: UInt64(bigEndian: v6.1))
    }
}

extension AddressPrefix: CustomStringConvertible {
    /// `10.0.0.0/8`, `2001:db8::/32`; `any` for the empty prefix.
    public var description: String {
        if length == 0 { return "any" }
        return address.isV4 && length >= 96 ? "\(address)/\(length - 96)" : "\(address)/\(length)"
    }

    /// Reads `address/length` in the family's own length, or an address alone (one host), or `any`.
    public init?(_ text: some StringProtocol) {
        if text == "any" {
            self = .any
            return
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { return nil }
        let bits: UInt8 = address.isV4 ? 32 : 128
        if parts.count == 1 {
            self.init(address, length: 128)
            return
        }
        guard let length = UInt8(parts[1]), length <= bits else { return nil }
        self.init(address, length: 128 - bits + length)
    }
}

extension MACAddress: CustomStringConvertible {
    public var description: String {
        (0..<6).reversed().map { shift in
            let byte = UInt8(truncatingIfNeeded: value >> (UInt64(shift) * 8))
            return (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined(separator: ":")
    }

    /// Reads six hexadecimal pairs with colons.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6 else { return nil }
        var value: UInt64 = 0
        for part in parts {
            guard part.count == 2, let byte = UInt8(part, radix: 16) else { return nil }
            value = value << 8 | UInt64(byte)
        }
        self.init(value)
    }
}

extension VLAN: CustomStringConvertible {
    public var description: String { isTagged ? String(value) : "untagged" }
}
