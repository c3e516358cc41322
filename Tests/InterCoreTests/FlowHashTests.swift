import InterCore
import Testing
import Wire

private func key(_ number: UInt32, port: UInt16) -> FlowKey {
    FlowKey(
        client: IPAddress(v4: 0x0A00_0000 + number), clientPort: port, server: IPAddress(v4: 0x0A01_0001),
        serverPort: 80)
}

@Test func ownersAreEvenlyLoadedAndWithinBounds() {
    for workerCount in 1...7 {
        var loads = [Int](repeating: 0, count: workerCount)
        for number in 0..<100 {
            for port in 0..<100 {
                loads[
                    flowOwner(of: key(UInt32(number), port: 1_024 + UInt16(port)), seed: 42, workerCount: workerCount)] +=
                    1
            }
        }
        let fair = 10_000 / workerCount
        #expect(loads.allSatisfy { abs($0 - fair) < fair / 5 }, "\(loads)")
    }
}

@Test func everyFieldOfTheKeyChangesTheHash() {
    let base = key(1, port: 1)
    var variants = [base]
    for change in 0..<6 {
        var other = base
        switch change {
        case 0: other.client.low ^= 1
        case 1: other.client.high ^= 1
        case 2: other.server.low ^= 1
        case 3: other.clientPort ^= 1
        case 4: other.serverPort ^= 1
        default: other.vlan = VLAN(7)
        }
        variants.append(other)
    }
    #expect(Set(variants.map { flowHash(of: $0, seed: 1) }).count == variants.count)
    #expect(flowHash(of: base, seed: 1) != flowHash(of: base, seed: 2))
}

@Test func canaryHoldsItsShare() {
    #expect(!(0..<1_000).contains { isCanary(hash: flowHash(of: key($0, port: 9), seed: 3), percent: 0) })
    #expect((0..<1_000).allSatisfy { isCanary(hash: flowHash(of: key($0, port: 9), seed: 3), percent: 100) })
    let chosen = (0..<10_000).count { isCanary(hash: flowHash(of: key(UInt32($0), port: 9), seed: 3), percent: 20) }
    #expect((1_800...2_200).contains(chosen))
}

/// Addresses that would make a product zero if the seed were in one of its factors only: whoever chose them could send
/// any number of connections into one bucket.
@Test func noAddressMakesTheOthersMeaningless() {
    let constants: [UInt64] = [
        0xD1B5_4A32_D192_ED03, 0x8CB9_2BA7_2F3D_8DD7, 0xAAAA_AAAA_5555_5555, 0x9E37_79B9_7F4A_7C15, 0,
    ]
    for constant in constants {
        for turn in [constant, constant.byteSwapped] {
            for field in 0..<4 {
                let hashes = (1...100).map { (number: UInt64) in
                    var words: [UInt64] = [1, 2, 3, 4]
                    words[field] = turn
                    words[field ^ 1] = number
                    let key = PackedFlowKey(
                        clientHigh: words[0], clientLow: words[1], serverHigh: words[2], serverLow: words[3],
                        ports: 0x5000_9C40)
                    return flowHash(of: key, seed: 0x1234_5678_9ABC_DEF1)
                }
                #expect(Set(hashes).count == hashes.count, "word \(field) is \(turn)")
            }
        }
    }
}
