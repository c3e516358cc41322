/// The timeout queue: any number of timers, each set, moved and cancelled in constant time, without a search.
///
/// A hierarchy of wheels with 64 slots each (Varghese and Lauck 1987). A timer lies on the level of the highest group
/// of six bits in which its tick differs from the present one, in the slot that this group names; when time reaches the
/// slot, its timers move to lower levels or fire. Eleven levels cover 64 bits, so there is no wrap and no horizon. One
/// word a level says which slots are in use, so time jumps from event to event whatever lies between.
///
/// A timer never fires early: deadlines are rounded up to a tick. Work in one `advance` is bounded by the caller.
package struct TimingWheel<Element> {
    /// Names a timer that has been set. Stale after it fired or was cancelled; using it then does nothing.
    package struct Token: Hashable, Sendable {
        fileprivate var index: UInt32
        fileprivate var generation: UInt32
    }

    package let tickMicroseconds: UInt64
    /// Timers that are set.
    package private(set) var count = 0

    private var entries: [Entry] = []
    private var freeEntry = none
    /// First entry of each slot, levels one after the other.
    private var heads: [UInt32]
    /// A bit for each slot in use, a word a level.
    private var occupied: [UInt64]
    private var currentTick: UInt64
    /// The slot that the last `advance` left half done.
    private var unfinishedSlot: Int?

    private struct Entry {
        var tick: UInt64
        var element: Element?
        var next: UInt32
        var previous: UInt32
        var generation: UInt32
        /// Level times 64 plus slot.
        var slot: UInt16
    }

    private static var none: UInt32 { .max }
    private static var levels: Int { 11 }

    package init(tickMicroseconds: UInt64, now: UInt64 = 0, reservedCapacity: Int = 0) {
        self.tickMicroseconds = max(1, tickMicroseconds)
        currentTick = now / self.tickMicroseconds
        heads = .init(repeating: Self.none, count: Self.levels * 64)
        occupied = .init(repeating: 0, count: Self.levels)
        entries.reserveCapacity(reservedCapacity)
    }

    /// Sets a timer. A deadline in the past fires at the next `advance`.
    package mutating func insert(_ element: Element, at deadline: UInt64) -> Token {
        let (quotient, remainder) = deadline.quotientAndRemainder(dividingBy: tickMicroseconds)
        let index = takeEntry()
        entries[Int(index)].element = element
        entries[Int(index)].tick = max(quotient + (remainder == 0 ? 0 : 1), currentTick)
        link(index)
        count += 1
        return Token(index: index, generation: entries[Int(index)].generation)
    }

    /// Takes a timer back; nil when it is not set any more.
    @discardableResult
    package mutating func cancel(_ token: Token) -> Element? {
        guard token.index < entries.count, entries[Int(token.index)].generation == token.generation,
            let element = entries[Int(token.index)].element
        else { return nil }
        unlink(token.index)
        release(token.index)
        return element
    }

    /// The time at which `advance` has something to do: the earliest deadline, or a little before it when that timer
    /// must change its level first. Nil when no timer is set.
    package var nextDeadline: UInt64? {
        if unfinishedSlot != nil { return currentTick * tickMicroseconds }
        guard let event = nextEvent else { return nil }
        let (deadline, overflow) = event.tick.multipliedReportingOverflow(by: tickMicroseconds)
        return overflow ? .max : deadline
    }

    /// Hands over the timers that are due by `now`, in slices: at most `limit` of them (and of moves between levels) in
    /// one call. True when everything that was due is done.
    @discardableResult
    package mutating func advance(to now: UInt64, limit: Int = .max, _ fire: (Element) -> Void) -> Bool {
        let target = max(now / tickMicroseconds, currentTick)
        var budget = limit
        while budget > 0 {
            if let slot = unfinishedSlot {
                if !empty(slot, budget: &budget, fire) { return false }
                continue
            }
            guard let event = nextEvent, event.tick <= target else {
                currentTick = target
                return true
            }
            currentTick = event.tick
            unfinishedSlot = event.slot
        }
        return unfinishedSlot == nil && (nextEvent.map { $0.tick > target } ?? true)
    }

    // MARK: Slots

    /// The first slot in use, and when its time comes. A lower level always comes first: its slots lie within the
    /// present slot of the next level.
    private var nextEvent: (slot: Int, tick: UInt64)? {
        for level in 0..<Self.levels where occupied[level] != 0 {
            let slot = occupied[level].trailingZeroBitCount
            let shift = UInt64(level * 6)
            let upper = shift + 6 < 64 ? (currentTick >> (shift + 6)) << (shift + 6) : 0
            return (level * 64 + slot, max(upper | UInt64(slot) << shift, currentTick))
        }
        return nil
    }

    /// Fires or moves down what the slot holds. False when the budget ended first.
    private mutating func empty(_ slot: Int, budget: inout Int, _ fire: (Element) -> Void) -> Bool {
        while heads[slot] != Self.none {
            guard budget > 0 else { return false }
            budget -= 1
            let index = heads[slot]
            unlink(index)
            if entries[Int(index)].tick > currentTick {
                link(index)
            } else if let element = entries[Int(index)].element {
                release(index)
                fire(element)
            }
        }
        unfinishedSlot = nil
        return true
    }

    private mutating func link(_ index: UInt32) {
        let tick = entries[Int(index)].tick
        let difference = tick ^ currentTick
        let level = difference == 0 ? 0 : (63 - difference.leadingZeroBitCount) / 6
        let position = Int(tick >> UInt64(level * 6) & 63)
        let slot = level * 64 + position
        let head = heads[slot]
        entries[Int(index)].slot = UInt16(slot)
        entries[Int(index)].next = head
        entries[Int(index)].previous = Self.none
        if head != Self.none { entries[Int(head)].previous = index }
        heads[slot] = index
        occupied[level] |= 1 << UInt64(position)
    }

    private mutating func unlink(_ index: UInt32) {
        let (next, previous, slot) = (
            entries[Int(index)].next, entries[Int(index)].previous, Int(entries[Int(index)].slot)
        )
        if next != Self.none { entries[Int(next)].previous = previous }
        if previous != Self.none {
            entries[Int(previous)].next = next
        } else {
            heads[slot] = next
            if next == Self.none { occupied[slot / 64] &= ~(1 << UInt64(slot % 64)) }
        }
    }

    // MARK: Entries

    private mutating func takeEntry() -> UInt32 {
        guard freeEntry != Self.none else {
            entries.append(
                Entry(tick: 0, element: nil, next: Self.none, previous: Self.none, generation: 0, slot: 0))
            return UInt32(entries.count - 1)
        }
        let index = freeEntry
        freeEntry = entries[Int(index)].next
        return index
    }

    private mutating func release(_ index: UInt32) {
        entries[Int(index)].element = nil
        entries[Int(index)].generation &+= 1
        entries[Int(index)].next = freeEntry
        freeEntry = index
        count -= 1
    }
}
