import CDPDKShim
import InterCore
import Wire

/// The flows of one worker: a hash table of fixed capacity that only its worker touches.
///
/// A bucket is one cache line: eight 16-bit tags, compared at once, and eight indices into the array of entries. A flow
/// may live in either of two buckets (by its hash, and by its hash and tag), and goes to the emptier one; with twice as
/// many slots as entries, both are full for practically no set of keys. Find, insert and remove are O(1); nothing is
/// allocated after `init` and nothing ever moves.
package struct FlowTable: ~Copyable {
    private let buckets: UnsafeMutablePointer<Bucket>
    private let entries: Flow
    private let bucketMask: UInt64
    private var firstFree: UInt32
    package private(set) var count = 0
    package let capacity: Int

    /// Tags and entries of one cache line.
    struct Bucket: BitwiseCopyable {
        /// 0: empty.
        var tags = SIMD8<UInt16>()
        var flows = SIMD8<UInt32>(repeating: noFlow)
        var padding: (UInt64, UInt64) = (0, 0)
    }

    /// - Parameter capacity: entries; rounded up to a power of two, 64 at least.
    package init(capacity wanted: Int) {
        var capacity = 64
        while capacity < wanted { capacity *= 2 }
        self.capacity = capacity
        let bucketCount = capacity / 4
        bucketMask = UInt64(bucketCount - 1)
        precondition(MemoryLayout<Bucket>.stride == 64, "a bucket is one cache line")
        precondition(MemoryLayout<FlowEntry>.stride <= FlowTable.stride, "an entry fits its place")
        buckets = UnsafeMutableRawPointer.allocate(byteCount: bucketCount * 64, alignment: 64)
            .bindMemory(to: Bucket.self, capacity: bucketCount)
        buckets.initialize(repeating: Bucket(), count: bucketCount)
        let raw = UnsafeMutableRawPointer.allocate(byteCount: capacity * FlowTable.stride, alignment: 64)
        raw.initializeMemory(as: UInt8.self, repeating: 0, count: capacity * FlowTable.stride)
        entries = raw.assumingMemoryBound(to: FlowEntry.self)
        firstFree = 0
        for index in 0..<capacity {
            let flow = at(UInt32(index))
            flow.initialize(
                to: FlowEntry(
                    key: .init(client: .unspecified, clientPort: 0, server: .unspecified, serverPort: 0), hash: 0))
            flow.pointee.place = noFlow
            flow.pointee.holdNext = index + 1 < capacity ? UInt32(index + 1) : noFlow
        }
    }

    deinit {
        UnsafeMutableRawPointer(buckets).deallocate()
        UnsafeMutableRawPointer(entries).deallocate()
    }

    /// Bytes from one entry to the next: whole cache lines.
    package static var stride: Int { 384 }

    @inline(__always)
    package func at(_ index: UInt32) -> Flow {
        (UnsafeMutableRawPointer(entries) + Int(index) &* FlowTable.stride).assumingMemoryBound(to: FlowEntry.self)
    }

    @inline(__always)
    package func index(of flow: Flow) -> UInt32 {
        UInt32(truncatingIfNeeded: (UnsafeRawPointer(flow) - UnsafeRawPointer(entries)) / FlowTable.stride)
    }

    /// True for an entry that holds a flow at present.
    @inline(__always)
    package func isLive(_ flow: Flow) -> Bool { flow.pointee.place != noFlow }

    @inline(__always)
    private func tag(_ hash: UInt64) -> UInt16 { UInt16(truncatingIfNeeded: hash >> 48) | 1 }

    @inline(__always)
    private func firstBucket(_ hash: UInt64) -> UInt64 { hash & bucketMask }

    @inline(__always)
    private func secondBucket(_ first: UInt64, _ tag: UInt16) -> UInt64 {
        (first ^ (UInt64(tag) &* 0x5BD1_E995)) & bucketMask
    }

    /// Asks the memory for what `find` will need.
    @inline(__always)
    package func prefetch(_ hash: UInt64) { shim_prefetch(UnsafeRawPointer(buckets + Int(firstBucket(hash)))) }

    @inline(__always)
    package func find(_ key: FlowKey, hash: UInt64) -> Flow? {
        let tag = tag(hash)
        let first = firstBucket(hash)
        if let flow = find(key, tag, in: first) { return flow }
        return find(key, tag, in: secondBucket(first, tag))
    }

    @inline(__always)
    private func find(_ key: FlowKey, _ tag: UInt16, in bucket: UInt64) -> Flow? {
        let line = buckets + Int(bucket)
        let hits = line.pointee.tags .== SIMD8(repeating: tag)
        guard any(hits) else { return nil }
        var slot = 0
        while slot < 8 {
            if hits[slot] {
                let flow = at(line.pointee.flows[slot])
                if flow.pointee.key == key { return flow }
            }
            slot &+= 1
        }
        return nil
    }

    /// A new entry for a key that is not in the table, its generation one more than the entry's last flow had; nil when
    /// the table is full.
    package mutating func insert(_ key: FlowKey, hash: UInt64) -> Flow? {
        guard firstFree != noFlow else { return nil }
        let tag = tag(hash)
        let first = firstBucket(hash)
        let second = secondBucket(first, tag)
        let firstRoom = room(first)
        let secondRoom = room(second)
        guard firstRoom.count > 0 || secondRoom.count > 0 else { return nil }
        let useFirst = firstRoom.count >= secondRoom.count
        let bucket = useFirst ? first : second
        let slot = useFirst ? firstRoom.slot : secondRoom.slot
        let index = firstFree
        let flow = at(index)
        firstFree = flow.pointee.holdNext
        let generation = flow.pointee.generation &+ 1
        flow.initialize(to: FlowEntry(key: key, hash: hash))
        flow.pointee.generation = generation
        flow.pointee.place = UInt32(truncatingIfNeeded: bucket &* 8) &+ UInt32(slot)
        buckets[Int(bucket)].tags[slot] = tag
        buckets[Int(bucket)].flows[slot] = index
        count &+= 1
        return flow
    }

    private func room(_ bucket: UInt64) -> (count: Int, slot: Int) {
        var count = 0
        var free = 0
        var slot = 0
        while slot < 8 {
            if buckets[Int(bucket)].tags[slot] == 0 {
                count &+= 1
                free = slot
            }
            slot &+= 1
        }
        return (count, free)
    }

    package mutating func remove(_ flow: Flow) {
        let place = Int(flow.pointee.place)
        buckets[place >> 3].tags[place & 7] = 0
        buckets[place >> 3].flows[place & 7] = noFlow
        flow.pointee.place = noFlow
        flow.pointee.holdNext = firstFree
        firstFree = index(of: flow)
        count &-= 1
    }
}
