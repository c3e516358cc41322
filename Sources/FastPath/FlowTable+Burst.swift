import CDPDKShim
import InterCore
import Wire

/// What the stages of a lookup hand on to each other: parallel arrays, one element a packet.
struct LookupBurst {
    static var size: Int { 32 }
    let keys: UnsafeMutablePointer<PackedFlowKey> = .allocate(capacity: LookupBurst.size)
    let hashes: UnsafeMutablePointer<UInt64> = .allocate(capacity: LookupBurst.size)
    let flows: UnsafeMutablePointer<Flow?> = .allocate(capacity: LookupBurst.size)
    /// `FlowTable.changes` when `flows` was filled.
    fileprivate var changes: UInt64 = 0
    fileprivate let probes: UnsafeMutablePointer<UInt32> = .allocate(capacity: LookupBurst.size)
    fileprivate let away: UnsafeMutablePointer<UInt8> = .allocate(capacity: LookupBurst.size)
}

/// The lookup of a burst in four stages, each of which asks the memory for what the next one reads, so that a burst waits
/// about as long as one packet would.
extension FlowTable {
    /// Stage 1, for one packet as soon as its key is known: hash, and a call for its first bucket.
    @inline(__always)
    func begin(_ index: Int, _ key: UnsafePointer<PackedFlowKey>) {
        let hash = flowHash(of: key.pointee, seed: hashSeed)
        burst.hashes[index] = hash
        if key.pointee.isV6 { v6.finder.prefetch(hash) } else { v4.finder.prefetch(hash) }
    }

    /// The same for a packet that has no connection.
    @inline(__always)
    func skip(_ index: Int) {
        burst.keys[index] = PackedFlowKey(addresses: 0, ports: 0)
        burst.hashes[index] = 0
    }

    /// Closes a gap between stage 1 and stage 2.
    @inline(__always)
    func move(_ source: Int, to target: Int) {
        guard source != target else { return }
        burst.keys[target] = burst.keys[source]
        burst.hashes[target] = burst.hashes[source]
    }

    /// Stages 2 to 4. What they found, `found` tells.
    @inline(__always)
    mutating func finish(_ count: Int, _ keys: UnsafePointer<PackedFlowKey>) {
        probeAway(probe(count, keys), keys)
        resolve(count, keys)
        burst.changes = changes
    }

    /// The flow of a packet of the burst, or nil: also when flows have come or gone since, by what the packets before it
    /// did.
    @inline(__always)
    func found(_ index: Int) -> Flow? {
        burst.changes == changes ? burst.flows[index] : find(burst.keys + index, hash: burst.hashes[index])
    }

    /// The buckets have come: asks for the entries, or for the second buckets. Returns how many need those.
    @inline(__always)
    private func probe(_ count: Int, _ keys: UnsafePointer<PackedFlowKey>) -> Int {
        let (v4, v6, burst) = (v4.finder, v6.finder, burst)
        var awayCount = 0
        var index = 0
        while index < count {
            let hash = burst.hashes[index]
            let probed = keys[index].isV6 ? v6.probe(hash) : v4.probe(hash)
            burst.probes[index] = probed
            burst.away[awayCount] = UInt8(truncatingIfNeeded: index)
            awayCount &+= probed == FlowBuckets.away ? 1 : 0
            index &+= 1
        }
        return awayCount
    }

    @inline(__always)
    private func probeAway(_ awayCount: Int, _ keys: UnsafePointer<PackedFlowKey>) {
        let (v4, v6, burst) = (v4.finder, v6.finder, burst)
        var next = 0
        while next < awayCount {
            let index = Int(burst.away[next])
            let hash = burst.hashes[index]
            burst.probes[index] = keys[index].isV6 ? v6.probeAway(hash) : v4.probeAway(hash)
            next &+= 1
        }
    }

    /// The entries have come: compares keys.
    @inline(__always)
    private func resolve(_ count: Int, _ keys: UnsafePointer<PackedFlowKey>) {
        let (v4, v6, burst) = (v4.finder, v6.finder, burst)
        var index = 0
        while index < count {
            let key = keys + index
            let hash = burst.hashes[index]
            let probed = burst.probes[index]
            burst.flows[index] =
                key.pointee.isV6
                ? v6.resolve(key, hash: hash, probed: probed) : v4.resolve(key, hash: hash, probed: probed)
            index &+= 1
        }
    }

    /// All stages for keys that are known: what a worker does for a burst of at most 32 packets, by itself. Gives
    /// each key's flow, or nil, and its hash.
    package mutating func find(
        _ keys: UnsafePointer<PackedFlowKey>, count: Int
    ) -> (flows: UnsafePointer<Flow?>, hashes: UnsafePointer<UInt64>) {
        var index = 0
        while index < count {
            begin(index, keys + index)
            index &+= 1
        }
        finish(count, keys)
        return (UnsafePointer(burst.flows), UnsafePointer(burst.hashes))
    }
}
