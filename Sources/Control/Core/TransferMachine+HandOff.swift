internal import CRTP
internal import InterCore

// A proxy that is not asked. HANDOFF is the commit for the agent, so it is sent when the worker has said that the request
// can never be the origin's again, and not before; nothing is ever called back.
extension TransferMachine {
    /// Tells the agent, the first time or once more. Its number wraps: nobody waits for so many.
    mutating func handOff(_ actions: inout [TransferAction]) {
        actions.append(.handOff(attempt: attempts))
        attempts &+= 1
    }

    /// The worker has not done it: no agent has heard of it.
    mutating func abortHandOff(_ actions: inout [TransferAction]) {
        isAborted = true
        move(to: .ended, &actions)
    }

    /// The agent could not adopt. Only its word about the last copy counts: another one may have been taken since.
    mutating func refused(
        _ attempt: UInt8, _ reason: NACKReason, _ now: UInt64, _ actions: inout [TransferAction]
    ) {
        guard isOneWay, attempt == attempts &- 1 else { return }
        actions.append(.countRefusedHandOff(reason))
        actions.append(.disown)
        actions.append(.setTimer(at: now + timing.confirmationMicroseconds))
        move(to: .closing, &actions)
    }
}
