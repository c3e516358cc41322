/// How many fragments may be under way to one peer, of all blobs together: slow start, then one more each round trip,
/// half of it at a loss, at most once in a round trip (RFC 5681 sections 3.1 and 3.2, in fragments).
struct SendingWindow: Equatable, Sendable {
    static var initial: Int { 16 }
    static var most: Int { 256 }
    /// A receiver answers every fourth fragment: with fewer under way it might wait for more, and the sender for it.
    static var least: Int { BlobReceiver.fragmentsPerReceipt }

    private(set) var fragments = Self.initial
    private var threshold = Self.most
    /// Fragments received since the window last grew, once it does not start any more.
    private var credit = 0
    /// Losses of copies sent before this one belong to the last halving.
    private var halvedBefore: UInt64 = 0

    mutating func received(_ count: Int) {
        guard fragments < threshold else {
            credit += count
            while credit >= fragments {
                credit -= fragments
                fragments = min(fragments + 1, Self.most)
            }
            return
        }
        fragments = min(fragments + count, threshold)
    }

    /// A copy with the number `order` was lost; the next one will have the number `next`. True when that is news, and the
    /// window only half of what it was.
    mutating func lost(order: UInt64, next: UInt64) -> Bool {
        guard order >= halvedBefore else { return false }
        halvedBefore = next
        threshold = max(fragments / 2, Self.least)
        fragments = threshold
        credit = 0
        return true
    }

    /// Nothing came in time.
    mutating func timedOut(next: UInt64) {
        if fragments > Self.least { threshold = max(fragments / 2, Self.least) }
        halvedBefore = next
        fragments = Self.least
        credit = 0
    }
}
