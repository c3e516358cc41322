/// An address with a UDP or TCP port.
public struct Endpoint: Hashable, Sendable, BitwiseCopyable {
    public var address: IPAddress
    public var port: UInt16

    @inlinable
    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

extension Endpoint: CustomStringConvertible {
    public var description: String { address.isV4 ? "\(address):\(port)" : "[\(address)]:\(port)" }

    /// Reads `10.0.0.1:80` or `[2001:db8::1]:80`.
    public init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let address = IPAddress(host) else { return nil }
        self.init(address, port: port)
    }
}
