import ArgumentParser
import CDPDKShim
import FastPath
import InterCore
import Wire

/// The flow table by itself, beside `rte_hash` (bench/peers/rte_hash_bench.c) with the same keys in the same order.
/// Whatever of the bench touches the table directly is in this file.
struct Table: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "table", abstract: "Find, insert and remove of the flow table, in TSC clocks each.")

    @Option(help: "Flows in the table.") var flows: Int
    @Flag(name: .customLong("ipv6"), help: "Keys are IPv6.") var isIPv6 = false
    @Option(help: "Seconds for finds.") var seconds = 1.0
    @Argument(parsing: .postTerminator, help: "EAL arguments.") var eal: [String] = []

    func run() throws {
        try Environment.start(["baton-bench"] + eal)
        var bench = TableBench(flows: flows, isIPv6: isIPv6)
        try bench.run(seconds: seconds).print()
    }
}

/// TSC clocks for each operation: of finds the median over samples, of insertions and removals the mean of the best
/// pass over the whole table.
struct TableReport: Encodable {
    var keys: Int
    var found: UInt64
    var lookups: UInt64
    var find: Double
    var insert: Double
    var delete: Double

    func print() throws { try printLine(self) }
}

struct TableBench: ~Copyable {
    private var table: FlowTable
    private let inOrder: UnsafeMutablePointer<PackedFlowKey>
    private let shuffled: ShuffledKeys
    private let count: Int
    private var sum: UInt = 0
    private var found: UInt64 = 0

    static var burst: Int { 32 }
    /// Lookups between two readings of the clock.
    static var sample: Int { 8_192 }
    static var seed: UInt64 { 0x5EED_0000_BA70_0001 }

    init(flows: Int, isIPv6: Bool) {
        count = flows
        table = FlowTable(
            FlowTable.Size(ipv4: isIPv6 ? 1 : flows, ipv6: isIPv6 ? flows : 1), hashSeed: TableBench.seed)
        inOrder = .allocate(capacity: flows)
        var random = SplitMix64(state: 1)
        for index in 0..<flows {
            inOrder[index] = PackedFlowKey(TableBench.key(index, random.next(), isIPv6))
        }
        shuffled = ShuffledKeys(inOrder, count: flows, &random)
    }

    /// No two alike: the client's address is a one-to-one function of the index.
    private static func key(_ index: Int, _ random: UInt64, _ isIPv6: Bool) -> FlowKey {
        let clientPort = UInt16(truncatingIfNeeded: random >> 16)
        let server = UInt32(truncatingIfNeeded: random & 0xFF)
        guard isIPv6 else {
            let client = UInt32(truncatingIfNeeded: index) &* 2_654_435_761 &+ 12_345
            return FlowKey(
                client: IPAddress(v4: client), clientPort: clientPort, server: IPAddress(v4: 0xC612_0000 | server),
                serverPort: 80)
        }
        return FlowKey(
            client: IPAddress(high: 0x2001_0DB8_0001_0000, low: SplitMix64.mixed(UInt64(index))),
            clientPort: clientPort, server: IPAddress(high: 0x2001_0DB8_0002_0000, low: UInt64(server)), serverPort: 80)
    }

    mutating func run(seconds: Double) throws -> TableReport {
        let passes = max(4, min(50, 1_000_000 / count))
        var bestInsert = Double.infinity
        var bestRemove = Double.infinity
        for pass in 0..<passes {
            if pass > 0 { bestRemove = min(bestRemove, try removeAll()) }
            bestInsert = min(bestInsert, try insertAll())
        }
        var samples: [Double] = []
        samples.reserveCapacity(1_000_000)
        var lookups: UInt64 = 0
        let end = shim_tsc() &+ UInt64(seconds * Double(shim_tsc_hertz()))
        // At least one pass over all keys, and one more to warm up.
        var first = 0
        var done = 0
        while shim_tsc() < end || done < 2 * count {
            let clocks = findSample(from: &first)
            done += TableBench.sample
            lookups += UInt64(TableBench.sample)
            if done > count { samples.append(Double(clocks) / Double(TableBench.sample)) }
        }
        guard found == lookups else {
            throw Environment.Failure(description: "\(found) of \(lookups) found (\(sum))")
        }
        samples.sort()
        bestRemove = min(bestRemove, try removeAll())
        return TableReport(
            keys: count, found: found, lookups: lookups, find: samples[samples.count / 2], insert: bestInsert,
            delete: bestRemove)
    }

