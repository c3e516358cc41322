package import CRTP
package import Wire

// HANDOFF: a connection that is this agent's already, whether it can have it or not. Its request is answered at once.
extension TransferLedger {
    /// The same connection, by client, server and PSN, comes again when its director does not know whether it came.
    mutating func takeOver(_ transfer: Transfer, _ frame: Frame, from director: Endpoint, now: UInt64) {
        let key = Key(director: director, transaction: frame.transaction)
        if let number = numbers[key], isSame(number, as: transfer.connection) {
            adoptions[number]?.attempt = frame.attempt
            return counters.handOffsRepeated += 1
        }
        // It is over.
        if answers[key]?.psn == transfer.connection.psn { return counters.handOffsRepeated += 1 }
        counters.handOffs += 1
        guard adoptions.count < limits.connections else {
            return refuseHandOff(.resource, key, attempt: frame.attempt)
        }
        promises.make(transfer.requirements)
        let number = nextNumber
        nextNumber += 1
        var adoption = Adoption(
            key: key, connection: transfer.connection, phase: .deciding, wantsFirstByte: false,
            attempt: frame.attempt, isToBeAdopted: true, requirements: transfer.requirements)
        adoption.mayComeBack = transfer.mayComeBack
        adoption.connectionID = transfer.connectionID
        adoption.generation = transfer.generation
        adoptions[number] = adoption
        numbers[key] = number
        uncommitted += 1
        actions.append(.takeOver(number: number, transfer))
    }

    /// The kernel has spoken; nil for adopted. Gives whether the caller keeps the socket.
    package mutating func takenOver(_ number: UInt64, _ refusal: NACKReason?, now: UInt64) -> Bool {
        guard let adoption = adoptions[number] else { return false }
        guard let refusal else {
            adoptions[number]?.phase = .uncommitted(expires: now + limits.uncommittedLifetime)
            return true
        }
        drop(number)
        // Another director, or the same one before it started anew, has given it as well.
        if refusal == .tupleInUse, adoptions.keys.contains(where: { isSame($0, as: adoption.connection) }) {
            counters.handOffs -= 1
            counters.handOffsRepeated += 1
        } else {
            refuseHandOff(refusal, adoption.key, attempt: adoption.attempt)
        }
        return false
    }

    private func isSame(_ number: UInt64, as connection: ConnectionState) -> Bool {
        adoptions[number].map { $0.connection.key == connection.key && $0.connection.psn == connection.psn } ?? false
    }

    /// Not remembered: the next copy is another try. Without a channel nobody hears of it.
    private mutating func refuseHandOff(_ reason: NACKReason, _ key: Key, attempt: UInt8) {
        counters.handOffsFailed[reason, default: 0] += 1
        reply(.transferNACK(reason, retryAfterMilliseconds: 0), key, attempt: attempt)
    }
}
