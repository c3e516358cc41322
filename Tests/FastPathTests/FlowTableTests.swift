import FastPath
import InterCore
import Testing
import Wire

/// The flow table against a dictionary; the seed of a failure is printed.
@Test(arguments: [UInt64(1), 2, 3, UInt64.random(in: 4...UInt64.max)])
func flowTableAgreesWithADictionary(seed: UInt64) {
    var state = seed
    func random(_ bound: UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) % bound
    }
    func key(_ number: UInt64) -> FlowKey {
        FlowKey(
            client: IPAddress(v4: 0x0A00_0000 | UInt32(number >> 4)), clientPort: UInt16(number & 15),
            server: IPAddress(v4: 1), serverPort: 80, vlan: number & 1 == 0 ? .untagged : VLAN(7))
    }
    var table = FlowTable(capacity: 512)
    var model: [FlowKey: (index: UInt32, generation: UInt32)] = [:]
    var refused = 0
    for step in 0..<20_000 {
        let key = key(random(1_200))
        let hash = flowHash(of: key, seed: seed)
        let found = table.find(key, hash: hash)
        #expect((found != nil) == (model[key] != nil), "seed \(seed), step \(step)")
        if let found {
            let index = table.index(of: found)
            #expect(index == model[key]!.index && found.pointee.generation == model[key]!.generation)
            if random(2) == 0 {
                table.remove(found)
                let isLive = table.isLive(found)
                #expect(!isLive)
                model[key] = nil
            }
        } else if let made = table.insert(key, hash: hash) {
            model[key] = (table.index(of: made), made.pointee.generation)
        } else {
            refused += 1
            #expect(model.count == 512, "seed \(seed): refused only when full")
        }
        let count = table.count
        #expect(count == model.count)
    }
    #expect(Set(model.values.map(\.index)).count == model.count)
}

@Test func layoutsOfTheTableAreWhatTheCodeAssumes() {
    #expect(FlowTable.stride % 64 == 0)
    #expect(MemoryLayout<FlowEntry>.stride <= FlowTable.stride)
}
