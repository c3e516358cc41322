/// Held flows in the order in which they began to wait. All wait equally long at most, so the first is always the next
/// to be given up. Doubly linked through the entries.
package struct HoldQueue: BitwiseCopyable {
    package private(set) var first = noFlow
    private var last = noFlow
    package private(set) var count = 0

    package init() {}

    package mutating func append(_ flow: Flow, in table: borrowing FlowTable) {
        let index = table.index(of: flow)
        flow.pointee.holdPrevious = last
        flow.pointee.holdNext = noFlow
        if last != noFlow { table.at(last).pointee.holdNext = index } else { first = index }
        last = index
        count &+= 1
    }

    /// Appends, but before those that began to be held later: a head that took long to come whole has waited already.
    package mutating func insertByStart(_ flow: Flow, in table: borrowing FlowTable) {
        var before = last
        var steps = 0
        while before != noFlow, steps < 64, table.at(before).pointee.holdStarted > flow.pointee.holdStarted {
            before = table.at(before).pointee.holdPrevious
            steps &+= 1
        }
        guard before != last else { return append(flow, in: table) }
        let index = table.index(of: flow)
        let after = before == noFlow ? first : table.at(before).pointee.holdNext
        flow.pointee.holdPrevious = before
        flow.pointee.holdNext = after
        if before != noFlow { table.at(before).pointee.holdNext = index } else { first = index }
        table.at(after).pointee.holdPrevious = index
        count &+= 1
    }

    package mutating func remove(_ flow: Flow, in table: borrowing FlowTable) {
        let next = flow.pointee.holdNext
        let previous = flow.pointee.holdPrevious
        if next != noFlow { table.at(next).pointee.holdPrevious = previous } else { last = previous }
        if previous != noFlow { table.at(previous).pointee.holdNext = next } else { first = next }
        flow.pointee.holdNext = noFlow
        flow.pointee.holdPrevious = noFlow
        count &-= 1
    }
}
