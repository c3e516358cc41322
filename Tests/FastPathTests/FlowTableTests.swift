import FastPath
import InterCore
import Testing
import Wire

/// Random keys of both families, few enough to meet again.
private struct Keys {
    var state: UInt64

    mutating func random(_ bound: UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) % bound
    }

    func key(_ number: UInt64) -> PackedFlowKey {
        let isV6 = number % 3 == 0
        let client =
            isV6
            ? IPAddress(high: 0x2001_0DB8_0000_0000, low: number >> 4)
            : IPAddress(v4: 0x0A00_0000 | UInt32(number >> 4))
        let server = isV6 ? IPAddress(high: 0x2001_0DB8_0000_0001, low: 1) : IPAddress(v4: 1)
        return PackedFlowKey(
            FlowKey(
                client: client, clientPort: UInt16(number & 15), server: server, serverPort: 80,
                vlan: number & 1 == 0 ? .untagged : VLAN(7)))
    }
}

/// The flow table against a dictionary; the seed of a failure is printed.
@Test(arguments: [UInt64(1), 2, 3, UInt64.random(in: 4...UInt64.max)])
func flowTableAgreesWithADictionary(seed: UInt64) {
    var keys = Keys(state: seed)
    var table = FlowTable(FlowTable.Size(ipv4: 512, ipv6: 256), hashSeed: seed)
    var model: [PackedFlowKey: (index: UInt32, generation: UInt32)] = [:]
    for step in 0..<10_000 {
        let key = keys.key(keys.random(1_600))
        let hash = flowHash(of: key, seed: seed)
        let found = table.find(key, hash: hash)
        let others = (0..<31).map { _ in keys.key(keys.random(1_600)) }
        let staged = table.find([key] + others, count: 32).flows
        for (index, other) in ([key] + others).enumerated() {
            let alone = table.find(other, hash: flowHash(of: other, seed: seed))
            #expect(staged[index] == alone, "seed \(seed), step \(step): a burst finds what each would")
        }
        #expect((found != nil) == (model[key] != nil), "seed \(seed), step \(step)")
        if let found {
            let index = table.index(of: found)
            let generation = table.links(of: found).pointee.generation
            #expect(index == model[key]!.index && generation == model[key]!.generation)
            let stored = table.key(of: found)
            #expect(stored == key)
            let handle = FlowHandle(worker: 0, index: index, generation: generation)
            let named = table.live(handle)
            #expect(named == found)
            if keys.random(2) == 0 {
                table.remove(found)
                let gone = table.live(handle)
                #expect(gone == nil)
                model[key] = nil
            }
        } else if let made = table.insert(key, hash: hash) {
            model[key] = (table.index(of: made), table.links(of: made).pointee.generation)
        } else {
            let isFull = table.isFull(isV6: key.isV6)
            #expect(isFull, "seed \(seed): refused only when full")
        }
        let count = table.count
        #expect(count == model.count)
    }
    #expect(Set(model.values.map(\.index)).count == model.count)
}

/// Random inserts and removes at the very bound: every insert below it succeeds, and what is in is found.
@Test(arguments: [false, true]) func aTableTakesAllThatItPromises(isV6: Bool) {
    let capacity = 100_000
    let seed: UInt64 = 0x5EED
    var table = FlowTable(FlowTable.Size(ipv4: capacity, ipv6: capacity), hashSeed: seed)
    func key(_ number: Int) -> PackedFlowKey {
        let client = isV6 ? IPAddress(high: 1 << 60, low: UInt64(number)) : IPAddress(v4: UInt32(number))
        return PackedFlowKey(
            FlowKey(
                client: client, clientPort: 1, server: isV6 ? IPAddress(high: 1, low: 1) : IPAddress(v4: 1),
                serverPort: 80))
    }
    var refused = 0
    for number in 0..<capacity where table.insert(key(number), hash: flowHash(of: key(number), seed: seed)) == nil {
        refused += 1
    }
    #expect(refused == 0)
    let beyond = table.insert(key(capacity), hash: flowHash(of: key(capacity), seed: seed))
    #expect(beyond == nil, "the capacity is a bound")
    // Old ones go, new ones come: the buckets stay as full as they can be.
    for number in 0..<3 * capacity {
        let old = key(number)
        guard let flow = table.find(old, hash: flowHash(of: old, seed: seed)) else {
            Issue.record("flow \(number) is lost")
            return
        }
        table.remove(flow)
        let new = key(number + capacity)
        if table.insert(new, hash: flowHash(of: new, seed: seed)) == nil { refused += 1 }
        guard refused == 0 else { break }
    }
    #expect(refused == 0, "refused after much change")
    let count = table.count
    #expect(count == capacity)
}

@Test func preludesAreGivenOnceAndComeBack() {
    var table = FlowTable(FlowTable.Size(ipv4: 8, ipv6: 8), hashSeed: 1)
    let keys = Keys(state: 1)
    var flows: [Flow] = []
    for number in 0..<UInt64(8) {
        let key = keys.key(number)
        guard let flow = table.insert(key, hash: flowHash(of: key, seed: 1)) else { continue }
        let isFree = table.hasFreePrelude
        #expect(isFree)
        table.givePrelude(flow)
        table.prelude(flow).pointee.rules = number
        flows.append(flow)
    }
    var rules: Set<UInt64> = []
    for flow in flows { rules.insert(table.prelude(flow).pointee.rules) }
    #expect(rules.count == flows.count)
    for flow in flows {
        table.dropPrelude(flow)
        table.dropPrelude(flow)
        table.remove(flow)
    }
    var left = 0
    while table.hasFreePrelude, left < 100, let flow = table.insert(keys.key(1), hash: 1) {
        table.givePrelude(flow)
        left += 1
        // Its own entry is forgotten, the prelude is not given back.
        flow.pointee.marks.remove(.hasPrelude)
        table.remove(flow)
    }
    let all = table.size.preludes
    #expect(left == all, "each prelude came back exactly once")
}

/// What `batond` prints and the documentation promises.
@Test func memoryOfAFlowIsAsPromised() {
    let million = 1_000_000
    #expect(FlowTable.Size(ipv4: 10 * million, ipv6: 1).byteCount <= 64 * 10 * million)
    #expect(FlowTable.Size(ipv4: 1, ipv6: 10 * million).byteCount <= 128 * 10 * million)
    #expect(MemoryLayout<FlowEntry>.size == 20 && MemoryLayout<FlowLinks>.stride == 16)
}
