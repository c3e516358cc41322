internal import CRTP
package import Wire

// Connections that are over. Directors are told until they have answered, or too often.
extension TransferLedger {
    /// The connection is over, whoever ended it.
    package mutating func ended(_ number: UInt64, bytesSent: UInt64, now: UInt64) {
        guard let adoption = dropForGood(number, now: now) else { return }
        counters.ended += 1
        if adoption.phase == .committed { lastEnd = now }
        let done = Terminate(
            cause: .flowDone, transfer: adoption.key.transaction, psn: adoption.connection.psn, bytesSent: bytesSent)
        tellEnd(done, to: adoption.key.director, now: now)
        tellForwarders(.flowDone, of: number, adoption, now: now)
    }

    /// It is not here any more, and its TRANSFER is refused if it comes again.
    mutating func dropForGood(_ number: UInt64, now: UInt64) -> Adoption? {
        guard let adoption = adoptions[number] else { return nil }
        drop(number)
        remember(
            .transferNACK(.expired, retryAfterMilliseconds: 0), adoption.key, adoption.connection.key,
            adoption.connection.psn, now)
        return adoption
    }

    mutating func tellEnd(_ end: Terminate, to director: Endpoint, now: UInt64) {
        if endings.count >= limits.endings {
            // The next announcement says as much, by not naming it.
            let unreachable = endings.first { !directors.contains($0.value.director) } ?? endings.first
            if let unreachable { endings[unreachable.key] = nil }
            counters.endingsUnanswered += 1
        }
        let frame = Frame(.terminate(end), transaction: takeTransaction())
        endings[frame.transaction] = Ending(
            director: director, frame: frame, tries: 1, next: now + limits.endingRetry)
        actions.append(.send(frame, to: director))
    }

    /// Those that were not answered.
    mutating func repeatEnds(_ now: UInt64) {
        for (transaction, ending) in endings where ending.next <= now {
            guard ending.tries < limits.endingTries else {
                endings[transaction] = nil
                counters.endingsUnanswered += 1
                continue
            }
            var frame = ending.frame
            frame.attempt = UInt8(truncatingIfNeeded: ending.tries)
            endings[transaction]?.tries += 1
            endings[transaction]?.next = now + limits.endingRetry << UInt64(min(ending.tries, 5))
            actions.append(.send(frame, to: ending.director))
        }
    }
}
