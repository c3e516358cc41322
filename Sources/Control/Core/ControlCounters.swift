/// What the control core counts of its own. Transfers by ending, and everything that was not as it should be.
package struct ControlCounters: Sendable {
    package enum Event: Int, CaseIterable, Sendable {
        // CRTP
        case received, sent
        /// A datagram from an address that is no proxy's; never parsed.
        case unknownPeer
        /// A message that is a director's to send, in an authentic frame.
        case misplaced
        /// An answer whose transfer is over or was never asked.
        case staleAnswer
        /// The channel was not up when something was to be sent.
        case unsendable
        case announcedFlows, refusedFlows, announcementsIncomplete
        /// Of a forwarder: connections that it asked its agents for.
        case flowQueries
        // transfers
        /// Requests that a second proxy was asked for.
        case passedOn
        /// ACKs after the request went to the origin.
        case late
        /// Adoptions that had to be called back.
        case cancelled
        /// Calls that were never answered.
        case unanswered
        /// Calls given up at once, because too many were under way.
        case recallBound
        case unconfirmed, misjudged
        /// Connections that were handed back, and stayed with who had them.
        case moveRefused
        /// HANDOFFs, of a connection the first and each further one; those whose agent could not adopt.
        case handedOff, handedOffAgain, handOffRefused
        /// A worker spoke of a transfer that is not known.
        case strayEvent
    }

    private var endings = [UInt64](repeating: 0, count: TransferOutcome.Ending.allCases.count)
    private var events = [UInt64](repeating: 0, count: Event.allCases.count)

    package init() {}

    package mutating func add(_ event: Event) { events[event.rawValue] += 1 }
    package mutating func add(_ ending: TransferOutcome.Ending) { endings[ending.rawValue] += 1 }
    package subscript(event: Event) -> UInt64 { events[event.rawValue] }
    package subscript(ending: TransferOutcome.Ending) -> UInt64 { endings[ending.rawValue] }

    /// `DirectorStatus.transfers`.
    package var transfers: [String: UInt64] {
        var table: [String: UInt64] = [:]
        for ending in TransferOutcome.Ending.allCases { table["\(ending)"] = self[ending] }
        for event in Event.allCases where event.rawValue >= Event.passedOn.rawValue { table["\(event)"] = self[event] }
        table["observed"] = self[.observedACK] + self[.observedNACK] + self[.observedTimeout]
        return table
    }

    /// `DirectorStatus.crtp`.
    package var crtp: [String: UInt64] {
        var table: [String: UInt64] = [:]
        for event in Event.allCases where event.rawValue < Event.passedOn.rawValue { table["\(event)"] = self[event] }
        return table
    }
}
