import CRTP
import Testing

/// What a sender does without a receiver: bounds, time, and receipts that are made up.
@Suite struct BlobSenderTests {
    /// Fragments that the sender wants to be sent, which are taken out.
    static func takeFragments(_ sender: inout BlobSender) -> [(index: Int, attempt: UInt8)] {
        let actions = sender.actions
        sender.actions = []
        return actions.compactMap { action in
            guard case .send(let frame) = action, case .blob(let fragment) = frame.message else { return nil }
            return (Int(fragment.index), frame.attempt)
        }
    }

    static func bitmap(_ indices: some Sequence<Int>) -> [UInt8] {
        var bitmap: [UInt8] = []
        for index in indices {
            while bitmap.count <= index / 8 { bitmap.append(0) }
            bitmap[index / 8] |= 1 << (index % 8)
        }
        return bitmap
    }

    static func receipt(_ indices: some Sequence<Int>, to index: Int, of blob: UInt64 = 7) -> BlobReceipt {
        BlobReceipt(blob: blob, state: .receiving, index: UInt16(index), bitmap: bitmap(indices))
    }

    // MARK: bounds

    @Test func framesAreNoLongerThanTheINITThatPassed() {
        for initiateBytes in [256, 257, 258, 259, 600, 1_280, 1_291, 1_292, 1_400, 1_472, 9_000] {
            var sender = BlobSender(initiateBytes: initiateBytes)
            let isAccepted = sender.send(blobBytes(5_000), identifier: 1, now: 0)
            #expect(isAccepted)
            for case .send(let frame) in sender.actions {
                #expect(MessageCodec.byteCount(frame.message) + 48 <= min(initiateBytes, 1_292))
            }
        }
        #expect(BlobSender.fragmentBytes(initiateBytes: 1_400) == 1_216)
        #expect(BlobSender.fragmentBytes(initiateBytes: 256) == 180)
        // The longest blob goes by the shortest path, too.
        var sender = BlobSender(initiateBytes: 256)
        let isAccepted = sender.send(blobBytes(ConnectionBlob.longest), identifier: 1, now: 0)
        #expect(isAccepted)
    }

    @Test func whatIsTooMuchIsNotAccepted() {
        var limits = BlobSender.Limits()
        limits.blobs = 3
        limits.bytes = 10_000
        limits.longest = 8_000
        var sender = BlobSender(limits: limits)
        func send(_ size: Int, _ identifier: UInt64) -> Bool {
            sender.send(blobBytes(size), identifier: identifier, now: 5)
        }
        #expect(!send(8_001, 1) && send(8_000, 1) && !send(0, 1) && !send(2_001, 2) && send(2_000, 2))
        #expect(send(0, 3) && !send(0, 4))
        #expect(sender.counters.notAccepted == 4 && sender.identifiers == [1, 2, 3])
        let bytes = sender.cancel(1, now: 6)
        #expect(bytes == blobBytes(8_000) && sender.cancel(1, now: 6) == nil)
        #expect(send(0, 4) && !send(0, 5) && balances(sender))
        // What was accepted and is not to be sent any more is not sent.
        sender.actions = []
        for identifier in [2, 3, 4] as [UInt64] { sender.cancel(identifier, now: 7) }
        sender.advance(to: 60_000_000)
        #expect(sender.actions.isEmpty && sender.nextDeadline == nil && balances(sender))
    }

    // MARK: the window

    @Test func itBeginsWithSixteenAndEndsAt256() {
        var relay = BlobRelay()
        relay.impairment.delay = 10_000...10_000
        let isAccepted = relay.send(blobBytes(ConnectionBlob.longest), identifier: 7)
        #expect(isAccepted && relay.fragments.count == 16)
        relay.run()
        // Round trips take 20 ms: what goes out in one of them was under way together.
        let rounds = Dictionary(grouping: relay.fragments) { ($0.at - 1_000_000) / 20_000 }
        let sizes = rounds.keys.sorted().map { rounds[$0]!.count }
        #expect(sizes[0] == 16 && sizes.max() ?? 0 <= 256 && relay.again == 0, "\(sizes)")
    }

