import CRTP
import Testing
import Wire

/// A network that changes what it carries, sends recordings, and makes things up.
@Suite struct GarbledNetworkTests {
    private static func garble(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
        case 1: bytes += random.bytes(Int.random(in: 1...40, using: &random))
        case 2: bytes = random.bytes(Int.random(in: 0...200, using: &random))
        default:
            for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<min(bytes.count, 64), using: &random)] ^=
                    1 << UInt8.random(in: 0..<8, using: &random)
            }
        }
        // Often with a length that is right, so that it gets further than the first check.
        if bytes.count >= 48, random.chance(70) {
            bytes[4] = UInt8(bytes.count >> 8)
            bytes[5] = UInt8(bytes.count & 0xFF)
        }
        return bytes
    }

    @Test(arguments: 0..<10) func nothingGetsThroughAndNothingBreaks(_ round: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        var pair = Pair(seed: seed)
        var recorded: [[UInt8]] = []
        var wrong = 0
        pair.maximumDelay = 2_000
        pair.start()
        for step in 0..<300 {
            let frame = Frame(.transferACK, transaction: UInt32(step), attempt: 200)
            if let bytes = pair.initiator.send(frame) { pair.carry(bytes, toAgent: true) }
            if let bytes = pair.responder.send(frame, to: directorEndpoint) { pair.carry(bytes, toAgent: false) }
            recorded += pair.toAgent.map(\.bytes) + pair.toDirector.map(\.bytes)
            for bytes in recorded.suffix(8) {
                let spoilt = random.chance(30) ? recorded.randomElement(using: &random)! : Self.garble(bytes, &random)
                if random.chance(50) {
                    pair.toAgent.append((pair.now, spoilt))
                } else {
                    pair.toDirector.append((pair.now, spoilt))
                }
            }
            pair.run(for: 40_000)
        }
        for frame in (pair.fromInitiator + pair.fromResponder).compactMap(\.frame) where frame.attempt != 200 {
            wrong += 1
        }
        #expect(wrong == 0, "seed \(seed)")
        for actions in [pair.fromInitiator, pair.fromResponder] {
            let transactions = actions.compactMap(\.frame?.transaction)
            #expect(Set(transactions).count == transactions.count, "each frame at most once; seed \(seed)")
            #expect(transactions.count >= 250, "seed \(seed)")
        }
        #expect(pair.fromInitiator.allSatisfy { $0.downReason == nil }, "seed \(seed)")
        #expect(balances(pair.initiator.counters) && balances(pair.responder.counters))
        #expect(pair.responder.counters.unauthenticated > 0 && pair.responder.counters.replayed > 0)
        pair.run(for: 5_000_000)
        #expect(pair.isUp, "seed \(seed)")
    }
}
