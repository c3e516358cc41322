import CRTP
import Testing

/// What a receiver keeps, answers and refuses.
@Suite struct BlobReceiverTests {
    static func fragment(
        _ index: Int, of bytes: [UInt8], blob: UInt64 = 7, fragmentBytes: Int = 1_216
    ) -> BlobFragment {
        let count = max(1, (bytes.count + fragmentBytes - 1) / fragmentBytes)
        let range = index * fragmentBytes..<min(bytes.count, (index + 1) * fragmentBytes)
        return BlobFragment(
            blob: blob, length: UInt32(bytes.count), checksum: CRC32C.of(bytes), index: UInt16(index),
            count: UInt16(count), fragmentBytes: UInt16(fragmentBytes), bytes: Array(bytes[range]))
    }

    static func receive(
        _ receiver: inout BlobReceiver, _ fragment: BlobFragment, attempt: UInt8 = 0, from peer: Int = 0,
        now: UInt64 = 1
    ) -> BlobReceipt? {
        receiver.receive(fragment, attempt: attempt, from: peer, now: now)
    }

    // MARK: receipts

    @Test func receiptsAreForTheFirstEveryFourthAndTheLast() {
        var receiver = BlobReceiver()
        let bytes = blobBytes(1_216 * 11)
        let answered = (0..<11).filter { Self.receive(&receiver, Self.fragment($0, of: bytes)) != nil }
        #expect(answered == [0, 4, 8, 10])
        #expect(receiver.completed == [7] && receiver.peek(7) == bytes)
    }

    @Test func andForWhatIsOutOfOrderTwiceOrSentAgain() {
        var receiver = BlobReceiver()
        let bytes = blobBytes(1_216 * 20)
        func answer(_ index: Int, attempt: UInt8 = 0, from peer: Int = 0) -> [UInt8]? {
            Self.receive(&receiver, Self.fragment(index, of: bytes), attempt: attempt, from: peer)?.bitmap
        }
        #expect(answer(0) == [1] && answer(1) == nil)
        #expect(answer(3) == [0b1011], "a gap")
        #expect(answer(2) == [0b1111], "the gap is filled")
        #expect(answer(4) == nil && answer(4) == [0b1_1111], "twice")
        #expect(answer(5, attempt: 1) == [0b11_1111], "sent again")
        #expect(answer(6) == nil && answer(7, from: 1) == [0xFF], "by another peer")
        #expect(answer(19) == [0xFF, 0, 0b1000], "the last, and the bitmap ends with the highest")
        #expect(receiver.counters.duplicates == 1 && receiver.counters.kept == 9 && balances(receiver))
    }

    @Test func aWholeBlobIsAnsweredSoForThirtySecondsAfterItWasTaken() {
        var receiver = BlobReceiver()
        let bytes = blobBytes(2_000)
        for index in 0..<2 { _ = Self.receive(&receiver, Self.fragment(index, of: bytes), now: 1_000) }
        #expect(Self.receive(&receiver, Self.fragment(0, of: bytes), now: 2_000)?.state == .complete)
        #expect(receiver.has(BlobReference(identifier: 7, of: bytes)))
        #expect(!receiver.has(BlobReference(identifier: 7, of: blobBytes(2_000, seed: 1))))
        let taken = receiver.take(7, now: 3_000)
        let again = receiver.take(7, now: 3_000)
        #expect(taken == bytes && again == nil && receiver.peek(7) == nil && receiver.bytesHeld == 0)
        #expect(receiver.nextDeadline == 30_003_000)
        #expect(Self.receive(&receiver, Self.fragment(1, of: bytes), now: 30_002_999)?.state == .complete)
        // The same name for something else is not answered.
        #expect(Self.receive(&receiver, Self.fragment(0, of: blobBytes(1_999)), now: 30_002_999) == nil)
        #expect(receiver.counters.contradictions == 1 && receiver.blobsHeld == 0)
        #expect(Self.receive(&receiver, Self.fragment(1, of: bytes), now: 30_003_000)?.state == .receiving)
        #expect(receiver.counters.begun == 2 && balances(receiver))
    }

    @Test func aBlobThatNobodyWantsIsRefused() {
        var receiver = BlobReceiver()
        let bytes = blobBytes(5_000)
        _ = Self.receive(&receiver, Self.fragment(0, of: bytes))
        receiver.refuse(7, .unwanted, now: 1)
        receiver.refuse(8, .unwanted, now: 1)
        #expect(receiver.bytesHeld == 0 && receiver.counters.dropped == 1)
        #expect(Self.receive(&receiver, Self.fragment(1, of: bytes))?.state == .refused(.unwanted))
        #expect(receiver.counters.refusedAgain == 1 && receiver.blobsHeld == 0 && balances(receiver))
    }

