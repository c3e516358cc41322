import Wire

/// When entries are due to be looked at: a wheel of slots, one tick each, with the entries of a slot in a doubly linked
/// list through their links. A deadline further away than the wheel's turn is looked at once a turn. A flow that is only
/// touched is not moved: the look finds that it is not due yet and puts it where it belongs (lazy re-arming), so a packet
/// costs one store.
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

    /// The wheel's tick at a time, as entries keep it.
    @inline(__always)
    package func tick(at now: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: now >> shift) }

    /// The TSC at the end of a tick that is not later than `now`, or `now`. Exact to a tick.
    package func time(ofTick tick: UInt32, now: UInt64) -> UInt64 {
        let elapsed = UInt64(self.tick(at: now) &- tick)
        return min(now, (((now >> shift) &- elapsed) &+ 1) << shift)
    }

    // The head of a list has its slot in the place of a neighbour, marked by the highest two bits: no index of a flow
    // has both.
    private static var slotMark: UInt32 { 0xC000_0000 }
    /// In no list. Not a slot: there are fewer.
    private static var unarmed: UInt32 { noFlow }

    /// Puts an entry where its deadline is. It must not be in the wheel.
    package mutating func arm(_ flow: Flow, deadline: UInt64, in table: inout FlowTable) {
        let due = max(deadline >> shift, current) &+ 1
        let slot = UInt32(truncatingIfNeeded: min(due, current &+ slotMask) & slotMask)
        let index = table.index(of: flow)
        let head = slots[Int(slot)]
        let links = table.links(index)
        links.pointee.previous = FlowTimers.slotMark | slot
        links.pointee.next = head
        if head != noFlow { table.links(head).pointee.previous = index }
        slots[Int(slot)] = index
    }

    package mutating func disarm(_ flow: Flow, in table: inout FlowTable) {
        let links = table.links(of: flow)
        let next = links.pointee.next
        let previous = links.pointee.previous
        guard previous != FlowTimers.unarmed else { return }
        if next != noFlow { table.links(next).pointee.previous = previous }
        if previous & FlowTimers.slotMark == FlowTimers.slotMark {
            slots[Int(previous & ~FlowTimers.slotMark)] = next
        } else {
            table.links(previous).pointee.next = next
        }
        links.pointee.previous = FlowTimers.unarmed
    }

    /// Takes the next entry to be looked at out of the wheel; nil when there is none up to `now` within `steps` slots.
    package mutating func next(now: UInt64, steps: inout Int, in table: inout FlowTable) -> Flow? {
        let target = now >> shift
        while current <= target, steps > 0 {
            let head = slots[Int(current & slotMask)]
            if head != noFlow {
                let flow = table.at(head)
                disarm(flow, in: &table)
                return flow
            }
            if current == target { return nil }
            current &+= 1
            steps &-= 1
        }
        return nil
    }
}