    @Test func theWindowIsSharedByABlobsPeers() {
        var sender = BlobSender()
        for identifier in 1...64 as ClosedRange<UInt64> {
            let isAccepted = sender.send(blobBytes(2_000), identifier: identifier, now: 0)
            #expect(isAccepted)
        }
        #expect(Self.takeFragments(&sender).count == 16)
    }

    @Test func oneLossHalvesItOnce() {
        var relay = BlobRelay()
        relay.impairment.delay = 10_000...10_000
        // Three of one round.
        relay.losesFragment = { number, _ in [50, 51, 60].contains(number) }
        let isAccepted = relay.send(blobBytes(1 << 20), identifier: 7)
        relay.run()
        let rounds = Dictionary(grouping: relay.fragments) { ($0.at - 1_000_000) / 20_000 }
        let sizes = rounds.keys.sorted().map { rounds[$0]!.count }
        #expect(isAccepted && relay.again == 3 && sizes[0] == 16, "\(sizes)")
        #expect(relay.senders[0].counters.timeouts == 0 && relay.senders[0].counters.overtaken == 3)
        // Lost in the third round, noticed in the fourth.
        #expect(sizes[4] >= sizes[2] / 2 && sizes[4] <= sizes[2] * 2 / 3, "\(sizes)")
    }

