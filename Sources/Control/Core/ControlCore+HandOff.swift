package import CRTP
package import InterCore
internal import Wire

/// What hand-offs need.
package struct HandOffs: Sendable {
    package var sender: HandOffSender?
    /// By the transfer's slot: what is sent again when the client repeats its request, until the worker says that this is
    /// over. As many as workers keep preludes for, at most.
    package var unanswered: [Int: Transfer] = [:]
    /// Added to a monotonic time, gives microseconds since 1970.
    package var clockOffset: UInt64 = 0

    package init() {}
}

// Proxies that are not asked (`handoff: one-way`), because the rule's choice says who is responsible. HANDOFF follows the
// worker's word that the request is the proxy's; `TransferMachine.md` says why.
extension ControlCore {
    /// The time of day, by which agents judge whether HANDOFF is fresh. Whenever it may have been set.
    public mutating func setClock(_ microsecondsSince1970: UInt64, now: UInt64) {
        handOffs.clockOffset = microsecondsSince1970 &- now
    }

    /// A new session of hand-offs, as at the start and with each key.
    package mutating func renewHandOffs() {
        var random = SystemRandomNumberGenerator()
        handOffs.sender = HandOffSender(keys: keys.ring, senderID: senderID, random: &random)
    }

    /// Whether a held request goes to its proxy unasked. All of it must be in the datagram, and the choice must not depend
    /// on what proxies say: an operator may have changed the algorithm.
    package func isHandedOff(_ request: HeldRequest, _ rule: Int) -> Bool {
        guard configuration.rules[rule].handOff == .oneWay, request.heldLength == UInt32(request.payloadLength),
            request.request.headLength <= Int(request.payloadLength)
        else { return false }
        switch selections[rule].algorithm {
        case .enforced, .applicationHash: return true
        case .roundRobin, .leastConnections, .leastLoad, .mostLoad, .twoChoices, .multicast: return false
        }
    }

    package mutating func handOff(_ slot: Int, attempt: UInt8, now: UInt64) {
        guard let transfer = handOffs.unanswered[slot] else { return }
        if handOffs.sender?.isWornOut ?? false { renewHandOffs() }
        let frame = Frame(
            .handOff(transfer, sentAt: now &+ handOffs.clockOffset), transaction: transfers[slot].transaction,
            attempt: attempt)
        guard let datagram = handOffs.sender?.send(frame) else { return counters.add(.unsendable) }
        counters.add(.sent)
        counters.add(attempt == 0 ? .handedOff : .handedOffAgain)
        actions.append(.transmit(datagram, to: proxies[transfers[slot].proxy].configuration.address))
    }

    /// The client has been answered, or is silent.
    package mutating func handOffOver(_ handle: FlowHandle) {
        guard let slot = transfers.slot(handle: handle) else { return }
        handOffs.unanswered[slot] = nil
    }
}
