import CDPDKShim
import InterCore
import Wire

/// The lookup of a burst in four stages, each of which asks the memory for what the next one reads, so that a burst waits
/// about as long as one packet would. What the stages hand on lies in parallel arrays, one element a packet.
///
/// A copyable value of pointers: a stage takes a copy of its own, which lies in registers while the loop runs.
struct BurstLookup: BitwiseCopyable {
    static var size: Int { 32 }

    let v4: FlowFinder<IPv4Layout>
    let v6: FlowFinder<IPv6Layout>
    let hashSeed: UInt64
    let keys: UnsafeMutablePointer<PackedFlowKey> = .allocate(capacity: BurstLookup.size)
    let hashes: UnsafeMutablePointer<UInt64> = .allocate(capacity: BurstLookup.size)
    let flows: UnsafeMutablePointer<Flow?> = .allocate(capacity: BurstLookup.size)
    private let probes: UnsafeMutablePointer<UInt32> = .allocate(capacity: BurstLookup.size)
    private let away: UnsafeMutablePointer<UInt8> = .allocate(capacity: BurstLookup.size)

    init(v4: FlowFinder<IPv4Layout>, v6: FlowFinder<IPv6Layout>, hashSeed: UInt64) {
        self.v4 = v4
        self.v6 = v6
        self.hashSeed = hashSeed
    }

    /// Stage 1, for one packet as soon as its key is known: hash, and a call for its first bucket.
    @inline(__always)
    func begin(_ index: Int, _ key: UnsafePointer<PackedFlowKey>) {
        let hash = flowHash(of: key.pointee, seed: hashSeed)
        hashes[index] = hash
        if key.pointee.isV6 { v6.prefetch(hash) } else { v4.prefetch(hash) }
    }

    /// The same for a key that is IPv6's.
    @inline(__always)
    func begin6(_ index: Int, _ key: UnsafePointer<PackedFlowKey>) {
        let hash = flowHash(of: key.pointee, seed: hashSeed)
        hashes[index] = hash
        v6.prefetch(hash)
    }

    /// The same for an IPv4 packet, its key made here.
    @inline(__always)
    func begin(_ index: Int, addresses: UInt64, ports: UInt64) {
        keys[index].addresses = addresses
        keys[index].ports = ports
        let hash = flowHash(addresses: addresses, ports: ports, seed: hashSeed)
        hashes[index] = hash
        v4.prefetch(hash)
    }

    /// The same for a packet that has no connection.
    @inline(__always)
    func skip(_ index: Int) {
        keys[index] = PackedFlowKey(addresses: 0, ports: 0)
        hashes[index] = 0
    }

    /// Closes a gap between stage 1 and stage 2.
    @inline(__always)
    func move(_ source: Int, to target: Int) {
        guard source != target else { return }
        keys[target] = keys[source]
        hashes[target] = hashes[source]
    }

    /// Stages 2 and 3: the buckets have come, and the entries are asked for; after them those that lead by way of a second
    /// bucket.
    @inline(__always)
    func probeAll(_ count: Int, _ keys: UnsafePointer<PackedFlowKey>) {
        var awayCount = 0
        var index = 0
        while index < count {
            let note = {
                away[awayCount] = UInt8(truncatingIfNeeded: index)
                awayCount &+= 1
            }
            let hash = hashes[index]
            probes[index] = keys[index].isV6 ? v6.probe(hash, isAway: note) : v4.probe(hash, isAway: note)
            index &+= 1
        }
        var next = 0
        while next < awayCount {
            let index = Int(away[next])
            let hash = hashes[index]
            probes[index] = keys[index].isV6 ? v6.probeAway(hash) : v4.probeAway(hash)
            next &+= 1
        }
    }

    /// Stage 4, for one packet: the entry has come, and its key is compared.
    @inline(__always)
    func resolve(_ index: Int, _ keys: UnsafePointer<PackedFlowKey>) -> Flow? {
        let key = keys + index
        return key.pointee.isV6
            ? v6.resolve(key, hash: hashes[index], probed: probes[index])
            : v4.resolve(key, hash: hashes[index], probed: probes[index])
    }
}

extension FlowTable {
    /// Stages 2 and 3 of the burst in `lookup`.
    @inline(__always)
    mutating func probeAll(_ count: Int) {
        let lookup = lookup
        lookup.probeAll(count, lookup.keys)
        changesAtLookup = changes
    }

    /// True when flows have come or gone, by what the burst's first packets did: for the others, what was probed may not
    /// be so any more.
    @inline(__always)
    var hasChangedSinceProbe: Bool { changesAtLookup != changes }

    /// Stage 4 when that is so: the flow of a packet of the burst, looked up anew.
    @inline(never)
    mutating func found(_ index: Int) -> Flow? { find(lookup.keys + index, hash: lookup.hashes[index]) }

    /// All stages for keys that are known: what a worker does for a burst of at most 32 packets, by itself. Gives each
    /// key's flow, or nil, and its hash.
    package mutating func find(
        _ keys: UnsafePointer<PackedFlowKey>, count: Int
    ) -> (flows: UnsafePointer<Flow?>, hashes: UnsafePointer<UInt64>) {
        let lookup = lookup
        var index = 0
        while index < count {
            lookup.begin(index, keys + index)
            index &+= 1
        }
        lookup.probeAll(count, keys)
        index = 0
        while index < count {
            lookup.flows[index] = lookup.resolve(index, keys)
            index &+= 1
        }
        return (UnsafePointer(lookup.flows), UnsafePointer(lookup.hashes))
    }
}
