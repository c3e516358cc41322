internal import InterCore
public import Wire

extension DirectorConfiguration {
    /// Who gets what a forwarder knows no proxy for.
    public struct Classifier: Sendable, Equatable {
        public var name: String
        /// The way there: `address` is the classifier's `tunnel-address`.
        public var encapsulation: EncapsulationSettings
        /// Where a TCP connection tells that it is up; nil where nothing is checked.
        public var health: Endpoint?
        /// nil: what the kernel knows of the way to `encapsulation.address`.
        public var mac: MACAddress?
        public var check = Check()

        public init(name: String, encapsulation: EncapsulationSettings) {
            self.name = name
            self.encapsulation = encapsulation
        }

        /// As a server is checked, and chosen from.
        package var origin: Origin {
            var origin = Origin(
                name: name, address: health ?? Endpoint(encapsulation.address, port: Encapsulation.Kind.gue.port ?? 0))
            origin.mac = mac
            return origin
        }
    }

    /// How forwarders' packets come to a classifier, at its `tunnelAddresses`.
    public struct ForwarderSettings: Sendable, Equatable {
        public var kind: Encapsulation.Kind
        /// VXLAN's network identifier.
        public var network: UInt32 = 0
        /// The forwarders' own tunnel addresses.
        public var addresses: [IPAddress]
        /// The router by which clients are answered.
        public var gateway: MACAddress
        /// Bytes of IP that the way from a forwarder takes, of the outer packet.
        public var mtu: UInt16 = 1_500

        public init(_ kind: Encapsulation.Kind, addresses: [IPAddress], gateway: MACAddress) {
            self.kind = kind
            self.addresses = addresses
            self.gateway = gateway
        }

        /// What clients may send in one packet, bytes of IP: with the flow's name it fits on the way from a forwarder over
        /// the wider of the two families.
        package var innerMTU: UInt16 {
            let isV6 = addresses.contains { !$0.isV4 }
            let end = isV6 ? IPAddress.unspecified : IPAddress(v4: 0)
            var encapsulation = Encapsulation(kind, from: end, to: end)
            encapsulation.namesFlows = true
            return mtu - min(mtu, UInt16(encapsulation.overhead))
        }
    }

    /// What is to be checked, in the order of their places.
    public var checkedServers: [CheckedServer] {
        if role == .forwarder {
            return classifiers.map { CheckedServer($0.origin.address, way: $0.encapsulation.address, $0.check) }
        }
        return virtualServers.flatMap { server in
            server.origins.map { CheckedServer($0.address, way: $0.address.address, server.check) }
        }
    }
}

/// A server whose TCP says whether it is up.
public struct CheckedServer: Sendable, Equatable {
    public var address: Endpoint
    /// Where packets go when it is; another address than the server's where that is a tunnel's end.
    public var way: IPAddress
    public var check: DirectorConfiguration.Check

    init(_ address: Endpoint, way: IPAddress, _ check: DirectorConfiguration.Check) {
        self.address = address
        self.way = way
        self.check = check
    }
}