    // MARK: bounds

    @Test func beyondItsShareAPeerIsRefusedAndOthersAreNot() {
        var limits = BlobReceiver.Limits()
        limits.blobsPerPeer = 3
        limits.bytesPerPeer = 50_000
        limits.blobs = 5
        limits.bytes = 80_000
        limits.longest = 40_000
        var receiver = BlobReceiver(limits: limits)
        func state(_ blob: UInt64, _ size: Int, from peer: Int) -> BlobReceipt.State? {
            Self.receive(&receiver, Self.fragment(0, of: blobBytes(size), blob: blob), from: peer)?.state
        }
        #expect(state(1, 40_001, from: 0) == .refused(.tooBig))
        #expect(state(1, 40_000, from: 0) == .receiving && state(2, 10_001, from: 0) == .refused(.busy))
        #expect(state(2, 9_000, from: 0) == .receiving && receiver.bytesHeld == 49_000)
        #expect(state(3, 1_000, from: 0) == .complete && state(4, 0, from: 0) == .refused(.busy), "blobs of one peer")
        #expect(state(5, 30_001, from: 1) == .refused(.busy) && state(5, 30_000, from: 1) == .receiving, "bytes in all")
        #expect(receiver.bytesHeld == 80_000 && state(6, 1, from: 1) == .refused(.busy))
        #expect(state(6, 0, from: 1) == .complete && state(7, 0, from: 2) == .refused(.busy), "blobs in all")
        #expect(receiver.counters.refusedBusy == 5 && receiver.counters.refusedTooBig == 1 && balances(receiver))
        // What is refused leaves nothing behind, and what goes makes room.
        #expect(receiver.blobsHeld == 5)
        _ = receiver.take(3, now: 1)
        #expect(state(4, 0, from: 0) == .complete)
        // Fragments of what is held are taken from anybody, and count for who began it.
        #expect(Self.receive(&receiver, Self.fragment(1, of: blobBytes(40_000), blob: 1), from: 2)?.state == .receiving)
        #expect(receiver.bytesHeld == 79_000 && balances(receiver))
    }

    @Test func theDefaultsAreWhatThePageSays() {
        let limits = BlobReceiver.Limits()
        #expect(limits.longest == 1_114_112 && limits.blobsPerPeer == 64 && limits.bytesPerPeer == 16 << 20)
        #expect(limits.bytes == 64 << 20 && limits.silenceMicroseconds == 30_000_000)
        var receiver = BlobReceiver()
        let long = BlobFragment(
            blob: 1, length: 1_114_113, checksum: 0, index: 0, count: 917, fragmentBytes: 1_216,
            bytes: [UInt8](repeating: 0, count: 1_216))
        #expect(Self.receive(&receiver, long)?.state == .refused(.tooBig))
        let states = (0..<70).map { number in
            Self.receive(&receiver, Self.fragment(0, of: blobBytes(1_217), blob: UInt64(number)))?.state
        }
        #expect(states.filter { $0 == .receiving }.count == 64 && states.last == .refused(.busy))
    }

    @Test func memoriesAreBounded() {
        var limits = BlobReceiver.Limits()
        limits.memories = 10
        var receiver = BlobReceiver(limits: limits)
        for blob in 0..<25 as Range<UInt64> {
            _ = Self.receive(&receiver, Self.fragment(0, of: [1], blob: blob))
            _ = receiver.take(blob, now: 1)
        }
        let begun = receiver.counters.begun
        for blob in 15..<25 as Range<UInt64> {
            #expect(Self.receive(&receiver, Self.fragment(0, of: [1], blob: blob))?.state == .complete)
        }
        #expect(receiver.counters.begun == begun && receiver.counters.duplicates == 10)
        _ = Self.receive(&receiver, Self.fragment(0, of: [1], blob: 14))
        #expect(receiver.counters.begun == begun + 1 && balances(receiver))
    }

    // MARK: time

