public import Wire

extension DirectorConfiguration {
    /// The way to a proxy beyond layer 2.
    public struct EncapsulationSettings: Sendable, Equatable {
        public var kind: Encapsulation.Kind
        /// Where the outer packets go to, and come from. Of one family.
        public var address: IPAddress
        public var source: IPAddress
        /// VXLAN's network identifier.
        public var network: UInt32 = 0
        /// Bytes of IP that the way takes, of the outer packet.
        public var mtu: UInt16 = 1_500
        /// Of a forwarder's proxies: packets carry their flow's identifier.
        public var namesFlows = false

        public init(_ kind: Encapsulation.Kind, from source: IPAddress, to address: IPAddress) {
            self.kind = kind
            self.source = source
            self.address = address
        }

        package func encapsulation(innerMAC: MACAddress) -> Encapsulation {
            var encapsulation = Encapsulation(kind, from: source, to: address, network: network, innerMAC: innerMAC)
            encapsulation.namesFlows = namesFlows
            return encapsulation
        }

        /// What a way of so many bytes leaves for the inner packet.
        package func innerMTU(path: UInt16) -> UInt16 {
            path - min(path, UInt16(encapsulation(innerMAC: .zero).overhead))
        }

        /// The narrowest way that a router is believed: what every IPv6 link takes (RFC 8200 section 5), and what every
        /// IPv4 host does (RFC 791 section 3.1).
        package var narrowestPath: UInt16 { address.isV4 ? 576 : 1_280 }
    }
}

extension DirectorConfiguration.EncapsulationSettings {
    /// A reload can change where packets go, but not whether they are encapsulated: flows note that.
    static func described(_ settings: Self?) -> [DescribedSetting] {
        let isVXLAN = settings?.kind == .vxlan
        return [
            DescribedSetting("encapsulation.kind", settings.map { "\($0.kind)" } ?? "", needsRestart: true),
            DescribedSetting("encapsulation.address", settings.map { "\($0.address)" } ?? ""),
            DescribedSetting("encapsulation.source", settings.map { "\($0.source)" } ?? ""),
            DescribedSetting("encapsulation.vni", isVXLAN ? settings.map { "\($0.network)" } ?? "" : ""),
            DescribedSetting("encapsulation.mtu", settings.map { "\($0.mtu)" } ?? ""),
        ]
    }
}
