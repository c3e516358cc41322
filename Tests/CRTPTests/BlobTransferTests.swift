import CRTP
import Testing

/// A sender and a receiver with a network between them.
@Suite struct BlobTransferTests {
    static let sizes = [0, 1, 1_215, 1_216, 1_217, 5_000, 64 << 10, 1 << 20, ConnectionBlob.longest]

    static func fragments(_ size: Int) -> Int { max(1, (size + 1_215) / 1_216) }

    @Test(arguments: sizes) func overAGoodPathEachFragmentGoesOnce(_ size: Int) {
        var relay = BlobRelay()
        let bytes = blobBytes(size)
        let isAccepted = relay.send(bytes, identifier: 7)
        #expect(isAccepted)
        relay.run()
        #expect(relay.outcomes == [.delivered(7)] && relay.taken.map(\.bytes) == [bytes])
        #expect(relay.fragments.count == Self.fragments(size) && relay.again == 0)
        #expect(relay.fragments.allSatisfy { $0.attempt == 0 && $0.fragment.bytes.count <= 1_216 })
        // The first one is answered, every fourth, and the last.
        #expect(relay.receipts.count <= Self.fragments(size) / 4 + 2)
        #expect(relay.receipts.last?.receipt.state == .complete)
        #expect(relay.senders[0].nextDeadline == nil && relay.senders[0].counters.timeouts == 0)
        #expect(balances(relay.receiver) && balances(relay.senders[0]))
    }

    /// 20 % are lost and 5 % of the others damaged, which is lost too; 10 % come twice; they overtake each other.
    @Test(arguments: sizes, 0..<6) func overABadPathTheyArrive(_ size: Int, _ round: UInt64) {
        let seed = UInt64.random(in: .min ... .max)
        var relay = BlobRelay(seed: seed)
        relay.impairment = .init(lossPercent: 24, duplicatePercent: 10, delay: 500...500 + round * 1_500)
        let bytes = blobBytes(size, seed: seed)
        let isAccepted = relay.send(bytes, identifier: 7)
        #expect(isAccepted)
        relay.run(for: 300_000_000)
        #expect(relay.outcomes == [.delivered(7)] && relay.taken.map(\.bytes) == [bytes], "seed \(seed)")
        // Beyond what was lost, only what was overtaken by three or whose receipts were lost.
        let bound = relay.fragmentsLost + Self.fragments(size) / 8 + 8
        #expect(relay.again <= bound, "seed \(seed)")
        #expect(balances(relay.receiver) && balances(relay.senders[0]), "seed \(seed)")
    }

    /// Where nothing overtakes and every receipt comes, nothing goes twice that was not lost.
    @Test(arguments: [5, 20, 50]) func onlyWhatIsLostGoesAgain(_ lossPercent: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        var relay = BlobRelay(seed: seed)
        let lost = (0..<20_000).map { _ in random.chance(lossPercent) }
        relay.losesFragment = { number, _ in lost[number] }
        let bytes = blobBytes(256 << 10, seed: seed)
        let isAccepted = relay.send(bytes, identifier: 7)
        #expect(isAccepted)
        relay.run(for: 300_000_000)
        #expect(relay.taken.map(\.bytes) == [bytes], "seed \(seed)")
        #expect(relay.again == relay.fragmentsLost && relay.fragmentsLost > 0, "seed \(seed)")
    }

    @Test func anySingleFrameMayBeLost() {
        let bytes = blobBytes(12_000)
        for lost in 0..<10 {
            var relay = BlobRelay()
            relay.losesFragment = { number, _ in number == lost }
            let isAccepted = relay.send(bytes, identifier: 7)
            relay.run()
            #expect(isAccepted && relay.taken.map(\.bytes) == [bytes] && relay.outcomes == [.delivered(7)])
            #expect(relay.again == 1 && relay.fragments[10].fragment.index == lost, "fragment \(lost)")
        }
        for lost in 0..<4 {
            var relay = BlobRelay()
            relay.losesReceipt = { number, _ in number == lost }
            let isAccepted = relay.send(bytes, identifier: 7)
            relay.run()
            #expect(isAccepted && relay.taken.map(\.bytes) == [bytes] && relay.outcomes == [.delivered(7)])
            #expect(relay.receiptsLost == 1 && relay.again <= 1, "receipt \(lost)")
        }
    }