    @Test func thirtySecondsWithoutAFragmentAreTheEnd() {
        var receiver = BlobReceiver()
        let bytes = blobBytes(5_000)
        _ = Self.receive(&receiver, Self.fragment(0, of: bytes), now: 1_000)
        _ = Self.receive(&receiver, Self.fragment(0, of: [1], blob: 8), now: 2_000)
        _ = Self.receive(&receiver, Self.fragment(1, of: bytes), now: 20_000_000)
        #expect(receiver.nextDeadline == 30_001_000)
        receiver.advance(to: 30_001_999)
        #expect(receiver.blobsHeld == 2 && receiver.nextDeadline == 30_002_000)
        // Whole, but nobody took it.
        receiver.advance(to: 30_002_000)
        #expect(receiver.blobsHeld == 1 && receiver.peek(8) == nil && receiver.nextDeadline == 50_000_000)
        receiver.advance(to: 49_999_999)
        #expect(receiver.blobsHeld == 1)
        receiver.advance(to: 50_000_000)
        #expect(receiver.blobsHeld == 0 && receiver.bytesHeld == 0 && receiver.nextDeadline == nil)
        #expect(receiver.counters.expired == 2 && balances(receiver))
    }

    // MARK: contradictions

    @Test func whatContradictsChangesNothing() {
        var receiver = BlobReceiver()
        let bytes = blobBytes(5_000)
        _ = Self.receive(&receiver, Self.fragment(0, of: bytes), now: 1_000)
        let deadline = receiver.nextDeadline
        var checksum = Self.fragment(1, of: bytes)
        checksum.checksum ^= 1
        let others = [
            checksum, Self.fragment(1, of: blobBytes(5_001)), Self.fragment(1, of: blobBytes(4_000)),
            Self.fragment(1, of: bytes, fragmentBytes: 1_212), Self.fragment(1, of: bytes, fragmentBytes: 1_000),
        ]
        for (number, other) in others.enumerated() {
            #expect(other.isConsistent && Self.receive(&receiver, other, now: 2_000) == nil)
            #expect(receiver.counters.contradictions == UInt64(number + 1))
        }
        var impossible = Self.fragment(1, of: bytes)
        impossible.bytes.removeLast()
        #expect(Self.receive(&receiver, impossible, now: 2_000) == nil && receiver.counters.malformed == 1)
        impossible.blob = 9
        #expect(Self.receive(&receiver, impossible, now: 2_000) == nil && receiver.counters.malformed == 2)
        #expect(receiver.counters.kept == 1 && receiver.blobsHeld == 1 && receiver.bytesHeld == 5_000)
        #expect(receiver.nextDeadline == deadline && balances(receiver))
        for index in 1..<5 { _ = Self.receive(&receiver, Self.fragment(index, of: bytes), now: 3_000) }
        #expect(receiver.take(7, now: 3_000) == bytes)
    }

    // MARK: against a model

    /// Fragments of a few blobs, some of them wrong, in any order from any peer: what is held is what a set of numbers
    /// says.
    @Test func itKeepsWhatASetWouldKeep() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        let blobs = (0..<6).map { blobBytes([0, 1, 1_217, 6_000, 12_160, 30_000][$0], seed: UInt64($0)) }
        var receiver = BlobReceiver()
        var model: [Int: Set<Int>] = [:]
        var whole: [Int: Int] = [:]
        for step in 0..<20_000 {
            let blob = Int.random(in: 0..<6, using: &random)
            let count = max(1, (blobs[blob].count + 1_215) / 1_216)
            let index = Int.random(in: 0..<count, using: &random)
            var fragment = Self.fragment(index, of: blobs[blob], blob: UInt64(blob))
            let isWrong = random.chance(10)
            if isWrong { fragment.checksum ^= 1 << UInt32.random(in: 0..<32, using: &random) }
            // A contradiction begins nothing only where something is held.
            if isWrong, model[blob] == nil { continue }
            let answer = Self.receive(
                &receiver, fragment, attempt: random.chance(20) ? 1 : 0, from: Int.random(in: 0..<3, using: &random),
                now: UInt64(step))
            if !isWrong { model[blob, default: []].insert(index) }
            if isWrong { #expect(answer == nil, "seed \(seed)") }
            if let answer, answer.state == .receiving {
                let said = (0..<count).filter { answer.has($0) }
                #expect(Set(said) == model[blob], "seed \(seed)")
            }
            #expect((receiver.peek(UInt64(blob)) != nil) == (model[blob]?.count == count), "seed \(seed)")
            if model[blob]?.count == count, random.chance(40) {
                #expect(receiver.take(UInt64(blob), now: UInt64(step)) == blobs[blob], "seed \(seed)")
                whole[blob, default: 0] += 1
                model[blob] = nil
                // So that it can begin again.
                receiver.advance(to: UInt64(step))
                receiver = BlobReceiver()
                model = [:]
            }
            #expect(receiver.bytesHeld == model.keys.reduce(0) { $0 + blobs[$1].count }, "seed \(seed)")
            #expect(balances(receiver), "seed \(seed)")
        }
        #expect(whole.count >= 4, "seed \(seed)")
    }
}
