/// A proxy that is to be empty: which of its connections its agent has been asked for. Bounded by what it has.
package struct Evacuation: Sendable {
    /// A connection that the agent has been asked for, until it has moved, stays, or nothing has become of it.
    private struct Wish: Sendable {
        let askedAt: UInt64
        var tries = 0
        /// The next repetition; nil once the agent has heard.
        var next: UInt64?
    }

    /// By the numbers of their transfers, last first.
    private var unasked: [UInt32] = []
    private var underWay: [UInt32: Wish] = [:]
    /// When everything that is still there is asked for again: an offer may have come to nothing, or a connection may have
    /// been where it could not go from.
    package private(set) var nextRound: UInt64
    private var roundDelay = Evacuation.firstRound
    private var nextLook: UInt64

    package static var firstRound: UInt64 { 1_000_000 }
    package static var longestRound: UInt64 { 10_000_000 }
    /// Asked for at once: each may stand still.
    package static var limit: Int { 64 }
    package static var pause: UInt64 { 10_000 }
    static var repetition: UInt64 { 100_000 }
    static var tries: Int { 5 }
    /// What has not been offered by then may take long, or never go: others get its place.
    static var patience: UInt64 { 500_000 }

    package init(_ transfers: [UInt32], now: UInt64) {
        unasked = transfers
        nextLook = now
        nextRound = now + Self.firstRound
    }

    package var nextDeadline: UInt64 {
        unasked.isEmpty && underWay.isEmpty ? nextRound : min(nextRound, nextLook)
    }

    package mutating func want(_ transfer: UInt32) {
        if underWay[transfer] == nil { unasked.append(transfer) }
    }

    /// Its agent knows that it is wanted.
    package mutating func heard(_ transfer: UInt32) { underWay[transfer]?.next = nil }

    /// It has gone, or stays for now.
    package mutating func isOver(_ transfer: UInt32) { underWay[transfer] = nil }

    /// Another round, of what is still there.
    package mutating func begin(_ transfers: [UInt32], now: UInt64) {
        unasked = transfers.filter { underWay[$0] == nil }
        roundDelay = min(roundDelay * 2, Self.longestRound)
        nextRound = now + roundDelay
    }

    /// Whom to ask for now.
    package mutating func due(at now: UInt64) -> [UInt32] {
        guard nextLook <= now else { return [] }
        nextLook = now + Self.pause
        var due: [UInt32] = []
        for (transfer, wish) in underWay {
            if now - wish.askedAt >= Self.patience || wish.tries >= Self.tries {
                underWay[transfer] = nil
            } else if let next = wish.next, next <= now {
                underWay[transfer]?.tries += 1
                underWay[transfer]?.next = now + Self.repetition << UInt64(wish.tries)
                due.append(transfer)
            }
        }
        while underWay.count < Self.limit, let transfer = unasked.popLast() {
            underWay[transfer] = Wish(askedAt: now, next: now + Self.repetition)
            due.append(transfer)
        }
        return due
    }
}
