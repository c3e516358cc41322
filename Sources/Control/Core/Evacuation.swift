/// A proxy that is to be empty: which of its connections its agent has been asked for. Bounded by what it has.
package struct Evacuation: Sendable {
    private struct Wish: Sendable {
        var tries = 0
        var next: UInt64
    }

    /// By the numbers of their transfers, last first.
    private var unasked: [UInt32] = []
    /// Asked for; the agent has not said yet that it has heard.
    private var unheard: [UInt32: Wish] = [:]
    /// When everything that is still there is asked for again: an offer may have come to nothing, or a connection may have
    /// been where it could not go from.
    package private(set) var nextRound: UInt64
    private var roundDelay = Evacuation.firstRound

    package static var firstRound: UInt64 { 1_000_000 }
    package static var longestRound: UInt64 { 10_000_000 }
    /// Asked for at once, so that the channel has room for offers.
    package static var burst: Int { 64 }
    package static var pause: UInt64 { 10_000 }
    static var repetition: UInt64 { 100_000 }
    static var tries: Int { 5 }

    private var nextBurst: UInt64

    package init(_ transfers: [UInt32], now: UInt64) {
        unasked = transfers
        nextBurst = now
        nextRound = now + Self.firstRound
    }

    package var nextDeadline: UInt64 {
        unasked.isEmpty && unheard.isEmpty ? nextRound : min(nextRound, nextBurst)
    }

    package mutating func want(_ transfer: UInt32) {
        if unheard[transfer] == nil { unasked.append(transfer) }
    }

    package mutating func heard(_ transfer: UInt32) { unheard[transfer] = nil }

    /// Another round, of what is still there.
    package mutating func begin(_ transfers: [UInt32], now: UInt64) {
        unasked = transfers
        unheard.removeAll()
        roundDelay = min(roundDelay * 2, Self.longestRound)
        nextRound = now + roundDelay
    }

    /// Whom to ask for now.
    package mutating func due(at now: UInt64) -> [UInt32] {
        guard nextBurst <= now else { return [] }
        nextBurst = now + Self.pause
        var due: [UInt32] = []
        for (transfer, wish) in unheard where wish.next <= now && due.count < Self.burst {
            if wish.tries < Self.tries {
                unheard[transfer] = Wish(tries: wish.tries + 1, next: now + Self.repetition << UInt64(wish.tries))
                due.append(transfer)
            } else {
                unheard[transfer] = nil
            }
        }
        while due.count < Self.burst, let transfer = unasked.popLast() {
            unheard[transfer] = Wish(next: now + Self.repetition)
            due.append(transfer)
        }
        return due
    }
}
