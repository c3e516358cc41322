import CDPDKShim
import Wire

/// How one address family's key lies before the entry.
protocol EntryLayout {
    /// Bytes from one place to the next; whole halves of a cache line, so that key and entry share a line.
    static var stride: Int { get }
    static var isV6: Bool { get }
    /// Bytes of key before the entry.
    static var keySize: Int { get }
    static func matches(_ place: UnsafeRawPointer, _ key: UnsafePointer<PackedFlowKey>) -> Bool

    // A plain segment of this family (`PlainSegment`):

    /// Where its TCP header begins.
    static var plainTransport: Int { get }
    static func key(ofPlain frame: UnsafeRawPointer, fromClient: Bool) -> PackedFlowKey
    /// Address and port that it comes from.
    static func source(_ frame: UnsafeRawPointer) -> (IPAddress, UInt16)
    /// Address and port that it goes to.
    static func destination(_ frame: UnsafeRawPointer) -> (IPAddress, UInt16)
    /// `matches` for that key, without making it.
    static func matches(_ place: UnsafeRawPointer, plain frame: UnsafeRawPointer, fromClient: Bool) -> Bool

    static func write(_ key: PackedFlowKey, to place: UnsafeMutableRawPointer)
    static func key(at place: UnsafeRawPointer) -> PackedFlowKey
}

/// Whether a key's ports and VLAN, as they lie in a place, are those of an untagged segment.
@inline(__always)
private func portsMatch(_ place: UnsafeRawPointer, _ ports: UnsafeRawPointer, _ fromClient: Bool) -> Bool {
    let wanted = PackedFlowKey.ports(ports, vlan: .untagged, fromClient: fromClient)
    return place.load(as: UInt32.self) == UInt32(truncatingIfNeeded: wanted)
        && place.load(fromByteOffset: 4, as: UInt16.self) == VLAN.untagged.value
}

/// Where a key has its four words of addresses.
private var addressesOffset: Int { 8 }

// The last word of a key is four bytes of ports and the entry's VLAN; two bytes of the entry follow.
private let lastWordMask: UInt64 = 0xFFFF_FFFF_FFFF

enum IPv4Layout: EntryLayout {
    static var isV6: Bool { false }
    static var stride: Int { 32 }
    static var keySize: Int { 12 }
    static var plainTransport: Int { 34 }

    @inline(__always)
    static func key(ofPlain frame: UnsafeRawPointer, fromClient: Bool) -> PackedFlowKey {
        PackedFlowKey(
            sourceAddress: frame + 26, ports: frame + plainTransport, isV6: false, vlan: .untagged,
            fromClient: fromClient)
    }

    @inline(__always)
    static func source(_ frame: UnsafeRawPointer) -> (IPAddress, UInt16) {
        (IPAddress(v4: frame.wire32(26)), frame.wire16(plainTransport))
    }

    @inline(__always)
    static func destination(_ frame: UnsafeRawPointer) -> (IPAddress, UInt16) {
        (IPAddress(v4: frame.wire32(30)), frame.wire16(plainTransport &+ 2))
    }

    @inline(__always)
    static func matches(_ place: UnsafeRawPointer, plain frame: UnsafeRawPointer, fromClient: Bool) -> Bool {
        let addresses = PackedFlowKey.addresses(frame + 26, fromClient: fromClient)
        return place.load(as: UInt64.self) == addresses && portsMatch(place + 8, frame + plainTransport, fromClient)
    }

    @inline(__always)
    static func matches(_ place: UnsafeRawPointer, _ key: UnsafePointer<PackedFlowKey>) -> Bool {
        let addresses = place.load(as: UInt64.self) ^ key.pointee.addresses
        let ports = (place.load(fromByteOffset: 8, as: UInt64.self) ^ key.pointee.ports) & lastWordMask
        return addresses | ports == 0
    }

    @inline(__always)
    static func write(_ key: PackedFlowKey, to place: UnsafeMutableRawPointer) {
        place.storeBytes(of: key.addresses, as: UInt64.self)
        place.storeBytes(of: UInt32(truncatingIfNeeded: key.ports), toByteOffset: 8, as: UInt32.self)
    }

