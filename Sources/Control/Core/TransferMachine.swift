internal import CRTP
internal import InterCore

/// One transfer: the worker's hold on one side, the agent's adoption on the other, and the rule that joins them: the
/// held request goes to the proxy only after its ACK, and an adoption whose request went to the origin is called back
/// until the agent has confirmed.
///
/// Pure: events and time in, actions out. `TransferMachine.md` has the table; `Model/transfer.pml` checks the same
/// states and events exhaustively. All times are microseconds of one monotonic clock.
package struct TransferMachine: Hashable, Sendable {
    package private(set) var state: TransferState
    package let timing: TransferTiming
    /// The origin's half is reset on the agent's `firstByte`, not at commit (`reset-by: proxy`).
    package let wantsFirstByte: Bool
    /// UDP: the agent adopts nothing, a server beside it answers. What becomes of the agent afterwards is no matter.
    package let isOfDatagrams: Bool
    /// The proxy is not asked: it hears of the connection, by HANDOFF, once the worker has committed it.
    package let isOneWay: Bool
    /// Copies of TRANSFER sent so far; the first one's attempt number is 0. Of HANDOFF the same, without a bound.
    package internal(set) var attempts: UInt8 = 0
    /// How it ended for the client, once that is known.
    package private(set) var outcome: TransferOutcome?

    var firstSentAt: UInt64 = 0
    var lastSentAt: UInt64 = 0
    /// While the agent is asked, and after that: when TO ends or ended. In `committed`, when an unconfirmed one is forgotten.
    package internal(set) var deadline: UInt64 = 0
    /// The worker has said that the hold ended at the origin.
    var isAborted = false
    /// The first answer to TRANSFER has been measured.
    var isSampled = false
    /// The worker's word for the commit has come (in `committed`).
    var isConfirmed = false
    var isOriginReset = false
    var cause = Terminate.Cause.cancel
    var recallingSince: UInt64 = 0
    var recallDelayMicroseconds: UInt64 = 0

    /// When the first TRANSFER left.
    package var begunAt: UInt64 { firstSentAt }

    package init(
        isHeld: Bool, wantsFirstByte: Bool, isOfDatagrams: Bool = false, isOneWay: Bool = false, timing: TransferTiming
    ) {
        state = isOneWay ? .granting : isHeld ? .asking : .observing
        self.isOneWay = isOneWay
        self.isOfDatagrams = isOfDatagrams
        self.wantsFirstByte = wantsFirstByte
        self.timing = timing
    }

    /// A flow that the agent announced and the worker installed.
    package init(announcedWith timing: TransferTiming) {
        state = .committed
        self.timing = timing
        wantsFirstByte = false
        isOfDatagrams = false
        isOneWay = false
        isConfirmed = true
        isOriginReset = true
        outcome = .init(.announced)
    }

    /// Sends the first TRANSFER, or gives the verdict at once. Once, before any event.
    package mutating func begin(now: UInt64, into actions: inout [TransferAction]) {
        guard attempts == 0 else { return }
        firstSentAt = now
        if isOneWay {
            actions.append(.verdictHandOff)
            actions.append(.setTimer(at: now + timing.confirmationMicroseconds))
            return
        }
        attempts = 1
        deadline = now + timing.timeoutMicroseconds
        actions.append(.transfer(attempt: 0, validMicroseconds: timing.timeoutMicroseconds))
        if let delay = timing.retransmissionMicroseconds, delay < timing.timeoutMicroseconds {
            actions.append(.setTimer(at: now + delay))
        } else {
            actions.append(.setTimer(at: deadline))
        }
    }

    package mutating func handle(_ event: TransferEvent, now: UInt64, into actions: inout [TransferAction]) {
        switch state {
        case .observing: observing(event, now, &actions)
        case .asking: asking(event, now, &actions)
        case .granting: granting(event, now, &actions)
        case .releasing: releasing(event, now, &actions)
        case .recalling: recalling(event, now, &actions)
        case .recalled: recalled(event, now, &actions)
        case .committed: committed(event, now, &actions)
        case .closing: closing(event, now, &actions)
        case .ended: break
        }
    }
}

// MARK: What every state may do

extension TransferMachine {
    mutating func move(to next: TransferState, _ actions: inout [TransferAction]) {
        state = next
        guard next == .ended else { return }
        actions.append(.cancelTimer)
        actions.append(.end)
    }

