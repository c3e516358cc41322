import CDPDKShim
import InterCore
import Wire

/// The flows of one worker, which nobody else touches. Find, insert and remove are O(1) and bounded; nothing is
/// allocated after `init`, and a flow stays where it is.
///
/// Each address family has a store of its own (`FlowStore`), so that IPv4 does not pay for IPv6's addresses. An index
/// names a flow of either family: the highest bit says which.
///
/// At the capacity stated an IPv4 flow costs 32 bytes of key and entry, 16 of links, 10 of buckets (64 bytes for 6.4
/// flows) and 5.4 for its share of the preludes (136 bytes for 25 flows): 63.4; an IPv6 flow costs 95.4.
package struct FlowTable: ~Copyable {
    var v4: FlowStore<IPv4Layout>
    var v6: FlowStore<IPv6Layout>
    let lookup: BurstLookup
    /// `changes` when `lookup` was probed.
    var changesAtLookup: UInt64 = 0
    /// Inserts and removes so far.
    private(set) var changes: UInt64 = 0
    private let preludes: UnsafeMutablePointer<Prelude>
    private var firstFreePrelude: UInt32 = 0
    private let preludeCount: UInt32
    private var preludesInUse: UInt32 = 0
    let hashSeed: UInt64
    package let size: Size

    /// What a table has room for.
    package struct Size {
        package var ipv4: Int
        package var ipv6: Int

        package init(ipv4: Int, ipv6: Int) {
            self.ipv4 = max(ipv4, 1)
            self.ipv6 = max(ipv6, 1)
        }

        /// Connections of either family whose fate is not decided yet; others pass.
        package var preludes: Int { max(min(ipv4 + ipv6, 16_384), (ipv4 + ipv6) / 25) }

        /// All that the table takes, in bytes.
        package var byteCount: Int {
            FlowStore<IPv4Layout>.byteCount(capacity: ipv4) + FlowStore<IPv6Layout>.byteCount(capacity: ipv6)
                + preludes * MemoryLayout<Prelude>.stride
        }
    }

    /// - Parameters:
    ///   - hashSeed: as given to `flowHash`.
    ///   - socket: NUMA node of the worker's lcore; -1 for any.
    package init(_ size: Size, hashSeed: UInt64, socket: Int = -1) {
        self.size = size
        self.hashSeed = hashSeed
        let memory = TableMemory(socket: socket)
        v4 = FlowStore(capacity: size.ipv4, memory: memory)
        v6 = FlowStore(capacity: size.ipv6, memory: memory)
        lookup = BurstLookup(v4: v4.finder, v6: v6.finder, hashSeed: hashSeed)
        let count = size.preludes
        preludeCount = UInt32(count)
        preludes = memory.take(count * MemoryLayout<Prelude>.stride).bindMemory(to: Prelude.self, capacity: count)
        for index in 0..<count {
            preludes[index].holdNext = index + 1 < count ? UInt32(index + 1) : noFlow
        }
    }

    package var count: Int { v4.count &+ v6.count }

    // MARK: names of flows

    private static var familyBit: UInt32 { 0x8000_0000 }

    @inline(__always)
    package func at(_ index: UInt32) -> Flow {
        index & FlowTable.familyBit == 0 ? v4.at(index) : v6.at(index ^ FlowTable.familyBit)
    }

    @inline(__always)
    package func index(of flow: Flow) -> UInt32 {
        flow.pointee.marks.contains(.isV6) ? v6.index(of: flow) | FlowTable.familyBit : v4.index(of: flow)
    }

    @inline(__always)
    package func links(_ index: UInt32) -> UnsafeMutablePointer<FlowLinks> {
        index & FlowTable.familyBit == 0 ? v4.links + Int(index) : v6.links + Int(index ^ FlowTable.familyBit)
    }

    @inline(__always)
    package func links(of flow: Flow) -> UnsafeMutablePointer<FlowLinks> { links(index(of: flow)) }

    /// The flow that a handle names, unless it has ended.
    @inline(__always)
    package func live(_ handle: FlowHandle) -> Flow? {
        let isV6 = handle.index & FlowTable.familyBit != 0
        guard Int(handle.index & ~FlowTable.familyBit) < (isV6 ? v6.capacity : v4.capacity) else { return nil }
        let flow = at(handle.index)
        guard flow.pointee.marks.contains(.live), links(handle.index).pointee.generation == handle.generation else {
            return nil
        }
        return flow
    }

    /// All places in a row, for walks over the table: 0 ..< `positions`.
    package var positions: Int { v4.capacity &+ v6.capacity }

    /// The flow at a place; nil when it is free.
    @inline(__always)
    package func flow(atPosition position: Int) -> Flow? {
        let flow =
            position < v4.capacity
            ? v4.at(UInt32(truncatingIfNeeded: position))
            : v6.at(UInt32(truncatingIfNeeded: position &- v4.capacity))
        return flow.pointee.marks.contains(.live) ? flow : nil
    }

    /// The first place from `position` on that has ever held a flow; `positions` when there is none.
    @inline(__always)
    package func firstUsed(from position: Int) -> Int {
        if position < Int(v4.firstFresh) { return position }
        let position = max(position, v4.capacity)
        return position &- v4.capacity < Int(v6.firstFresh) ? position : positions
    }

    /// Asks the memory for what a walk will read at some places in a row.
    @inline(__always)
    package func prefetch(from position: Int, count: Int) {
        guard position < positions else { return }
        let isV6 = position >= v4.capacity
        let stride = isV6 ? IPv6Layout.stride : IPv4Layout.stride
        let start =
            isV6
            ? v6.finder.place(UInt32(truncatingIfNeeded: position &- v4.capacity))
            : v4.finder.place(UInt32(truncatingIfNeeded: position))
        var offset = 0
        while offset < count &* stride {
            // Harmless behind the last place: a prefetch never faults.
            shim_prefetch_near(start + offset)
            offset &+= 64
        }
    }

    /// The places of one family.
    @inline(__always)
    package func positions(isV6: Bool) -> Range<Int> {
        isV6 ? v4.capacity..<positions : 0..<v4.capacity
    }

    @inline(__always)
    package func isFull(isV6: Bool) -> Bool { isV6 ? v6.count == v6.capacity : v4.count == v4.capacity }

    @inline(__always)
    package func key(of flow: Flow) -> PackedFlowKey {
        flow.pointee.marks.contains(.isV6) ? v6.key(of: flow) : v4.key(of: flow)
    }

    // MARK: find

    /// One flow; `BurstLookup` finds those of a burst.
    @inline(__always)
    package func find(_ key: PackedFlowKey, hash: UInt64) -> Flow? {
        withUnsafePointer(to: key) { find($0, hash: hash) }
    }

    @inline(__always)
    func find(_ key: UnsafePointer<PackedFlowKey>, hash: UInt64) -> Flow? {
        key.pointee.isV6 ? v6.finder.find(key, hash: hash) : v4.finder.find(key, hash: hash)
    }

    // MARK: change

    /// A new entry for a key that is not in the table, its generation one more than its place's last flow had; nil when
    /// there is no room.
    package mutating func insert(_ key: PackedFlowKey, hash: UInt64) -> Flow? {
        changes &+= 1
        return key.isV6 ? v6.insert(key, hash: hash) : v4.insert(key, hash: hash)
    }

    package mutating func remove(_ flow: Flow) {
        remove(flow, hash: flowHash(of: key(of: flow), seed: hashSeed))
    }

    /// The same where the hash is known.
    package mutating func remove(_ flow: Flow, hash: UInt64) {
        changes &+= 1
        dropPrelude(flow)
        if flow.pointee.marks.contains(.isV6) { v6.remove(flow, hash: hash) } else { v4.remove(flow, hash: hash) }
    }

    // MARK: preludes

    /// Of a flow that has one: `opening`, `held`, and `committed` while its origin's reset is not the last.
    @inline(__always)
    package func prelude(_ flow: Flow) -> UnsafeMutablePointer<Prelude> {
        preludes + Int(links(of: flow).pointee.prelude)
    }

    package var hasFreePrelude: Bool { firstFreePrelude != noFlow }

    /// Half of them are for new connections alone.
    package var hasSparePreludes: Bool { preludesInUse < preludeCount / 2 }

    /// Gives a new flow a prelude; `hasFreePrelude` must be true.
    package mutating func givePrelude(_ flow: Flow) {
        let index = firstFreePrelude
        firstFreePrelude = preludes[Int(index)].holdNext
        preludesInUse &+= 1
        preludes[Int(index)] = Prelude()
        links(of: flow).pointee.prelude = index
        flow.pointee.marks.insert(.hasPrelude)
    }

    /// The flow's fate is decided. Does nothing when it has no prelude.
    @inline(__always)
    package mutating func dropPrelude(_ flow: Flow) {
        guard flow.pointee.marks.contains(.hasPrelude) else { return }
        flow.pointee.marks.remove(.hasPrelude)
        let index = links(of: flow).pointee.prelude
        preludesInUse &-= 1
        preludes[Int(index)].holdNext = firstFreePrelude
        firstFreePrelude = index
    }
}

/// Where tables get their memory: hugepages of the worker's NUMA node, as far as there are any.
package struct TableMemory {
    let socket: Int

    package init(socket: Int) { self.socket = socket }

    /// Zeroed, aligned to cache lines, never freed.
    package func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
        guard let memory = shim_table_memory(byteCount, Int32(socket)) else {
            fatalError("no memory for a flow table of \(byteCount) bytes: lower `workers: flows`")
        }
        return memory
    }
}