    @Test func threeLaterOnesAndNotTwoMakeALoss() {
        var sender = BlobSender()
        let isAccepted = sender.send(blobBytes(20_000), identifier: 7, now: 0)
        #expect(isAccepted && Self.takeFragments(&sender).count == 16)
        sender.receive(Self.receipt([1, 2], to: 2), attempt: 0, now: 1_000)
        #expect(Self.takeFragments(&sender).allSatisfy { $0.attempt == 0 })
        sender.receive(Self.receipt([1, 2, 3], to: 3), attempt: 0, now: 1_100)
        let sent = Self.takeFragments(&sender)
        #expect(
            sent.first.map { $0.index == 0 && $0.attempt == 1 } == true
                && sent.dropFirst().allSatisfy { $0.attempt == 0 })
        // The second copy has been overtaken by nothing yet.
        sender.receive(Self.receipt([1, 2, 3, 4, 5, 6], to: 6), attempt: 0, now: 1_200)
        #expect(Self.takeFragments(&sender).allSatisfy { $0.attempt == 0 })
        #expect(sender.counters.overtaken == 1)
    }

    // MARK: time

    @Test func pausesDoubleUpToASecondAndThenItHasFailed() {
        var relay = BlobRelay()
        relay.deadChannels = [0]
        let isAccepted = relay.send(blobBytes(1_000), identifier: 7)
        relay.run()
        #expect(isAccepted && relay.outcomes == [.failed(7, .unanswered)])
        let times = relay.fragments.map(\.at)
        let pauses = zip(times.dropFirst(), times).map { $0 - $1 }
        #expect(Array(pauses.prefix(4)) == [100_000, 200_000, 400_000, 800_000])
        #expect(pauses.dropFirst(4).allSatisfy { $0 == 1_000_000 } && pauses.count == 12)
        #expect(relay.now == 11_000_000 && relay.senders[0].counters.unanswered == 1)
        #expect(relay.fragments.map(\.attempt) == Array(0..<13))
        #expect(balances(relay.senders[0]))
    }

    @Test func onlyOneCopyGoesIntoTheDark() {
        var relay = BlobRelay()
        relay.deadChannels = [0]
        let isAccepted = relay.send(blobBytes(100_000), identifier: 7)
        relay.run(for: 5_000_000)
        #expect(isAccepted && relay.fragments.filter { $0.at == 1_000_000 }.count == 16)
        #expect(Dictionary(grouping: relay.fragments.dropFirst(16), by: \.at).values.allSatisfy { $0.count == 1 })
        // And when it is light again, what arrived in the meantime does not go again.
        relay.deadChannels = []
        relay.run()
        #expect(relay.outcomes == [.delivered(7)] && relay.again == relay.fragmentsLost)
    }

    /// When only receipts are lost, one copy brings the receipt for all.
    @Test func whatArrivedWithoutAReceiptDoesNotGoAgain() {
        for size in [3_000, 15_000, 19_456, 200_000] {
            var relay = BlobRelay()
            relay.losesReceipt = { number, _ in number < 5 }
            let isAccepted = relay.send(blobBytes(size), identifier: 7)
            relay.run()
            #expect(isAccepted && relay.outcomes == [.delivered(7)] && relay.senders[0].counters.timeouts > 0)
            #expect(relay.again == relay.senders[0].counters.timeouts, "\(size)")
        }
    }

    @Test func theTimerFollowsTheRoundTrip() {
        for (delay, least, most) in [(100, 5_000, 5_000), (20_000, 41_000, 65_000), (400_000, 801_000, 1_000_000)] {
            var relay = BlobRelay()
            relay.impairment.delay = UInt64(delay)...UInt64(delay)
            let isAccepted = relay.send(blobBytes(1 << 20), identifier: 7)
            #expect(isAccepted)
            relay.run { $0.senders[0].counters.used == 40 }
            relay.cut()
            relay.deadChannels = [0]
            let (heard, again) = (relay.now, relay.again)
            relay.run { $0.again > again }
            let pause = relay.now - heard
            #expect(pause >= least && pause <= most, "\(delay): \(pause)")
        }
    }

    /// Karn's question is answered by the frame's attempt: the first copy's answer is not taken for the second's.
    @Test func aLateAnswerIsNoShortRoundTrip() {
        func pause(afterAnswerTo attempt: UInt8) -> UInt64 {
            var sender = BlobSender()
            let isAccepted = sender.send(blobBytes(3_000), identifier: 7, now: 0)
            #expect(isAccepted)
            // The last one's second copy goes at 100 ms, the answer comes 1 ms later.
            sender.advance(to: 100_000)
            sender.receive(Self.receipt([2], to: 2), attempt: attempt, now: 101_000)
            return sender.nextDeadline.map { $0 - 101_000 } ?? 0
        }
        #expect(pause(afterAnswerTo: 1) == 5_000)
        #expect(pause(afterAnswerTo: 0) >= 100_000)
    }

    @Test func slowProgressIsProgress() {
        var sender = BlobSender()
        let isAccepted = sender.send(blobBytes(10_000), identifier: 7, now: 0)
        let waits = sender.send(blobBytes(100), identifier: 8, now: 0)
        #expect(isAccepted && waits)
        var now: UInt64 = 0
        for index in 0..<7 {
            for _ in 0..<9 {
                now += 1_000_000
                sender.advance(to: now)
            }
            sender.receive(Self.receipt(0...index, to: index), attempt: 0, now: now)
        }
        // The other one was tried all the time, and nobody ever said anything about it.
        #expect(sender.identifiers == [7] && sender.actions.contains(.failed(8, .unanswered)))
        // Being told the same again is none.
        for _ in 0..<9 {
            now += 1_000_000
            sender.advance(to: now)
            sender.receive(Self.receipt(0...6, to: 6), attempt: 0, now: now)
        }
        #expect(sender.identifiers == [7])
        sender.actions = []
        sender.advance(to: now + 1_000_000)
        #expect(sender.actions.contains(.failed(7, .unanswered)) && balances(sender))
    }

    @Test func aBlobThatIsNotAnsweredDoesNotStopTheOthers() {
        var relay = BlobRelay()
        relay.losesFragment = { _, fragment in fragment.blob == 1 }
        for identifier in 1...4 as ClosedRange<UInt64> {
            let isAccepted = relay.send(blobBytes(30_000), identifier: identifier)
            #expect(isAccepted)
        }
        relay.run(for: 30_000_000)
        #expect(Set(relay.delivered) == [2, 3, 4] && relay.outcomes.contains(.failed(1, .unanswered)))
        #expect(balances(relay.senders[0]))
    }

    // MARK: receipts that are made up

    @Test func strangeReceiptsChangeNothing() {
        var sender = BlobSender()
        let isAccepted = sender.send(blobBytes(30_000), identifier: 7, now: 0)
        #expect(isAccepted)
        sender.actions = []
        let deadline = sender.nextDeadline
        // Of another blob; to a fragment that there is not, that was not sent yet, to a copy that was not sent.
        sender.receive(Self.receipt([0], to: 0, of: 8), attempt: 0, now: 10)
        for (index, attempt) in [(25, 0), (65_535, 0), (20, 0), (0, 1), (0, 128), (0, 255)] {
            for state in [BlobReceipt.State.receiving, .complete, .refused(.busy)] {
                sender.receive(
                    BlobReceipt(blob: 7, state: state, index: UInt16(index), bitmap: [0xFF, 0xFF, 0xFF, 0xFF]),
                    attempt: UInt8(attempt), now: 10)
            }
        }
        #expect(sender.actions.isEmpty && sender.nextDeadline == deadline && sender.identifiers == [7])
        #expect(sender.counters.unknownReceipts == 1 && sender.counters.staleReceipts == 18 && balances(sender))
        // Bits behind the last fragment say nothing.
        sender.receive(
            BlobReceipt(
                blob: 7, state: .receiving, index: 0, bitmap: [1, 0, 0, 0xFE] + [UInt8](repeating: 0xFF, count: 1_212)),
            attempt: 0, now: 20)
        let sent = Self.takeFragments(&sender).map(\.index)
        #expect(sent.allSatisfy { $0 < 25 } && sender.counters.used == 1)
        // They are not taken for those that are missing either.
        let some = Self.bitmap(Array(0..<18) + Array(25..<32))
        sender.receive(BlobReceipt(blob: 7, state: .receiving, index: 1, bitmap: some), attempt: 0, now: 30)
        #expect(sender.counters.restarts == 0 && sender.counters.used == 2)
    }

    @Test func aReceiptFromBeforeABlobWasBegunAnewIsOld() {
        var sender = BlobSender()
        let isAccepted = sender.send(blobBytes(5_000), identifier: 7, now: 0)
        #expect(isAccepted && Self.takeFragments(&sender).count == 5)
        sender.receive(
            BlobReceipt(blob: 7, state: .refused(.checksum), index: 4), attempt: 0, now: 1_000)
        #expect(Self.takeFragments(&sender).map(\.index) == [0])
        sender.receive(Self.receipt(0..<4, to: 3), attempt: 0, now: 1_100)
        #expect(sender.counters.staleReceipts == 1 && sender.actions.isEmpty)
        sender.receive(Self.receipt([0], to: 0), attempt: 128, now: 2_000)
        let sent = Self.takeFragments(&sender)
        #expect(sent.map(\.index) == [1, 2, 3, 4] && sent.allSatisfy { $0.attempt == 128 })
    }

    /// A peer that has all of it and does not say so is asked, not believed, and not for ever.
    @Test func aReceiverThatNeverFinishesIsGivenUp() {
        var sender = BlobSender()
        let isAccepted = sender.send(blobBytes(5_000), identifier: 7, now: 0)
        #expect(isAccepted)
        var now: UInt64 = 0
        while !sender.identifiers.isEmpty, now < 60_000_000 {
            now += 1_000
            for (index, attempt) in Self.takeFragments(&sender) {
                sender.receive(Self.receipt(0..<5, to: index), attempt: attempt, now: now)
            }
            sender.advance(to: now)
        }
        #expect(sender.counters.unanswered == 1 && now <= 10_100_000 && balances(sender))
        #expect(sender.counters.fragments < 12_000)
    }
}
