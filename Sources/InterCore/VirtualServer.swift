public import Wire

/// An address and port of the director's own: clients dial it, the director shakes hands, and somebody else serves. Or, in
/// an agent, one that belongs to somebody else: directors hand connections with it over, and a local server gets them.
public struct VirtualServer: Sendable, Equatable, BitwiseCopyable {
    public var endpoint: Endpoint
    /// What its SYN/ACKs promise, and what those before the last change promised: cookies that were made with that come
    /// back for two minutes.
    public var offer: HandshakeOffer
    public var formerOffer: HandshakeOffer
    /// Its origins are in a row in the table.
    public var firstOrigin: UInt8
    public var originCount: UInt8
    /// Of an agent: nobody is answered here, and packets of connections that were not replayed pass.
    public var isReplayed = false

    public init(_ endpoint: Endpoint, offer: HandshakeOffer, origins: Range<Int> = 0..<0) {
        self.endpoint = endpoint
        self.offer = offer
        formerOffer = offer
        firstOrigin = UInt8(truncatingIfNeeded: origins.lowerBound)
        originCount = UInt8(truncatingIfNeeded: origins.count)
    }

    public init(replayed endpoint: Endpoint, by origin: Int) {
        self.init(endpoint, offer: HandshakeOffer(), origins: origin..<origin + 1)
        isReplayed = true
    }

    @inlinable
    public var origins: Range<Int> { Int(firstOrigin)..<Int(firstOrigin) &+ Int(originCount) }
}

/// A server that gets a virtual server's connections when no proxy does.
public struct Origin: Sendable, Equatable, BitwiseCopyable {
    /// Its own; no other virtual server has it.
    public var endpoint: Endpoint
    /// A zero address: not found yet.
    public var hop: NextHop
    /// It may get new connections; those that it has stay with it.
    public var isUp: Bool

    public init(_ endpoint: Endpoint, hop: NextHop, isUp: Bool = true) {
        self.endpoint = endpoint
        self.hop = hop
        self.isUp = isUp
    }
}

/// What becomes of the endpoints of an origin's connections on their way.
public struct OriginRewrites: Sendable, BitwiseCopyable {
    /// The origin's for the virtual server's, and back.
    public let toOrigin: EndpointRewrite
    public let toClient: EndpointRewrite
    /// The next hop's Ethernet address, six bytes in the order of the wire in the lower bits.
    public let destination: UInt64

    /// In the origins' order. One that no server has is its own.
    static func all(_ servers: [VirtualServer], _ origins: [Origin]) -> [OriginRewrites] {
        origins.indices.map { index in
            let origin = origins[index].endpoint
            let dialled = servers.first { $0.origins.contains(index) }?.endpoint ?? origin
            let isOfOneFamily = dialled.address.isV4 == origin.address.isV4
            let server = isOfOneFamily ? dialled : origin
            return OriginRewrites(
                toOrigin: EndpointRewrite(from: server, to: origin),
                toClient: EndpointRewrite(from: origin, to: server),
                destination: (origins[index].hop.mac.value << 16).bigEndian)
        }
    }
}

extension ProxyIndex {
    /// Where an origin is among the next hops: proxies count from the beginning, origins from the end.
    @inlinable @inline(__always)
    public static func origin(_ index: Int) -> ProxyIndex { ProxyIndex(UInt8(truncatingIfNeeded: 254 &- index)) }
    /// Of a place that is an origin's.
    @inlinable @inline(__always)
    public var originIndex: Int { 254 &- Int(value) }
}

/// The virtual servers of one generation, with their origins, in memory that workers read and nobody writes; like
/// `RuleTable`, from `WorkerCommand.useVirtualServers` to `WorkerEvent.virtualServersInForce`.
///
/// A place in the table belongs to the same origin as long as any connection may have it.
public struct VirtualServerTable: SharedTable, @unchecked Sendable, Equatable, BitwiseCopyable {
    /// One pointer, so that a command carries it.
    @usableFromInline let contents: UnsafeMutablePointer<Contents>

    @usableFromInline
    struct Contents: BitwiseCopyable {
        @usableFromInline let servers: UnsafeMutablePointer<VirtualServer>
        @usableFromInline let origins: UnsafeMutablePointer<Origin>
        @usableFromInline let rewrites: UnsafeMutablePointer<OriginRewrites>
        @usableFromInline let serverCount: Int
        @usableFromInline let originCount: Int
        @usableFromInline let generation: UInt32
        @usableFromInline let serverPlaces: EndpointPlaces
        @usableFromInline let originPlaces: EndpointPlaces
        @usableFromInline let addressPlaces: EndpointPlaces
        @usableFromInline let choice: ClassifierChoice

