import InterCore
import Wire

/// Which proxy's server has chosen a connection identifier. Buckets of four; a full one forgets what it learnt first.
///
/// Nothing is removed but with its proxy: an identifier is random and does not come again, and one that is forgotten
/// costs a client that moves its connection, not more.
struct ConnectionIdentifiers: ~Copyable {
    private let places: UnsafeMutablePointer<ConnectionIdentifier>
    private let nextPlaces: UnsafeMutablePointer<UInt8>
    private let bucketMask: UInt64
    private let hashSeed: UInt64
    /// Bit n: some identifier has n bytes. A short header does not tell.
    private(set) var lengths: UInt32 = 0

    static var bucketSize: Int { 4 }

    init(capacity: Int, hashSeed: UInt64, memory: TableMemory) {
        var buckets = 16
        while buckets * Self.bucketSize < capacity { buckets *= 2 }
        bucketMask = UInt64(buckets - 1)
        self.hashSeed = hashSeed
        let count = buckets * Self.bucketSize
        places = memory.take(count * MemoryLayout<ConnectionIdentifier>.stride)
            .bindMemory(to: ConnectionIdentifier.self, capacity: count)
        nextPlaces = memory.take(buckets).bindMemory(to: UInt8.self, capacity: buckets)
    }

    /// The proxy that an identifier leads to; nil when nobody has chosen it.
    func proxy(of identifier: ConnectionIdentifier) -> ProxyIndex? {
        guard let place = place(of: identifier), place.pointee.proxy.value != ProxyIndex.none.value else { return nil }
        return place.pointee.proxy
    }

    /// The proxy's number is to be another's. Looks at every place.
    func forget(_ proxy: ProxyIndex) {
        for index in 0..<Int(bucketMask &+ 1) &* Self.bucketSize where places[index].proxy.value == proxy.value {
            places[index].proxy = .none
        }
    }

    /// False when it was known already.
    @discardableResult
    mutating func learn(_ identifier: ConnectionIdentifier) -> Bool {
        if let place = place(of: identifier) {
            guard place.pointee.proxy.value != identifier.proxy.value else { return false }
            place.pointee.proxy = identifier.proxy
            return true
        }
        let bucket = bucket(of: identifier)
        let next = Int(nextPlaces[bucket])
        places[bucket &* Self.bucketSize &+ next] = identifier
        nextPlaces[bucket] = UInt8(truncatingIfNeeded: (next &+ 1) & (Self.bucketSize &- 1))
        lengths |= 1 &<< UInt32(identifier.length)
        return true
    }

    private func bucket(of identifier: ConnectionIdentifier) -> Int {
        Int(truncatingIfNeeded: identifier.hash(seed: hashSeed) & bucketMask)
    }

    private func place(of identifier: ConnectionIdentifier) -> UnsafeMutablePointer<ConnectionIdentifier>? {
        var place = places + bucket(of: identifier) &* Self.bucketSize
        var index = 0
        while index < Self.bucketSize {
            // A place that was never used has no length.
            if place.pointee.names(identifier) { return place }
            place += 1
            index &+= 1
        }
        return nil
    }
}
