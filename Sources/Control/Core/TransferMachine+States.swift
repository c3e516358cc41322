internal import CRTP
internal import InterCore

// One function a state; each event is named, so that a new one must be thought about everywhere. The table is in
// `TransferMachine.md`.
extension TransferMachine {
    mutating func observing(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .ack(let attempt):
            guard isValid(attempt) else { return }
            sample(attempt, now, &actions)
            decide(.init(.observedACK), &actions)
            move(to: .ended, &actions)
        case .nack(let attempt, let reason):
            guard isValid(attempt) else { return }
            sample(attempt, now, &actions)
            decide(.init(.observedNACK, nack: reason), &actions)
            move(to: .ended, &actions)
        case .timer:
            if retransmitted(now, &actions) { return }
            actions.append(.countTimeout(sentAt: firstSentAt))
            decide(.init(.observedTimeout), &actions)
            move(to: .ended, &actions)
        case .channelDown:
            decide(.init(.channelDown), &actions)
            move(to: .ended, &actions)
        case .committed, .aborted, .flowEnded, .requestRepeated, .firstByte, .flowDone, .terminateResponse: break
        }
    }

    mutating func asking(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .ack(let attempt):
            guard isValid(attempt) else { return }
            sample(attempt, now, &actions)
            actions.append(.verdictProxy(resetOrigin: !wantsFirstByte))
            actions.append(.setTimer(at: now + timing.confirmationMicroseconds))
            move(to: .granting, &actions)
        case .nack(let attempt, let reason):
            guard isValid(attempt) else { return }
            sample(attempt, now, &actions)
            release(.init(.nack, nack: reason), now, &actions)
        case .timer:
            if retransmitted(now, &actions) { return }
            actions.append(.countTimeout(sentAt: firstSentAt))
            decide(.init(.timeout), &actions)
            actions.append(.verdictOrigin)
            recall(.cancel, now, &actions)
        case .aborted(let reason):
            isAborted = true
            decide(.init(.aborted, abort: reason), &actions)
            recall(.cancel, now, &actions)
        case .flowDone:
            release(.init(.agentGone), now, &actions)
        case .channelDown(.restarted):
            release(.init(.channelDown), now, &actions)
        case .channelDown:
            decide(.init(.channelDown), &actions)
            actions.append(.verdictOrigin)
            recall(.cancel, now, &actions)
        case .committed, .flowEnded, .requestRepeated, .firstByte, .terminateResponse: break
        }
    }

    mutating func granting(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .committed:
            isConfirmed = true
            if isOneWay { handOff(&actions) }
            enterCommitted(now, &actions)
        case .aborted(let reason):
            decide(.init(.aborted, abort: reason), &actions)
            if isOneWay { return abortHandOff(&actions) }
            isAborted = true
            recall(.late, now, &actions)
        case .timer:
            actions.append(.countUnconfirmed)
            enterCommitted(now, &actions)
        case .flowEnded:
            decide(.init(.committed), &actions)
            move(to: .ended, &actions)
        case .firstByte:
            resetOrigin(&actions)
        case .flowDone, .channelDown(.restarted):
            // Of what it will be told of only now, an agent that has started anew has forgotten nothing.
            if isOfDatagrams || isOneWay { return }
            decide(.init(.committed), &actions)
            close(now, &actions)
        case .ack, .nack, .terminateResponse, .requestRepeated, .channelDown(.silent), .channelDown(.disconnected),
            .channelDown(.administrative):
            break
        }
    }

    mutating func releasing(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .ack(let attempt):
            lateACK(attempt, now, &actions)
        case .aborted:
            move(to: .ended, &actions)
        case .timer:
            actions.append(.countUnconfirmed)
            move(to: .ended, &actions)
        case .nack, .committed, .flowEnded, .requestRepeated, .firstByte, .flowDone, .terminateResponse, .channelDown:
            break
        }
    }

    mutating func recalling(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .ack(let attempt):
            guard cause != .late else { return }
            lateACK(attempt, now, &actions)
        case .nack(let attempt, _):
            guard isValid(attempt), cause != .late else { return }
            sample(attempt, now, &actions)
            linger(now, &actions)
        case .timer:
            guard now - recallingSince < timing.recallLimitMicroseconds else {
                actions.append(.countUnanswered)
                move(to: .ended, &actions)
                return
            }
            recallDelayMicroseconds = min(recallDelayMicroseconds * 2, timing.recallCeilingMicroseconds)
            actions.append(.terminate(cause))
            actions.append(.setTimer(at: now + recallDelayMicroseconds))
        case .aborted:
            isAborted = true
        case .flowDone, .terminateResponse:
            linger(now, &actions)
        case .channelDown(.restarted):
            linger(now, &actions)
        case .channelDown, .committed, .flowEnded, .requestRepeated, .firstByte: break
        }
    }

    mutating func recalled(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .ack(let attempt):
            lateACK(attempt, now, &actions)
        case .aborted:
            isAborted = true
        case .timer:
            if !isAborted { actions.append(.countUnconfirmed) }
            move(to: .ended, &actions)
        case .nack, .committed, .flowEnded, .requestRepeated, .firstByte, .flowDone, .terminateResponse, .channelDown:
            break
        }
    }

    mutating func committed(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .committed:
            if isOneWay, !isConfirmed { handOff(&actions) }
            isConfirmed = true
        case .requestRepeated:
            if isOneWay, isConfirmed { handOff(&actions) }
        case .nack(let attempt, let reason):
            refused(attempt, reason, now, &actions)
        case .aborted(let reason):
            guard !isConfirmed else { return }
            actions.append(.countMisjudged(reason))
            if isOneWay { return abortHandOff(&actions) }
            isAborted = true
            recall(.late, now, &actions)
        case .timer:
            resetOrigin(&actions)
            if now >= deadline && !isConfirmed {
                move(to: .ended, &actions)
            } else if !isConfirmed {
                actions.append(.setTimer(at: deadline))
            }
        case .flowEnded:
            move(to: .ended, &actions)
        case .firstByte:
            resetOrigin(&actions)
        case .flowDone, .channelDown(.restarted):
            // An agent that has started anew has none of its old sockets: it will never say `flowDone`.
            if isOfDatagrams { return }
            close(now, &actions)
        case .ack, .terminateResponse, .channelDown(.silent), .channelDown(.disconnected),
            .channelDown(.administrative):
            break
        }
    }

    mutating func closing(_ event: TransferEvent, _ now: UInt64, _ actions: inout [TransferAction]) {
        switch event {
        case .flowEnded, .aborted, .timer:
            move(to: .ended, &actions)
        case .ack, .nack, .committed, .requestRepeated, .firstByte, .flowDone, .terminateResponse, .channelDown: break
        }
    }
}