        init(_ servers: [VirtualServer], _ origins: [Origin], generation: UInt32, areClassifiers: Bool) {
            self.servers = copied(servers[...])
            self.origins = copied(origins[...])
            rewrites = copied(OriginRewrites.all(servers, origins)[...])
            serverCount = servers.count
            originCount = origins.count
            self.generation = generation
            serverPlaces = EndpointPlaces(servers.map(\.endpoint))
            originPlaces = EndpointPlaces(origins.map(\.endpoint))
            addressPlaces = EndpointPlaces(
                servers.filter { !$0.isReplayed }.map { Endpoint($0.endpoint.address, port: 0) })
            choice = areClassifiers ? ClassifierChoice(among: origins) : ClassifierChoice()
        }
    }

    /// - Parameter areClassifiers: the origins are a forwarder's classifiers, at the far ends of tunnels.
    public init(servers: [VirtualServer], origins: [Origin], generation: UInt32, areClassifiers: Bool = false) {
        contents = .allocate(capacity: 1)
        contents.initialize(
            to: Contents(servers, origins, generation: generation, areClassifiers: areClassifiers))
    }

    @inlinable public var servers: UnsafePointer<VirtualServer> { UnsafePointer(contents.pointee.servers) }
    @inlinable public var origins: UnsafePointer<Origin> { UnsafePointer(contents.pointee.origins) }
    /// Of a forwarder.
    @inlinable public var choice: ClassifierChoice { contents.pointee.choice }
    /// By origin.
    @inlinable public var rewrites: UnsafePointer<OriginRewrites> { UnsafePointer(contents.pointee.rewrites) }
    @inlinable public var serverCount: Int { contents.pointee.serverCount }
    @inlinable public var originCount: Int { contents.pointee.originCount }
    @inlinable public var generation: UInt32 { contents.pointee.generation }
    @inlinable public var isEmpty: Bool { serverCount == 0 }

    /// The virtual server that is dialled there. O(1).
    @inlinable
    public func server(_ address: IPAddress, port: UInt16) -> Int? { contents.pointee.serverPlaces.find(address, port) }

    /// The virtual server that answers SYNs there. O(1).
    @inlinable
    public func answering(_ address: IPAddress, port: UInt16) -> Int? {
        guard let server = server(address, port: port), !servers[server].isReplayed else { return nil }
        return server
    }

    /// The origin that is there. O(1).
    @inlinable
    public func origin(_ address: IPAddress, port: UInt16) -> Int? { contents.pointee.originPlaces.find(address, port) }

    /// True for an address of the director's own.
    public func has(_ address: IPAddress) -> Bool { contents.pointee.addressPlaces.find(address, 0) != nil }

    /// The virtual server that an origin is for.
    public func server(ofOrigin origin: Int) -> Int? {
        var index = 0
        while index < serverCount {
            if servers[index].origins.contains(origin) { return index }
            index &+= 1
        }
        return nil
    }

    /// Once, when no worker has it any more.
    public func free() {
        contents.pointee.servers.deallocate()
        contents.pointee.origins.deallocate()
        contents.pointee.rewrites.deallocate()
        contents.pointee.serverPlaces.free()
        contents.pointee.originPlaces.free()
        contents.pointee.addressPlaces.free()
        contents.pointee.choice.free()
        contents.deallocate()
    }
}

/// From endpoints to their places in an array: open addressing, at most half full. The operator chose what is in it, so
/// nobody can make a search long.
@usableFromInline
struct EndpointPlaces: @unchecked Sendable, Equatable, BitwiseCopyable {
    @usableFromInline
    struct Slot: BitwiseCopyable {
        @usableFromInline var endpoint = Endpoint(.unspecified, port: 0)
        /// -1: free.
        @usableFromInline var place: Int32 = -1
    }

    @usableFromInline let slots: UnsafeMutablePointer<Slot>
    @usableFromInline let mask: Int

    /// Of equal ones the first counts.
    init(_ endpoints: [Endpoint]) {
        var size = 2
        while size < 2 * endpoints.count { size *= 2 }
        slots = .allocate(capacity: size)
        slots.initialize(repeating: Slot(), count: size)
        mask = size - 1
        for (place, endpoint) in endpoints.enumerated() where find(endpoint.address, endpoint.port) == nil {
            var index = Self.hash(endpoint.address, endpoint.port) & mask
            while slots[index].place >= 0 { index = (index + 1) & mask }
            slots[index] = Slot(endpoint: endpoint, place: Int32(place))
        }
    }

    @inlinable
    func find(_ address: IPAddress, _ port: UInt16) -> Int? {
        var index = Self.hash(address, port) & mask
        while slots[index].place >= 0 {
            if slots[index].endpoint.port == port, slots[index].endpoint.address == address {
                return Int(slots[index].place)
            }
            index = (index &+ 1) & mask
        }
        return nil
    }

    func free() { slots.deallocate() }

    @inlinable @inline(__always)
    static func hash(_ address: IPAddress, _ port: UInt16) -> Int {
        let word = foldedProduct(
            address.high ^ 0x9E37_79B9_7F4A_7C15, address.low ^ UInt64(port) &<< 48 ^ 0x9FB2_1C65_1E98_DF25)
        return Int(truncatingIfNeeded: word & 0x7FFF_FFFF)
    }
}
