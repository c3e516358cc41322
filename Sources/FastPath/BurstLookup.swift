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
    let slots: UnsafeMutablePointer<Slot> = .allocate(capacity: BurstLookup.size)
    let keys: UnsafeMutablePointer<PackedFlowKey> = .allocate(capacity: BurstLookup.size)
    /// Results, for those who want all of them before they act.
    private let flows: UnsafeMutablePointer<Flow?> = .allocate(capacity: BurstLookup.size)
    private let hashes: UnsafeMutablePointer<UInt64> = .allocate(capacity: BurstLookup.size)
    private let away: UnsafeMutablePointer<UInt8> = .allocate(capacity: BurstLookup.size)

    /// What all stages need of a packet, together, so that their loops have one pointer to move.
    struct Slot: BitwiseCopyable {
        var hash: UInt64
        var segment: PlainSegment
        /// The place that the buckets lead to, from stage 2 on.
        var probed: UInt32
    }

    init(v4: FlowFinder<IPv4Layout>, v6: FlowFinder<IPv6Layout>, hashSeed: UInt64) {
        self.v4 = v4
        self.v6 = v6
        self.hashSeed = hashSeed
    }

    /// Stage 1, for one packet as soon as its key is known: hash, and a call for its first bucket.
    @inline(__always)
    func begin(_ index: Int, _ key: PackedFlowKey, _ segment: PlainSegment) {
        let hash = flowHash(of: key, seed: hashSeed)
        slots[index].hash = hash
        slots[index].segment = segment
        if key.isV6 { v6.prefetch(hash) } else { v4.prefetch(hash) }
    }

    /// The same for a packet that has no connection.
    @inline(__always)
    func skip(_ index: Int) { slots[index] = Slot(hash: 0, segment: .none(isV6: false), probed: noFlow) }

    /// Closes a gap between stage 1 and stage 2.
    @inline(__always)
    func move(_ source: Int, to target: Int) {
        guard source != target else { return }
        slots[target] = slots[source]
        keys[target] = keys[source]
    }

    /// Stages 2 and 3: the buckets have come, and the entries are asked for; after them those that lead by way of a second
    /// bucket.
    @inline(__always)
    func probeAll(_ count: Int) {
        var awayCount = 0
        var index = 0
        while index < count {
            let note = {
                away[awayCount] = UInt8(truncatingIfNeeded: index)
                awayCount &+= 1
            }
            let slot = slots + index
            let hash = slot.pointee.hash
            slot.pointee.probed =
                slot.pointee.segment.isV6 ? v6.probe(hash, isAway: note) : v4.probe(hash, isAway: note)
            index &+= 1
        }
        var next = 0
        while next < awayCount {
            let slot = slots + Int(away[next])
            let hash = slot.pointee.hash
            slot.pointee.probed = slot.pointee.segment.isV6 ? v6.probeAway(hash) : v4.probeAway(hash)
            next &+= 1
        }
    }

    /// Stage 4, for one packet: the entry has come, and its key is compared.
    @inline(__always)
    func resolve(_ index: Int, _ keys: UnsafePointer<PackedFlowKey>) -> Flow? {
        let slot = slots[index]
        return slot.segment.isV6
            ? v6.resolve(keys + index, hash: slot.hash, probed: slot.probed)
            : v4.resolve(keys + index, hash: slot.hash, probed: slot.probed)
    }

    @inline(__always)
    func resolveAll(
        _ count: Int, _ keys: UnsafePointer<PackedFlowKey>
    ) -> (flows: UnsafePointer<Flow?>, hashes: UnsafePointer<UInt64>) {
        var index = 0
        while index < count {
            flows[index] = resolve(index, keys)
            hashes[index] = slots[index].hash
            index &+= 1
        }
        return (UnsafePointer(flows), UnsafePointer(hashes))
    }
}

extension FlowTable {
    /// Stages 2 and 3 of the burst in `lookup`.
    @inline(__always)
    mutating func probeAll(_ count: Int) {
        let lookup = lookup
        lookup.probeAll(count)
        changesAtLookup = changes
    }

    /// True when flows have come or gone, by what the burst's first packets did: for the others, what was probed may not
    /// be so any more.
    @inline(__always)
    var hasChangedSinceProbe: Bool { changesAtLookup != changes }

    /// Stage 4 when that is so: the flow of a packet of the burst, looked up anew.
    @inline(never)
    mutating func found(_ index: Int) -> Flow? { find(lookup.keys + index, hash: lookup.slots[index].hash) }

    /// All stages for keys that are known: what a worker does for a burst of at most 32 packets, by itself. Gives each
    /// key's flow, or nil, and its hash.
    package mutating func find(
        _ keys: UnsafePointer<PackedFlowKey>, count: Int
    ) -> (flows: UnsafePointer<Flow?>, hashes: UnsafePointer<UInt64>) {
        let lookup = lookup
        var index = 0
        while index < count {
            lookup.begin(index, keys[index], .none(isV6: keys[index].isV6))
            index &+= 1
        }
        lookup.probeAll(count)
        return lookup.resolveAll(count, keys)
    }
}
