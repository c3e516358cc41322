package import CRTP
package import Wire

// Forwarders hear of every connection that lives here, whoever gave it: as soon as it has begun, when they ask, and when
// it is over. What an announcement that is lost would have told they ask for.
extension TransferLedger {
    /// What a connection is called. Numbers are not used again, so two connections of one agent have the same identifier
    /// only when 16 million others began between them; nobody else gives any at its address.
    package func label(of number: UInt64) -> FlowLabel {
        FlowLabel(
            identifier: FlowIdentifiers.identifier(of: number),
            generation: UInt32(adoptions[number]?.generation ?? 0))
    }

    /// Numbers begin anew somewhere else at each start, so forwarders know these connections from an earlier process's.
    func mapping(of number: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: number) }

    /// Of the first connection that has, or will have, a label.
    package var firstNumber: UInt64 { adoptions.keys.min() ?? nextNumber }

    /// The transfer is a connection by now.
    mutating func tellForwarders(of number: UInt64) {
        guard let adoption = adoptions[number] else { return }
        numbersByFlow[adoption.connection.key] = number
        for forwarder in forwarders {
            actions.append(.send(information(number, adoption, transaction: takeTransaction()), to: forwarder))
        }
    }

    /// FLOW_QUERY.
    mutating func answerQuery(_ key: FlowKey, _ frame: Frame, from director: Endpoint) {
        guard let number = numbersByFlow[key], let adoption = adoptions[number], adoption.phase == .committed else {
            let answer = Frame(.flowUnknown(key), transaction: frame.transaction, attempt: frame.attempt)
            return actions.append(.send(answer, to: director))
        }
        var answer = information(number, adoption, transaction: frame.transaction)
        answer.attempt = frame.attempt
        actions.append(.send(answer, to: director))
    }

    private func information(_ number: UInt64, _ adoption: Adoption, transaction: UInt32) -> Frame {
        Frame(
            .flowInformation(adoption.connection.key, transfer: mapping(of: number), label: label(of: number)),
            transaction: transaction)
    }

    /// The connection is over, or (`cancel`) somewhere else. Told until it is answered, like any end.
    mutating func tellForwarders(_ cause: Terminate.Cause, of number: UInt64, _ adoption: Adoption, now: UInt64) {
        if numbersByFlow[adoption.connection.key] == number { numbersByFlow[adoption.connection.key] = nil }
        guard adoption.phase == .committed else { return }
        let end = Terminate(cause: cause, transfer: mapping(of: number), psn: adoption.connection.psn)
        for forwarder in forwarders { tellEnd(end, to: forwarder, now: now) }
    }

    /// After another process has handed everything over.
    mutating func resumeForwarders(_ isForwarder: (Endpoint) -> Bool) {
        forwarders = directors.filter(isForwarder)
        hasMetForwarders = !forwarders.isEmpty
        numbersByFlow = [:]
        for (number, adoption) in adoptions where adoption.phase == .committed {
            numbersByFlow[adoption.connection.key] = number
        }
    }
}
