import Wire

/// When entries are due to be looked at: a wheel of slots, one tick each, with the entries of a slot in a doubly linked
/// list through the entries themselves. A deadline further away than the wheel's turn is looked at once a turn. A flow
/// that is only touched is not moved: the look finds that it is not due yet and puts it where it belongs (lazy
/// re-arming), so a packet costs one store.
package struct FlowTimers: ~Copyable {
    private let slots: UnsafeMutablePointer<UInt32>
    private let slotMask: UInt64
    /// TSC ticks are shifted by this to make wheel ticks: some 4 to 8 ms.
    private let shift: UInt64
    private var current: UInt64

    package init(now: UInt64, hertz: UInt64, slotCount: Int = 16_384) {
        slots = .allocate(capacity: slotCount)
        slots.initialize(repeating: noFlow, count: slotCount)
        slotMask = UInt64(slotCount - 1)
        var shift: UInt64 = 0
        while (hertz / 128) >> (shift + 1) > 0 { shift += 1 }
        self.shift = shift
        current = now >> shift
    }

    deinit { slots.deallocate() }

    /// Puts an entry where its deadline is. It must not be in the wheel.
    package mutating func arm(_ flow: Flow, in table: borrowing FlowTable) {
        let due = max(flow.pointee.deadline >> shift, current) &+ 1
        let slot = UInt32(truncatingIfNeeded: min(due, current &+ slotMask) & slotMask)
        let index = table.index(of: flow)
        let head = slots[Int(slot)]
        flow.pointee.timerSlot = slot
        flow.pointee.timerPrevious = noFlow
        flow.pointee.timerNext = head
        if head != noFlow { table.at(head).pointee.timerPrevious = index }
        slots[Int(slot)] = index
    }

    package mutating func disarm(_ flow: Flow, in table: borrowing FlowTable) {
        guard flow.pointee.timerSlot != noFlow else { return }
        let next = flow.pointee.timerNext
        let previous = flow.pointee.timerPrevious
        if next != noFlow { table.at(next).pointee.timerPrevious = previous }
        if previous != noFlow {
            table.at(previous).pointee.timerNext = next
        } else {
            slots[Int(flow.pointee.timerSlot)] = next
        }
        flow.pointee.timerSlot = noFlow
    }

    /// Takes the next entry to be looked at out of the wheel; nil when there is none up to `now` within `steps` slots.
    package mutating func next(now: UInt64, steps: inout Int, in table: borrowing FlowTable) -> Flow? {
        let target = now >> shift
        while current <= target, steps > 0 {
            let head = slots[Int(current & slotMask)]
            if head != noFlow {
                let flow = table.at(head)
                disarm(flow, in: table)
                return flow
            }
            if current == target { return nil }
            current &+= 1
            steps &-= 1
        }
        return nil
    }
}
