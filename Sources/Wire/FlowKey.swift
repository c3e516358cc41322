/// What names a TCP connection, or a flow of UDP datagrams, on the wire: both endpoints and the VLAN, seen from the client's side, so that
/// packets of both directions have the same key.
public struct FlowKey: Hashable, Sendable, BitwiseCopyable {
    public var client: IPAddress
    /// The server that the client dialled: the origin.
    public var server: IPAddress
    public var clientPort: UInt16
    public var serverPort: UInt16
    public var vlan: VLAN

    @inlinable @inline(__always)
    public init(client: IPAddress, clientPort: UInt16, server: IPAddress, serverPort: UInt16, vlan: VLAN = .untagged) {
        self.client = client
        self.server = server
        self.clientPort = clientPort
        self.serverPort = serverPort
        self.vlan = vlan
    }
}

extension FlowKey: CustomStringConvertible {
    /// `10.0.0.1:51324 > 10.0.0.80:80`, `[2001:db8::1]:51324 > [2001:db8::80]:443 vlan 7`.
    public var description: String {
        func endpoint(_ address: IPAddress, _ port: UInt16) -> String {
            address.isV4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        }
        let tag = vlan.isTagged ? " vlan \(vlan)" : ""
        return "\(endpoint(client, clientPort)) > \(endpoint(server, serverPort))\(tag)"
    }
}
