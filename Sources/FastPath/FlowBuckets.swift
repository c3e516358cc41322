import CDPDKShim

/// Where in the table a flow's entry is: buckets of one cache line, eight 16-bit tags compared at once, eight indices.
///
/// A flow lives in one of two buckets, and in its first as long as there is room. A bucket knows how many of its flows
/// had to go elsewhere, so that one line answers every lookup but theirs, misses included. When both are full, one of
/// their flows moves to its other bucket (partial-key cuckoo hashing: the tag alone leads from either bucket to the
/// other); the search for one that can is bounded, and at 95 % load it practically never fails.
struct FlowBuckets: BitwiseCopyable {
    private let buckets: UnsafeMutablePointer<Bucket>
    private let count: UInt32

    struct Bucket: BitwiseCopyable {
        /// 0: empty.
        var tags = SIMD8<UInt16>()
        /// Flows whose first bucket this is and which live in the other one.
        var away: UInt32 = 0
        /// Bit i: the i-th flow's first bucket is the other one.
        var guests: UInt8 = 0
        /// At offset 32.
        var flows = SIMD8<UInt32>()
    }

    /// Flows for each bucket that the table promises to find a place for. It would for 95 % of eight; but at 80 % only half
    /// as many flows are away, and each of those costs a line of memory more.
    static var flowsPerBucket: Double { 6.4 }

    static func byteCount(flows: Int) -> Int { bucketCount(flows) * MemoryLayout<Bucket>.stride }

    /// A few more than that, for in a small table chance is coarse.
    private static func bucketCount(_ flows: Int) -> Int { Int(Double(flows) / flowsPerBucket) + 16 }

    /// - Parameter memory: zeroed, of `byteCount(flows:)`, aligned to 64 bytes.
    init(flows: Int, in memory: UnsafeMutableRawPointer) {
        precondition(
            MemoryLayout<Bucket>.stride == 64 && MemoryLayout<Bucket>.offset(of: \.flows) == 32, "a bucket is one line")
        count = UInt32(FlowBuckets.bucketCount(flows))
        buckets = memory.bindMemory(to: Bucket.self, capacity: Int(count))
    }

    // The owner takes the upper 32 bits of a hash: a worker's own flows are alike there, but not in bits 32 to 47.

