public import Wire

/// Which part a program has of what stands before the proxies.
public enum DirectorRole: String, Sendable, Equatable, BitwiseCopyable, CaseIterable {
    /// All of it.
    case director
    /// Sends clients' packets to the proxies that have their connections, all others to a classifier.
    case forwarder
    /// What a director does, with packets that forwarders have sent.
    case classifier
}

/// What a proxy calls a connection that it has, and how often that had changed hands by then.
public struct FlowName: Hashable, Sendable, BitwiseCopyable {
    /// 24 bits, which encapsulated packets of the connection carry; 0: none.
    public var identifier: UInt32
    public var generation: UInt32

    @inlinable
    public init(identifier: UInt32, generation: UInt32) {
        self.identifier = identifier
        self.generation = generation
    }

    @inlinable public static var none: FlowName { .init(identifier: 0, generation: 0) }
}

/// How forwarders' packets come to a classifier.
public struct Arrivals: Sendable, Equatable {
    public var kind: Encapsulation.Kind
    /// VXLAN's network identifier.
    public var network: UInt32 = 0
    /// The classifier's own, on the clients' side.
    public var addresses: [IPAddress]
    /// Who may send.
    public var forwarders: [IPAddress]
    /// Whom answers to clients go to, on that side.
    public var gateway: MACAddress

    public init(
        _ kind: Encapsulation.Kind, at addresses: [IPAddress], from forwarders: [IPAddress], gateway: MACAddress
    ) {
        self.kind = kind
        self.addresses = addresses
        self.forwarders = forwarders
        self.gateway = gateway
    }
}

/// Which classifier gets a connection that no proxy is known to have: the same one at every forwarder that has the same
/// classifiers, whatever their order, so the hash has no seed of its own.
///
/// Rendezvous hashing (Thaler and Ravishankar 1998), reckoned beforehand for each of `bucketCount` parts of all
/// connections: without one of its classifiers a part goes to the next best, and all other parts stay where they are.
public struct ClassifierChoice: @unchecked Sendable, Equatable, BitwiseCopyable {
    @usableFromInline let choices: UnsafePointer<UInt8>?

    /// A power of two. With ten classifiers the largest share is some 10 % above the least.
    @inlinable public static var bucketCount: Int { 4_096 }
    /// "None is up" among places.
    @inlinable public static var none: UInt8 { 255 }

    /// Of a table that nobody chooses from.
    init() { choices = nil }

    /// At most 254 of them, of which those that are up and have a next hop count.
    init(among classifiers: [Origin]) {
        let choices = UnsafeMutablePointer<UInt8>.allocate(capacity: Self.bucketCount)
        let able = classifiers.indices.filter { classifiers[$0].isUp && classifiers[$0].hop.mac != .zero }
        let salts = able.map { index -> UInt64 in
            let address = classifiers[index].endpoint.address
            return foldedProduct(address.high ^ 0x9E37_79B9_7F4A_7C15, address.low ^ 0xD1B5_4A32_D192_ED03)
        }
        for bucket in 0..<Self.bucketCount {
            let scores = salts.map {
                foldedProduct($0 ^ UInt64(bucket) &* 0x9FB2_1C65_1E98_DF25, $0 &+ 0x8CB9_2BA7_2F3D_8DD7)
            }
            // Equal scores, which equal addresses have, are the first one's.
            let best = scores.max().flatMap { scores.firstIndex(of: $0) }
            choices[bucket] = best.map { UInt8(truncatingIfNeeded: able[$0]) } ?? Self.none
        }
        self.choices = UnsafePointer(choices)
    }

    /// The place of a connection's classifier; nil when none is up. The VLAN does not count: it is the wire's.
    @inlinable
    public func classifier(of key: PackedFlowKey) -> Int? {
        guard let choices else { return nil }
        var key = key
        key.ports &= ~(0xFFFF &<< 32)
        let hash = flowHash(of: key, seed: 0x2545_F491_4F6C_DD1D)
        let choice = choices[Int(truncatingIfNeeded: hash &>> 32) & (Self.bucketCount &- 1)]
        return choice == Self.none ? nil : Int(choice)
    }

    func free() { choices?.deallocate() }
}
