import Adoption
import CRTP
import Testing
import Wire

@Suite struct TransferLedgerTests {
    private let director = Endpoint("10.0.0.2:7270")!
    private var ledger = TransferLedger()

    private func transfer(_ port: UInt16, psn: UInt32 = 1_000, isHeld: Bool = true, wantsFirstByte: Bool = false)
        -> Transfer
    {
        let key = FlowKey(
            client: IPAddress("10.0.0.1")!, clientPort: port, server: IPAddress("10.0.0.80")!, serverPort: 80)
        let connection = ConnectionState(
            key: key, psn: SequenceNumber(psn), pan: SequenceNumber(5), clientWindow: 1,
            serverWindowEdge: SequenceNumber(0),
            options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460))
        return Transfer(connection: connection, request: [], isHeld: isHeld, wantsFirstByte: wantsFirstByte)
    }

    @Test mutating func whatIsRequiredIsPromisedWhileItLasts() {
        ledger.promises.capacity.bandwidth = 10_000
        ledger.promises.capacity.delay = 5_000
        ledger.promises.capacity.classes = [46]
        func requiring(_ port: UInt16, _ requirements: Requirements) -> Message {
            var message = transfer(port)
            message.requirements = requirements
            return .transfer(message)
        }
        func refused(_ reason: NACKReason, _ transaction: UInt32) -> [TransferLedger.Action] {
            [sent(.transferNACK(reason, retryAfterMilliseconds: 0), transaction)]
        }

        #expect(receive(requiring(1, Requirements(trafficClass: 8)), 1) == refused(.policy, 1))
        #expect(receive(requiring(2, Requirements(delay: 4_999)), 2) == refused(.policy, 2))
        // Two thirds of the bandwidth are promised: there is not as much again, but what requires none is taken.
        #expect(receive(requiring(3, Requirements(bandwidth: 6_667, delay: 5_000, trafficClass: 46)), 3).count == 1)
        #expect(receive(requiring(4, Requirements(bandwidth: 6_667)), 4) == refused(.resource, 4))
        #expect(receive(requiring(5, Requirements(trafficClass: 46)), 5).count == 1)
        #expect(receive(requiring(6, Requirements(bandwidth: 3_333)), 6).count == 1)
        #expect(ledger.promises.bandwidth == 10_000)

        // Numbers are given in order: the first that was consulted about is 1.
        let isKept = ledger.decided(1, nil, now: 0)
        #expect(isKept)
        ledger.committed(1)
        ledger.ended(1, bytesSent: 0, now: 0)
        _ = ledger.decided(3, .notFound, now: 0)
        #expect(ledger.promises.bandwidth == 0)
    }

    private mutating func take() -> [TransferLedger.Action] {
        defer { ledger.actions = [] }
        return ledger.actions
    }

    private mutating func receive(_ message: Message, _ transaction: UInt32, attempt: UInt8 = 0, now: UInt64 = 0)
        -> [TransferLedger.Action]
    {
        ledger.receive(Frame(message, transaction: transaction, attempt: attempt), from: director, now: now)
        return take()
    }

    private func sent(_ message: Message, _ transaction: UInt32, attempt: UInt8 = 0) -> TransferLedger.Action {
        .send(Frame(message, transaction: transaction, attempt: attempt), to: director)
    }

    private func cancel(_ transfer: UInt32, psn: UInt32 = 1_000) -> Message {
        .terminate(Terminate(cause: .cancel, transfer: transfer, psn: SequenceNumber(psn)))
    }

    @Test mutating func anAnswerIsRepeatedAndNothingIsAdoptedTwice() {
        let first = receive(.transfer(transfer(1)), 7)
        #expect(first == [.consult(number: 1, transfer(1), expires: 50_000)])
        // Asked again while it decides: no second decision; the answer goes to the last try.
        let got1 = receive(.transfer(transfer(1)), 7, attempt: 1)
        #expect(got1.isEmpty)
        let isKept = ledger.decided(1, nil, now: 0)
        #expect(isKept)
        let got2 = take()
        #expect(got2 == [sent(.transferACK, 7, attempt: 1)])
        let got3 = receive(.transfer(transfer(1)), 7, attempt: 2)
        #expect(got3 == [sent(.transferACK, 7, attempt: 2)])
        _ = receive(.transfer(transfer(2)), 8)
        _ = ledger.decided(2, .notFound, now: 0)
        let refusal = Message.transferNACK(.notFound, retryAfterMilliseconds: 0)
        let got4 = take()
        #expect(got4 == [sent(refusal, 8)])
        let got5 = receive(.transfer(transfer(2)), 8, attempt: 3)
        #expect(got5 == [sent(refusal, 8, attempt: 3)])
        #expect(ledger.connections == 1)
    }

    @Test mutating func whatIsNotForThisAgentIsCountedOrRefused() {
        let key = transfer(1).connection.key
        let fragment = BlobFragment(
            blob: 1, length: 0, checksum: 0, index: 0, count: 1, fragmentBytes: 1, bytes: [])
        let messages: [Message] = [
            .blob(fragment), .blobReceipt(BlobReceipt(blob: 1, state: .complete, index: 0)), .flowUnknown(key),
            .flowInformation(key, transfer: 1, label: FlowLabel(identifier: 1, generation: 1)),
        ]
        for (number, message) in messages.enumerated() {
            let got = receive(message, 9)
            #expect(got.isEmpty && ledger.counters.unexpected == number + 1)
        }
        // Heard, which is all that the answer says.
        _ = receive(.transfer(transfer(1)), 8)
        _ = ledger.decided(1, nil, now: 0)
        _ = take()
        let heard = receive(.terminate(Terminate(cause: .handBack, transfer: 8, psn: SequenceNumber(1_000))), 20)
        #expect(heard == [sent(.terminateResponse, 20)] && ledger.connections == 1)
        // Once it lives here, it is looked for a way.
        ledger.committed(1)
        _ = take()
        let wanted = receive(.terminate(Terminate(cause: .handBack, transfer: 8, psn: SequenceNumber(1_000))), 21)
        #expect(wanted == [sent(.terminateResponse, 21), .wishAway(number: 1)])
    }

    @Test mutating func cancelUndoesOnceAndIsAlwaysAnswered() {
        _ = receive(.transfer(transfer(1)), 7)
        _ = ledger.decided(1, nil, now: 0)
        _ = take()
        // Another connection's number changes nothing.
        let got6 = receive(cancel(7, psn: 999), 20)
        #expect(got6 == [sent(.terminateResponse, 20)])
        #expect(ledger.connections == 1)
        let got7 = receive(cancel(7), 21, attempt: 4)
        #expect(got7 == [sent(.terminateResponse, 21, attempt: 4), .forget(number: 1)])
        let got8 = receive(cancel(7), 22)
        #expect(got8 == [sent(.terminateResponse, 22)])
        // A TRANSFER that was late on the way is not adopted any more.
        let refusal = Message.transferNACK(.expired, retryAfterMilliseconds: 0)
        let got9 = receive(.transfer(transfer(1)), 7)
        #expect(got9 == [sent(refusal, 7)])
        let got10 = receive(cancel(8), 23)
        #expect(got10 == [sent(.terminateResponse, 23)])
        let got11 = receive(.transfer(transfer(2)), 8)
        #expect(got11 == [sent(refusal, 8)])
        #expect(ledger.connections == 0)
        #expect(ledger.creditsLeft == 1_024)
    }

    @Test mutating func cancelDuringTheDecisionWins() {
        _ = receive(.transfer(transfer(1)), 7)
        let got12 = receive(cancel(7), 20)
        #expect(got12 == [sent(.terminateResponse, 20)])
        let isKept = ledger.decided(1, nil, now: 0)
        #expect(!isKept)
        let got13 = take()
        #expect(got13.isEmpty)
        #expect(ledger.connections == 0)
    }

    @Test mutating func aCommittedConnectionCannotBeCancelled() {
        _ = receive(.transfer(transfer(1, wantsFirstByte: true)), 7)
        _ = ledger.decided(1, nil, now: 0)
        _ = take()
        ledger.committed(1)
        let got14 = take()
        #expect(got14 == [sent(.firstByte, 7)])
        let got15 = receive(cancel(7), 20)
        #expect(got15 == [sent(.terminateResponse, 20), .tooLateToCancel(number: 1)])
        #expect(ledger.connections == 1)
        #expect(ledger.creditsLeft == 1_024)
    }

    @Test mutating func observedTransfersAreAnsweredAndForgotten() {
        _ = receive(.transfer(transfer(1, isHeld: false)), 7)
        let isKept = ledger.decided(1, nil, now: 0)
        #expect(!isKept)
        let got16 = take()
        #expect(got16 == [sent(.transferACK, 7)])
        #expect(ledger.connections == 0)
        let got17 = receive(.transfer(transfer(1, isHeld: false)), 7)
        #expect(got17 == [sent(.transferACK, 7)])
    }

    @Test mutating func creditsAreTheBoundOfWhatIsNotCommitted() {
        ledger.limits.credits = 1
        _ = receive(.transfer(transfer(1)), 7)
        let got18 = receive(.transfer(transfer(2)), 8)
        #expect(got18 == [sent(.transferNACK(.busy, retryAfterMilliseconds: 100), 8)])
        _ = ledger.decided(1, nil, now: 0)
        ledger.committed(1)
        _ = take()
        let got19 = receive(.transfer(transfer(3)), 9)
        #expect(got19 == [.consult(number: 2, transfer(3), expires: 50_000)])
        ledger.limits.connections = 2
        let got20 = receive(.transfer(transfer(4)), 10)
        #expect(got20 == [sent(.transferNACK(.busy, retryAfterMilliseconds: 100), 10)])
        ledger.isDraining = true
        let got21 = receive(.transfer(transfer(5)), 11)
        #expect(got21 == [sent(.transferNACK(.draining, retryAfterMilliseconds: 0), 11)])
    }

    @Test mutating func anAdoptionWhoseRequestNeverComesIsForgottenInTimeAndNotBefore() {
        _ = receive(.transfer(transfer(1)), 7)
        _ = ledger.decided(1, nil, now: 1_000)
        _ = take()
        ledger.advance(to: 120_000_999)
        let got22 = take()
        #expect(got22.isEmpty)
        ledger.advance(to: 120_001_000)
        let actions = take()
        #expect(actions.first == .forget(number: 1))
        #expect(actions.count == 2)
        #expect(ledger.connections == 0)
    }

    @Test mutating func anEndIsToldUntilItIsAnsweredOrTheTriesAreOver() {
        _ = receive(.transfer(transfer(1)), 7)
        _ = ledger.decided(1, nil, now: 0)
        ledger.committed(1)
        _ = take()
        ledger.ended(1, bytesSent: 99, now: 0)
        let done = Terminate(cause: .flowDone, transfer: 7, psn: SequenceNumber(1_000), bytesSent: 99)
        let got23 = take()
        #expect(got23 == [sent(.terminate(done), 1)])
        ledger.advance(to: 199_999)
        let got24 = take()
        #expect(got24.isEmpty)
        ledger.advance(to: 200_000)
        let got25 = take()
        #expect(got25 == [sent(.terminate(done), 1, attempt: 1)])
        var copy = ledger
        copy.receive(Frame(.terminateResponse, transaction: 1), from: director, now: 0)
        copy.advance(to: 100_000_000)
        #expect(copy.actions.isEmpty)
        var tries = 0
        for second in 1...1_000 {
            ledger.advance(to: UInt64(second) * 1_000_000)
            tries += take().count
        }
        #expect(tries == 8)
        #expect(ledger.counters.endingsUnanswered == 1)
    }

    /// A connection that has been committed and is over; `reaches` says whether there is a channel.
    private mutating func end(_ port: UInt16, number: UInt64, reaches: Bool, now: UInt64 = 0) {
        _ = receive(.transfer(transfer(port)), UInt32(port))
        _ = ledger.decided(number, nil, now: now)
        ledger.committed(number)
        _ = take()
        ledger.ended(number, bytesSent: 0, now: now)
        if !reaches { unsend(now) }
    }

    /// What was to be sent has found no channel.
    private mutating func unsend(_ now: UInt64) {
        for case .send(let frame, let director) in take() { ledger.unsent(frame, to: director, now: now) }
    }

    @Test mutating func anEndIsNotForgottenWhileTheDirectorCannotBeReached() {
        end(1, number: 1, reaches: false)
        for second in 1...1_000 as ClosedRange<UInt64> {
            ledger.advance(to: second * 1_000_000)
            unsend(second * 1_000_000)
        }
        #expect(ledger.counters.endingsUnanswered == 0 && ledger.unsettled == 0)
        ledger.up(director)
        _ = take()
        #expect(ledger.unsettled == 1)
        ledger.advance(to: 1_000_000_001)
        let told = take()
        #expect(told.count == 1)
        ledger.receive(Frame(.terminateResponse, transaction: 1), from: director, now: 0)
        #expect(ledger.unsettled == 0)
    }

    @Test mutating func endsThatCannotBeToldAreBounded() {
        ledger.limits.endings = 3
        for port in 1...5 as ClosedRange<UInt16> { end(port, number: UInt64(port), reaches: false) }
        #expect(ledger.counters.endingsUnanswered == 2)
        ledger.up(director)
        #expect(ledger.unsettled == 3)
    }

    @Test mutating func theLastEndIsThatOfACommittedConnection() {
        _ = receive(.transfer(transfer(9)), 9)
        _ = ledger.decided(1, nil, now: 0)
        #expect(ledger.unsettled == 1)
        ledger.ended(1, bytesSent: 0, now: 5)
        #expect(ledger.lastEnd == nil && ledger.unsettled == 0)
        end(1, number: 2, reaches: true, now: 7)
        #expect(ledger.lastEnd == 7)
    }

    private func announced(_ actions: [TransferLedger.Action]) -> [(transfer: UInt32, director: Endpoint)] {
        actions.compactMap { action in
            guard case .send(let frame, let director) = action,
                case .flowInformation(_, let transfer, _) = frame.message
            else { return nil }
            return (transfer, director)
        }
    }

    /// A killed director is back by another port before its old channel counts as silent: it hears of its connections
    /// at once, and their ends are told there.
    @Test mutating func rule6ADirectorThatComesBackByAnotherPortIsToldAtOnce() {
        let second = Endpoint(director.address, port: director.port + 1)
        ledger.up(director)
        _ = receive(.transfer(transfer(1)), 1)
        _ = ledger.decided(1, nil, now: 0)
        ledger.committed(1)
        _ = take()
        ledger.up(second)
        let got = announced(take())
        #expect(got.map(\.director) == [second] && got.map(\.transfer) == [1])
        // The old channel's end changes nothing any more.
        ledger.down(director)
        #expect(announced(take()).isEmpty)
        ledger.ended(1, bytesSent: 0, now: 0)
        guard case .send(_, let told) = take().last else { return #expect(Bool(false)) }
        #expect(told == second)
    }

    @Test mutating func anAnnouncementComesInBurstsWithConsecutiveTransactions() {
        for port in 1...600 as ClosedRange<UInt16> {
            _ = receive(.transfer(transfer(port)), UInt32(port))
            _ = ledger.decided(UInt64(port), nil, now: 0)
            ledger.committed(UInt64(port))
        }
        _ = take()
        ledger.up(director)
        var bursts = [take()]
        ledger.ended(1, bytesSent: 0, now: 0)
        _ = take()
        while ledger.isAnnouncing {
            ledger.announceMore()
            bursts.append(take())
        }
        #expect(bursts.map(\.count) == [256, 256, 89])
        let frames = bursts.joined().compactMap { action -> Frame? in
            if case .send(let frame, _) = action { frame } else { nil }
        }
        #expect(frames.last?.message == .flowInformationEnd(count: 600))
        #expect(frames.map(\.transaction) == Array(frames[0].transaction..<frames[0].transaction + 601))
    }

    @Test mutating func aDirectorThatComesBackIsToldWhatLives() {
        for port in UInt16(1)...3 {
            _ = receive(.transfer(transfer(port)), UInt32(port))
            _ = ledger.decided(UInt64(port), nil, now: 0)
        }
        ledger.committed(1)
        ledger.committed(3)
        _ = take()
        ledger.up(director)
        let messages = take().compactMap { action -> Message? in
            if case .send(let frame, _) = action { frame.message } else { nil }
        }
        #expect(messages.count == 3)
        #expect(messages.last == .flowInformationEnd(count: 2))
        #expect(messages.contains(.flowInformation(transfer(1).connection.key, transfer: 1)))
        #expect(messages.contains(.flowInformation(transfer(3).connection.key, transfer: 3)))
    }
}
