package import Wire

/// The header of PROXY protocol version 2, by which a server behind this one learns the client's address.
package enum ProxyProtocol {
    private static let signature: [UInt8] = [
        0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A,
    ]

    /// Version 2, command PROXY, TCP over IPv4 or IPv6.
    package static func header(_ key: FlowKey) -> [UInt8] {
        let isV4 = key.client.isV4 && key.server.isV4
        var bytes = signature + [0x21, isV4 ? 0x11 : 0x21, 0, isV4 ? 12 : 36]
        for address in [key.client, key.server] {
            if !isV4 { append(address.high, 8, to: &bytes) }
            append(isV4 ? UInt64(address.v4) : address.low, isV4 ? 4 : 8, to: &bytes)
        }
        append(UInt64(key.clientPort), 2, to: &bytes)
        append(UInt64(key.serverPort), 2, to: &bytes)
        return bytes
    }

    private static func append(_ value: UInt64, _ count: Int, to bytes: inout [UInt8]) {
        for shift in (0..<count).reversed() { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift * 8))) }
    }
}