    // MARK: another channel

    /// The first channel dies with some fragments there; another director's goes on.
    @Test func anotherChannelBringsOnlyWhatIsMissing() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        let bytes = blobBytes(40_000)
        for round in 0..<60 {
            var relay = BlobRelay(seed: seed, channels: 2)
            let count = Self.fragments(bytes.count)
            // First the beginning, then any of them.
            let some =
                round <= count
                ? Set(0..<round)
                : Set((0..<count).shuffled(using: &random).prefix(.random(in: 0...count, using: &random)))
            relay.losesFragment = { _, fragment in !some.contains(Int(fragment.index)) }
            let isAccepted = relay.send(bytes, identifier: 7)
            #expect(isAccepted)
            relay.run(for: 4_000_000)
            let there = Set(relay.arrived.map(\.index))
            let isWhole = there.count == count
            #expect(there.isSubset(of: some) && relay.taken.isEmpty != isWhole)
            relay.cut()
            let kept = relay.senders[0].cancel(7, now: relay.now)
            #expect(isWhole || kept == bytes)
            let before = relay.fragments.count
            relay.losesFragment = { _, _ in false }
            let goesOn = relay.send(bytes, identifier: 7, channel: 1, mayBeThere: true)
            relay.run()
            #expect(goesOn && relay.delivered.contains(7) && relay.taken.map(\.bytes) == [bytes], "seed \(seed)")
            let sent = relay.fragments[before...]
            // The first one asks what is there, so that one may be there already.
            let due = count - there.count + (there.contains(0) ? 1 : 0)
            #expect(sent.count == due && sent.allSatisfy { $0.channel == 1 }, "seed \(seed), round \(round)")
            #expect(relay.receiver.blobsHeld == 0 && relay.receiver.bytesHeld == 0)
            #expect(balances(relay.receiver) && balances(relay.senders[0]) && balances(relay.senders[1]))
        }
    }

    @Test func whileOneAsksAnotherGoesOnAndNothingGoesTwice() {
        var relay = BlobRelay()
        let blobs = [(1, 30_000, true), (2, 50_000, false), (3, 0, true), (4, 9_000, true), (5, 20_000, false)]
        for (identifier, size, mayBeThere) in blobs {
            let isAccepted = relay.send(
                blobBytes(size, seed: UInt64(identifier)), identifier: UInt64(identifier), mayBeThere: mayBeThere)
            #expect(isAccepted)
        }
        relay.run()
        #expect(Set(relay.delivered) == [1, 2, 3, 4, 5] && relay.again == 0)
        #expect(relay.fragments.count == blobs.reduce(0) { $0 + Self.fragments($1.1) })
        for (identifier, bytes) in relay.taken {
            #expect(bytes == blobBytes(blobs[Int(identifier) - 1].1, seed: identifier))
        }
    }

    @Test func manyBlobsOverTwoBadChannels() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        var relay = BlobRelay(seed: seed, channels: 2)
        relay.impairment = .init(lossPercent: 15, duplicatePercent: 10, delay: 200...4_000)
        var given: [UInt64: [UInt8]] = [:]
        for identifier in 0..<60 as Range<UInt64> {
            let bytes = blobBytes(Int.random(in: 0...40_000, using: &random), seed: identifier)
            let isAccepted = relay.send(bytes, identifier: identifier, channel: Int(identifier % 2))
            #expect(isAccepted)
            given[identifier] = bytes
        }
        relay.run(for: 300_000_000) { $0.isIdle }
        #expect(relay.isIdle && relay.delivered.count == 60, "seed \(seed)")
        #expect(Dictionary(relay.taken.map { ($0.identifier, $0.bytes) }, uniquingKeysWith: { a, _ in a }) == given)
        #expect(relay.taken.count == 60 && balances(relay.receiver), "seed \(seed)")
    }

    // MARK: damage that no tag has seen

    @Test func aDamagedBlobIsSentOnceMore() {
        let bytes = blobBytes(20_000)
        var relay = BlobRelay()
        relay.spoils = { $0 == 3 }
        let isAccepted = relay.send(bytes, identifier: 7)
        relay.run()
        #expect(isAccepted && relay.taken.map(\.bytes) == [bytes] && relay.outcomes == [.delivered(7)])
        #expect(relay.receiver.counters.checksumFailures == 1 && relay.senders[0].counters.restarts == 1)
        #expect(relay.fragments.count == 2 * Self.fragments(bytes.count))
        #expect(relay.receipts.contains { $0.receipt.state == .refused(.checksum) })
        #expect(balances(relay.receiver) && balances(relay.senders[0]))
    }

    @Test(arguments: [1, 1_217, 20_000]) func andNotASecondTime(_ size: Int) {
        var relay = BlobRelay()
        let last = 2 * Self.fragments(size) - 1
        relay.spoils = { $0 == 0 || $0 == last }
        let isAccepted = relay.send(blobBytes(size), identifier: 7)
        relay.run(for: 20_000_000)
        #expect(isAccepted && relay.taken.isEmpty && relay.outcomes == [.failed(7, .refused(.checksum))])
        #expect(relay.receiver.counters.checksumFailures == 2 && relay.receiver.blobsHeld == 0)
        // Whoever tries again is told so, and nothing is kept.
        let insists = relay.send(blobBytes(size), identifier: 7)
        relay.run(for: 5_000_000)
        #expect(insists && relay.outcomes.count == 2 && relay.outcomes[1] == .failed(7, .refused(.checksum)))
        #expect(relay.receiver.counters.begun == 2 && relay.receiver.counters.refusedAgain > 0)
        #expect(balances(relay.receiver) && balances(relay.senders[0]))
    }

    /// Whatever changes, what is taken out is what was sent.
    @Test(arguments: 0..<10) func nothingDamagedIsEverTakenOut(_ round: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        let damaged = (0..<5_000).map { _ in random.chance(5) }
        var relay = BlobRelay(seed: seed)
        relay.impairment = .init(lossPercent: 10, duplicatePercent: 5, delay: 500...3_000)
        relay.spoils = { damaged[$0] }
        var outcomes = 0
        for identifier in 1...20 as ClosedRange<UInt64> {
            let size = Int.random(in: 0...30_000, using: &random)
            let isAccepted = relay.send(blobBytes(size, seed: identifier), identifier: identifier)
            relay.run(for: 60_000_000) { $0.isIdle }
            let taken = relay.taken.filter { $0.identifier == identifier }
            #expect(isAccepted && taken.allSatisfy { $0.bytes == blobBytes(size, seed: identifier) }, "seed \(seed)")
            #expect(relay.delivered.contains(identifier) == (taken.count == 1), "seed \(seed)")
            outcomes += 1
            #expect(relay.outcomes.count == outcomes, "seed \(seed)")
        }
        #expect(relay.receiver.counters.checksumFailures > 0 && balances(relay.receiver), "seed \(seed)")
    }

    // MARK: a receiver that lacks what it had

    @Test func whatTheReceiverHasForgottenIsBroughtAgain() {
        let bytes = blobBytes(60_000)
        var relay = BlobRelay()
        let isAccepted = relay.send(bytes, identifier: 7)
        relay.run { $0.receipts.count == 4 }
        relay.receiver = BlobReceiver()
        relay.run()
        #expect(isAccepted && relay.taken.map(\.bytes) == [bytes] && relay.outcomes == [.delivered(7)])
        #expect(relay.senders[0].counters.restarts == 1 && relay.fragments.count < 3 * Self.fragments(bytes.count))
    }

    @Test func aRefusalIsTheEndOfThatBlobOnly() {
        var limits = BlobReceiver.Limits()
        limits.longest = 10_000
        var relay = BlobRelay(limits: limits)
        let accepted = [(1, 5_000), (2, 10_001), (3, 10_000)].map { identifier, size in
            relay.send(blobBytes(size), identifier: UInt64(identifier))
        }
        relay.run()
        #expect(accepted == [true, true, true] && Set(relay.delivered) == [1, 3])
        #expect(relay.outcomes.contains(.failed(2, .refused(.tooBig))) && relay.outcomes.count == 3)
        #expect(relay.senders[0].counters.refused == 1 && balances(relay.senders[0]) && balances(relay.receiver))
    }
}