    static func key(at place: UnsafeRawPointer) -> PackedFlowKey {
        PackedFlowKey(
            addresses: place.load(as: UInt64.self),
            ports: place.load(fromByteOffset: 8, as: UInt64.self) & lastWordMask)
    }
}

enum IPv6Layout: EntryLayout {
    static var isV6: Bool { true }
    static var stride: Int { 64 }
    static var keySize: Int { 36 }
    static var plainTransport: Int { 54 }

    @inline(__always)
    static func key(ofPlain frame: UnsafeRawPointer, fromClient: Bool) -> PackedFlowKey {
        PackedFlowKey(
            sourceAddress: frame + 22, ports: frame + plainTransport, isV6: true, vlan: .untagged,
            fromClient: fromClient)
    }

    @inline(__always)
    static func source(_ frame: UnsafeRawPointer) -> (IPAddress, UInt16) {
        (IPAddress(high: frame.wire64(22), low: frame.wire64(30)), frame.wire16(plainTransport))
    }

    @inline(__always)
    static func destination(_ frame: UnsafeRawPointer) -> (IPAddress, UInt16) {
        (IPAddress(high: frame.wire64(38), low: frame.wire64(46)), frame.wire16(plainTransport &+ 2))
    }

    @inline(__always)
    static func matches(_ place: UnsafeRawPointer, plain frame: UnsafeRawPointer, fromClient: Bool) -> Bool {
        shim_equal_32(place, frame + (fromClient ? 22 : 38), frame + (fromClient ? 38 : 22))
            && portsMatch(place + 32, frame + plainTransport, fromClient)
    }

    @inline(__always)
    static func matches(_ place: UnsafeRawPointer, _ key: UnsafePointer<PackedFlowKey>) -> Bool {
        let addresses = UnsafeRawPointer(key) + addressesOffset
        let ports = (place.load(fromByteOffset: 32, as: UInt64.self) ^ key.pointee.ports) & lastWordMask
        return shim_equal_32(place, addresses, addresses + 16) && ports == 0
    }

    @inline(__always)
    static func write(_ key: PackedFlowKey, to place: UnsafeMutableRawPointer) {
        place.storeBytes(of: key.addresses, as: UInt64.self)
        place.storeBytes(of: key.clientLow, toByteOffset: 8, as: UInt64.self)
        place.storeBytes(of: key.serverHigh, toByteOffset: 16, as: UInt64.self)
        place.storeBytes(of: key.serverLow, toByteOffset: 24, as: UInt64.self)
        place.storeBytes(of: UInt32(truncatingIfNeeded: key.ports), toByteOffset: 32, as: UInt32.self)
    }

    static func key(at place: UnsafeRawPointer) -> PackedFlowKey {
        PackedFlowKey(
            clientHigh: place.load(as: UInt64.self), clientLow: place.load(fromByteOffset: 8, as: UInt64.self),
            serverHigh: place.load(fromByteOffset: 16, as: UInt64.self),
            serverLow: place.load(fromByteOffset: 24, as: UInt64.self),
            ports: place.load(fromByteOffset: 32, as: UInt64.self) & lastWordMask)
    }
}

/// What finding needs of a store: copied into registers for the length of a burst.
struct FlowFinder<Layout: EntryLayout>: BitwiseCopyable {
    let buckets: FlowBuckets
    let places: UnsafeMutableRawPointer

    @inline(__always)
    func place(_ index: UInt32) -> UnsafeMutableRawPointer { places + Int(index) &* Layout.stride }

    @inline(__always)
    func at(_ index: UInt32) -> Flow {
        (place(index) + Layout.keySize).assumingMemoryBound(to: FlowEntry.self)
    }

    // The stages of a burst's lookup (`BurstLookup`).

    @inline(__always)
    func prefetch(_ hash: UInt64) { buckets.prefetch(hash) }

    @inline(__always)
    func probe(_ hash: UInt64, isAway: () -> Void) -> UInt32 {
        let index = buckets.firstMatch(hash, isAway: isAway)
        // Harmless for the index that means no entry: a prefetch never faults.
        shim_prefetch_near(place(index))
        return index
    }

