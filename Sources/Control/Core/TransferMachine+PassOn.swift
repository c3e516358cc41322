internal import CRTP

// A second try: the hold goes on to another transfer, with another proxy, and this one is over for the client. What its
// agent may have adopted is called back as ever; only the verdict is the other's to give.
extension TransferMachine {
    /// True when `event` says that this proxy will not take the held request: another one could be asked instead.
    package func endsAsking(_ event: TransferEvent, now: UInt64) -> Bool {
        guard state == .asking else { return false }
        switch event {
        case .nack(let attempt, _): return isValid(attempt)
        case .timer: return now >= deadline
        case .flowDone, .channelDown: return true
        case .ack, .firstByte, .terminateResponse, .committed, .aborted, .flowEnded, .requestRepeated: return false
        }
    }

    /// `event`, which `endsAsking`, when another transfer has the hold from now on: no verdict, and no word of the
    /// worker's is waited for. Returns why this proxy does not take the request.
    package mutating func passOn(
        _ event: TransferEvent, now: UInt64, into actions: inout [TransferAction]
    ) -> TransferOutcome {
        isAborted = true
        switch event {
        case .nack(let attempt, let reason):
            sample(attempt, now, &actions)
            linger(now, &actions)
            return .init(.nack, nack: reason)
        case .timer:
            actions.append(.countTimeout(sentAt: firstSentAt))
            recall(.cancel, now, &actions)
            return .init(.timeout)
        case .flowDone:
            linger(now, &actions)
            return .init(.agentGone)
        case .channelDown(.restarted):
            linger(now, &actions)
            return .init(.channelDown)
        case .channelDown(.silent), .channelDown(.disconnected), .channelDown(.administrative):
            recall(.cancel, now, &actions)
            return .init(.channelDown)
        case .ack, .firstByte, .terminateResponse, .committed, .aborted, .flowEnded, .requestRepeated:
            preconditionFailure("this event does not end the asking")
        }
    }
}