    @inline(__always)
    private func tag(_ hash: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: hash >> 32) | 1 }

    @inline(__always)
    private func first(_ hash: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: ((hash & 0xFFFF_FFFF) &* UInt64(count)) >> 32)
    }

    /// The other bucket of a flow: its own inverse.
    @inline(__always)
    private func other(_ bucket: UInt32, _ tag: UInt16) -> UInt32 {
        let sum = UInt32(truncatingIfNeeded: (UInt64(UInt32(tag) &* 0x9E37_79B1) &* UInt64(count)) >> 32)
        return sum >= bucket ? sum &- bucket : sum &+ count &- bucket
    }

    // MARK: find

    /// Asks the memory for what `firstMatch` will need.
    @inline(__always)
    func prefetch(_ hash: UInt64) { shim_prefetch(buckets + Int(first(hash))) }

    /// The flow that a lookup will most likely find, by its first bucket; `noFlow` when there is none in it. Then `isAway`
    /// is called when it may be in the other bucket, which the memory has been asked for.
    @inline(__always)
    func firstMatch(_ hash: UInt64, isAway: () -> Void) -> UInt32 {
        let tag = tag(hash)
        let first = first(hash)
        let bucket = buckets + Int(first)
        let hits = shim_equal_tags(bucket, tag)
        if hits != 0 { return flow(bucket, hits) }
        if bucket.pointee.away != 0 {
            shim_prefetch(buckets + Int(other(first, tag)))
            isAway()
        }
        return noFlow
    }

    /// The same for the other bucket, after `isAway` was called.
    @inline(__always)
    func secondMatch(_ hash: UInt64) -> UInt32 {
        let tag = tag(hash)
        let bucket = buckets + Int(other(first(hash), tag))
        let hits = shim_equal_tags(bucket, tag)
        return hits == 0 ? noFlow : flow(bucket, hits)
    }

    /// The flow of the first hit. Hits have two bits a slot, so the lowest one's number is twice the slot's.
    @inline(__always)
    private func flow(_ bucket: UnsafeMutablePointer<Bucket>, _ hits: UInt32) -> UInt32 {
        // As memory: a vector subscript with a variable goes by way of the stack.
        UnsafeRawPointer(bucket).load(fromByteOffset: 32 &+ hits.trailingZeroBitCount &* 2, as: UInt32.self)
    }

    @inline(__always)
    private func slot(_ hits: UInt32) -> Int { hits.trailingZeroBitCount / 2 }

    /// All hits but the first.
    @inline(__always)
    private func others(_ hits: UInt32) -> UInt32 { hits & ~(3 &<< UInt32(hits.trailingZeroBitCount)) }

    /// The first flow with the hash's tag, in either bucket, that `isIt` says yes to; `noFlow` when there is none.
    @inline(__always)
    func find(_ hash: UInt64, where isIt: (UInt32) -> Bool) -> UInt32 {
        let tag = tag(hash)
        let first = first(hash)
        var bucket = buckets + Int(first)
        let mayBeAway = bucket.pointee.away != 0
        var round = 0
        while true {
            var hits = shim_equal_tags(bucket, tag)
            while hits != 0 {
                let flow = flow(bucket, hits)
                if isIt(flow) { return flow }
                hits = others(hits)
            }
            guard round == 0, mayBeAway else { return noFlow }
            bucket = buckets + Int(other(first, tag))
            round = 1
        }
    }

    // MARK: change

    /// Notes that a flow has a place. False when neither bucket, nor any within reach, has room: nothing has changed.
    @inline(__always)
    func insert(_ hash: UInt64, _ flow: UInt32) -> Bool {
        let tag = tag(hash)
        let first = first(hash)
        if let slot = freeSlot(first) {
            set(first, slot, tag, flow, isGuest: false)
            return true
        }
        return insertElsewhere(first, tag, flow)
    }

    @inline(never)
    private func insertElsewhere(_ first: UInt32, _ tag: UInt16, _ flow: UInt32) -> Bool {
        let second = other(first, tag)
        if second != first, let slot = freeSlot(second) {
            setAway(second, slot, tag, flow, from: first)
            return true
        }
        var depth = 1
        while depth <= FlowBuckets.longestWay {
            if let slot = makeRoom(first, depth: depth, sparing: first) {
                set(first, slot, tag, flow, isGuest: false)
                return true
            }
            if second != first, let slot = makeRoom(second, depth: depth, sparing: second) {
                setAway(second, slot, tag, flow, from: first)
                return true
            }
            depth &+= 1
        }
        return false
    }

    /// Moves that an insert may cause.
    private static var longestWay: Int { 3 }

    @inline(__always)
    private func setAway(_ second: UInt32, _ slot: Int, _ tag: UInt16, _ flow: UInt32, from first: UInt32) {
        set(second, slot, tag, flow, isGuest: true)
        buckets[Int(first)].away &+= 1
    }

    /// Forgets a flow. O(1).
    @inline(__always)
    func remove(_ hash: UInt64, _ flow: UInt32) {
        let tag = tag(hash)
        let first = first(hash)
        if let slot = slot(of: flow, tag, in: first) { return clear(first, slot) }
        let second = other(first, tag)
        guard let slot = slot(of: flow, tag, in: second) else { return }
        clear(second, slot)
        buckets[Int(first)].away &-= 1
    }

    @inline(__always)
    private func slot(of flow: UInt32, _ tag: UInt16, in index: UInt32) -> Int? {
        let bucket = buckets + Int(index)
        var hits = shim_equal_tags(bucket, tag)
        while hits != 0 {
            if self.flow(bucket, hits) == flow { return slot(hits) }
            hits = others(hits)
        }
        return nil
    }

    @inline(__always)
    private func freeSlot(_ index: UInt32) -> Int? {
        let free = shim_equal_tags(buckets + Int(index), 0)
        return free == 0 ? nil : slot(free)
    }

    @inline(__always)
    private func set(_ index: UInt32, _ slot: Int, _ tag: UInt16, _ flow: UInt32, isGuest: Bool) {
        let bucket = UnsafeMutableRawPointer(buckets + Int(index))
        bucket.storeBytes(of: tag, toByteOffset: slot &* 2, as: UInt16.self)
        bucket.storeBytes(of: flow, toByteOffset: 32 &+ slot &* 4, as: UInt32.self)
        if isGuest {
            buckets[Int(index)].guests |= 1 &<< UInt8(truncatingIfNeeded: slot)
        } else {
            buckets[Int(index)].guests &= ~(1 &<< UInt8(truncatingIfNeeded: slot))
        }
    }

    @inline(__always)
    private func clear(_ index: UInt32, _ slot: Int) {
        UnsafeMutableRawPointer(buckets + Int(index)).storeBytes(of: 0, toByteOffset: slot &* 2, as: UInt16.self)
    }

    /// A free slot in a full bucket, made by moving one of its flows to its other bucket, where `depth` > 1 lets one of
    /// that bucket's flows move first. Looks at 8^depth buckets at most. A bucket of the way there is never entered
    /// again, which for three steps means: neither the bucket itself nor the one before it.
    private func makeRoom(_ index: UInt32, depth: Int, sparing spared: UInt32) -> Int? {
        var slot = 0
        while slot < 8 {
            let target = other(index, tag(index, slot))
            if target != index, target != spared,
                let free = depth == 1 ? freeSlot(target) : makeRoom(target, depth: depth &- 1, sparing: index)
            {
                move(index, slot, to: target, free)
                return slot
            }
            slot &+= 1
        }
        return nil
    }

    private func tag(_ index: UInt32, _ slot: Int) -> UInt16 {
        UnsafeRawPointer(buckets + Int(index)).load(fromByteOffset: slot &* 2, as: UInt16.self)
    }

    private func flow(_ index: UInt32, _ slot: Int) -> UInt32 {
        UnsafeRawPointer(buckets + Int(index)).load(fromByteOffset: 32 &+ slot &* 4, as: UInt32.self)
    }

    /// A flow moves to its other bucket: a guest comes home, another one leaves it.
    private func move(_ source: UInt32, _ slot: Int, to target: UInt32, _ free: Int) {
        let wasGuest = buckets[Int(source)].guests & 1 &<< UInt8(truncatingIfNeeded: slot) != 0
        set(target, free, tag(source, slot), flow(source, slot), isGuest: !wasGuest)
        if wasGuest { buckets[Int(target)].away &-= 1 } else { buckets[Int(source)].away &+= 1 }
        clear(source, slot)
    }
}