    @inline(__always)
    func probeAway(_ hash: UInt64) -> UInt32 {
        let index = buckets.secondMatch(hash)
        shim_prefetch_near(place(index))
        return index
    }

    @inline(__always)
    func resolve(_ key: UnsafePointer<PackedFlowKey>, hash: UInt64, probed index: UInt32) -> Flow? {
        guard index != noFlow else { return nil }
        return Layout.matches(place(index), key) ? at(index) : find(key, hash: hash)
    }

    @inline(never)
    func find(_ key: UnsafePointer<PackedFlowKey>, hash: UInt64) -> Flow? {
        let index = buckets.find(hash) { Layout.matches(place($0), key) }
        return index == noFlow ? nil : at(index)
    }
}

/// The flows of one address family: buckets that lead to places, the places with key and entry, and the links beside
/// them. Nothing moves, nothing is allocated after `init`.
struct FlowStore<Layout: EntryLayout>: ~Copyable {
    let capacity: Int
    private(set) var count = 0
    let finder: FlowFinder<Layout>
    let links: UnsafeMutablePointer<FlowLinks>
    private var firstFree = noFlow
    /// Places from here on have never been used.
    private(set) var firstFresh: UInt32 = 0

    /// Cost of `capacity` flows, in bytes.
    static func byteCount(capacity: Int) -> Int {
        FlowBuckets.byteCount(flows: capacity) + capacity * (Layout.stride + MemoryLayout<FlowLinks>.stride)
    }

    init(capacity: Int, memory: TableMemory) {
        precondition(Layout.keySize + MemoryLayout<FlowEntry>.size <= Layout.stride, "key and entry share a place")
        precondition(MemoryLayout<FlowEntry>.offset(of: \.vlan) == 0, "the VLAN ends the key")
        precondition(
            MemoryLayout<PackedFlowKey>.offset(of: \.addresses) == addressesOffset, "four words in a row end a key")
        self.capacity = capacity
        finder = FlowFinder(
            buckets: FlowBuckets(flows: capacity, in: memory.take(FlowBuckets.byteCount(flows: capacity))),
            places: memory.take(capacity * Layout.stride))
        links = memory.take(capacity * MemoryLayout<FlowLinks>.stride).bindMemory(
            to: FlowLinks.self, capacity: capacity)
    }

    @inline(__always)
    func at(_ index: UInt32) -> Flow { finder.at(index) }

    @inline(__always)
    func index(of flow: Flow) -> UInt32 {
        // Unsigned, so that the division is a shift.
        UInt32(truncatingIfNeeded: (UInt(bitPattern: flow) &- UInt(bitPattern: finder.places)) / UInt(Layout.stride))
    }

    @inline(__always)
    func key(of flow: Flow) -> PackedFlowKey { Layout.key(at: UnsafeRawPointer(flow) - Layout.keySize) }

    // MARK: change

    @inline(__always)
    mutating func insert(_ key: PackedFlowKey, hash: UInt64) -> Flow? {
        let isRecycled = firstFree != noFlow
        let index = isRecycled ? firstFree : firstFresh
        guard isRecycled || Int(firstFresh) < capacity, finder.buckets.insert(hash, index) else { return nil }
        let flow = at(index)
        if isRecycled { firstFree = flow.pointee.lastSeen } else { firstFresh &+= 1 }
        links[Int(index)] = FlowLinks(generation: links[Int(index)].generation &+ 1)
        Layout.write(key, to: finder.place(index))
        flow.initialize(to: FlowEntry(vlan: key.vlan))
        flow.pointee.marks = key.isV6 ? [.live, .isV6] : .live
        count &+= 1
        return flow
    }

    @inline(__always)
    mutating func remove(_ flow: Flow, hash: UInt64) {
        let index = index(of: flow)
        finder.buckets.remove(hash, index)
        flow.pointee.marks = []
        flow.pointee.lastSeen = firstFree
        firstFree = index
        count &-= 1
    }
}
