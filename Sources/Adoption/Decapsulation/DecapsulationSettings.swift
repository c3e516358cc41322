public import Wire

/// How clients' packets come to a proxy beyond layer 2.
public struct DecapsulationSettings: Equatable, Sendable {
    public var kind: Encapsulation.Kind
    /// This host's own, to which directors send.
    public var addresses: [IPAddress]
    /// VXLAN's network identifier.
    public var network: UInt32 = 0
    /// The device by which the inner packets come out.
    public var device = "baton-tun"

    public init(_ kind: Encapsulation.Kind, at addresses: [IPAddress]) {
        self.kind = kind
        self.addresses = addresses
    }
}