    @inline(never)
    private mutating func findSample(from first: inout Int) -> UInt64 {
        let start = shim_tsc()
        var left = TableBench.sample
        while left > 0 {
            if first &+ TableBench.burst > count { first = 0 }
            let length = min(TableBench.burst, count)
            findBurst(first, length)
            first &+= TableBench.burst
            left &-= TableBench.burst
        }
        return shim_tsc() &- start
    }

    @inline(__always)
    private mutating func findBurst(_ first: Int, _ length: Int) {
        let flows = table.find(shuffled.burst(from: first, count: length), count: length).flows
        var index = 0
        while index < length {
            if let flow = flows[index] {
                found &+= 1
                sum &+= UInt(bitPattern: flow)
            }
            index &+= 1
        }
    }

    /// As a worker does it: the burst is looked up, and each packet's flow made with the hash that is known by then.
    private mutating func insertAll() throws -> Double {
        let start = shim_tsc()
        var inserted = 0
        var first = 0
        while first < count {
            let length = min(TableBench.burst, count &- first)
            let keys = inOrder + first
            let (flows, hashes) = table.find(keys, count: length)
            var index = 0
            while index < length {
                if flows[index] == nil, table.insert(keys[index], hash: hashes[index]) != nil { inserted &+= 1 }
                index &+= 1
            }
            first &+= length
        }
        let clocks = shim_tsc() &- start
        guard inserted == count else {
            throw Environment.Failure(description: "\(inserted) of \(count) inserted")
        }
        return Double(clocks) / Double(count)
    }

    /// As a worker does it: the burst is looked up, and each packet's flow removed.
    private mutating func removeAll() throws -> Double {
        let start = shim_tsc()
        var removed = 0
        var first = 0
        while first < count {
            let length = min(TableBench.burst, count &- first)
            let (flows, hashes) = table.find(shuffled.burst(from: first, count: length), count: length)
            var index = 0
            while index < length {
                if let flow = flows[index] {
                    table.remove(flow, hash: hashes[index])
                    removed &+= 1
                }
                index &+= 1
            }
            first &+= length
        }
        let clocks = shim_tsc() &- start
        guard removed == count else {
            throw Environment.Failure(description: "\(removed) of \(count) removed")
        }
        return Double(clocks) / Double(count)
    }
}

/// The keys in the order in which they are looked up, as short as the peer has them: 16 bytes for IPv4, 40 for IPv6, in
/// hugepages. A burst of them is unpacked where a worker would read them from packets.
struct ShuffledKeys {
    private let short: UnsafeMutablePointer<(UInt64, UInt64)>
    private let long: UnsafeMutablePointer<PackedFlowKey>
    private let unpacked: UnsafeMutablePointer<PackedFlowKey> = .allocate(capacity: TableBench.burst)
    private let isIPv6: Bool

    init(_ keys: UnsafeMutablePointer<PackedFlowKey>, count: Int, _ random: inout SplitMix64) {
        isIPv6 = keys[0].isV6
        let memory = TableMemory(socket: -1)
        short = memory.take(isIPv6 ? 64 : count * 16).bindMemory(to: (UInt64, UInt64).self, capacity: count)
        long = memory.take(isIPv6 ? count * 40 : 64).bindMemory(to: PackedFlowKey.self, capacity: count)
        unpacked.initialize(repeating: keys[0], count: TableBench.burst)
        let order = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
        for index in 0..<count { order[index] = UInt32(index) }
        var last = count - 1
        while last > 0 {
            let other = Int(random.next() % UInt64(last + 1))
            (order[last], order[other]) = (order[other], order[last])
            last -= 1
        }
        for index in 0..<count {
            let key = keys[Int(order[index])]
            if isIPv6 { long[index] = key } else { short[index] = (key.addresses, key.ports) }
        }
        order.deallocate()
    }

    subscript(index: Int) -> PackedFlowKey {
        isIPv6 ? long[index] : PackedFlowKey(addresses: short[index].0, ports: short[index].1)
    }

    @inline(__always)
    func burst(from first: Int, count: Int) -> UnsafeMutablePointer<PackedFlowKey> {
        // The next burst's keys: a worker's come from packets, which it has asked for in time.
        let size = isIPv6 ? 40 : 16
        let start = isIPv6 ? UnsafeRawPointer(long) : UnsafeRawPointer(short)
        var offset = (first &+ TableBench.burst) &* size
        let end = offset &+ TableBench.burst &* size
        while offset < end {
            shim_prefetch(start + offset)
            offset &+= 64
        }
        if isIPv6 { return long + first }
        var index = 0
        while index < count {
            unpacked[index].addresses = short[first &+ index].0
            unpacked[index].ports = short[first &+ index].1
            index &+= 1
        }
        return unpacked
    }
}