    /// Says once how it ended for the client.
    mutating func decide(_ ending: TransferOutcome, _ actions: inout [TransferAction]) {
        guard outcome == nil else { return }
        outcome = ending
        actions.append(.decided(ending))
    }

    /// An answer counts when it names a copy of TRANSFER that was sent.
    func isValid(_ attempt: UInt8) -> Bool { attempt < attempts }

    /// Measures the first answer: from the copy that it names.
    mutating func sample(_ attempt: UInt8, _ now: UInt64, _ actions: inout [TransferAction]) {
        guard !isSampled, timing.isMeasured else { return }
        isSampled = true
        guard attempt == 0 || attempt == attempts - 1 else { return }
        let sent = attempt == 0 ? firstSentAt : lastSentAt
        actions.append(.sample(microseconds: now - min(sent, now)))
    }

    /// Gives the request to the origin; the agent has nothing, or has said so.
    mutating func release(_ ending: TransferOutcome, _ now: UInt64, _ actions: inout [TransferAction]) {
        decide(ending, &actions)
        actions.append(.verdictOrigin)
        actions.append(.setTimer(at: now + timing.confirmationMicroseconds))
        move(to: .releasing, &actions)
    }

    /// Calls the agent back: TERMINATE now, and again until it is answered.
    mutating func recall(_ cause: Terminate.Cause, _ now: UInt64, _ actions: inout [TransferAction]) {
        self.cause = cause
        recallingSince = now
        recallDelayMicroseconds = timing.recallMicroseconds
        actions.append(.terminate(cause))
        actions.append(.setTimer(at: now + recallDelayMicroseconds))
        move(to: .recalling, &actions)
    }

    /// TERMINATE is answered, or needless: stays a while for datagrams that are late.
    mutating func linger(_ now: UInt64, _ actions: inout [TransferAction]) {
        actions.append(.setTimer(at: now + timing.lingerMicroseconds))
        move(to: .recalled, &actions)
    }

    /// An ACK for a request that the origin has: the adoption must go.
    mutating func lateACK(_ attempt: UInt8, _ now: UInt64, _ actions: inout [TransferAction]) {
        guard isValid(attempt) else { return }
        if !isSampled { actions.append(.countLateACK) }
        sample(attempt, now, &actions)
        recall(.late, now, &actions)
    }
}

extension TransferMachine {
    /// Inside TO: sends another copy of TRANSFER, or waits on. False at the deadline.
    mutating func retransmitted(_ now: UInt64, _ actions: inout [TransferAction]) -> Bool {
        guard now < deadline else { return false }
        guard attempts <= timing.retransmissions else {
            actions.append(.setTimer(at: deadline))
            return true
        }
        actions.append(.transfer(attempt: attempts, validMicroseconds: deadline - now))
        attempts += 1
        lastSentAt = now
        let delay = timing.retransmissionMicroseconds ?? .max
        let isLast = attempts > timing.retransmissions || delay >= deadline - now
        actions.append(.setTimer(at: isLast ? deadline : now + delay))
        return true
    }

    /// The flow is the proxy's. A timer remains where a `firstByte` is awaited, or the worker's word.
    mutating func enterCommitted(_ now: UInt64, _ actions: inout [TransferAction]) {
        decide(.init(.committed), &actions)
        deadline = now + timing.forgetMicroseconds
        if wantsFirstByte && !isOriginReset {
            actions.append(.setTimer(at: now + timing.firstByteMicroseconds))
        } else if !isConfirmed {
            actions.append(.setTimer(at: deadline))
        } else {
            actions.append(.cancelTimer)
        }
        move(to: .committed, &actions)
    }

    mutating func resetOrigin(_ actions: inout [TransferAction]) {
        guard wantsFirstByte, !isOriginReset else { return }
        isOriginReset = true
        actions.append(.resetOrigin)
    }

    mutating func close(_ now: UInt64, _ actions: inout [TransferAction]) {
        // Had `firstByte` been lost, the origin would keep its half.
        resetOrigin(&actions)
        actions.append(.flowDone)
        actions.append(.setTimer(at: now + timing.confirmationMicroseconds))
        move(to: .closing, &actions)
    }
}
