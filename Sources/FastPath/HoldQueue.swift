/// Held flows in the order in which they began to wait. All wait equally long at most, so the first is always the next
/// to be given up. Doubly linked through the entries.
package struct HoldQueue: BitwiseCopyable {
    package private(set) var first = noFlow
    private var last = noFlow
    package private(set) var count = 0

    package init() {}

    package mutating func append(_ flow: Flow, in table: inout FlowTable) {
        let index = table.index(of: flow)
        table.prelude(flow).pointee.holdPrevious = last
        table.prelude(flow).pointee.holdNext = noFlow
        if last != noFlow { table.prelude(table.at(last)).pointee.holdNext = index } else { first = index }
        last = index
        count &+= 1
    }

    /// Appends, but before those that began to be held later: a head that took long to come whole has waited already.
    package mutating func insertByStart(_ flow: Flow, in table: inout FlowTable) {
        var before = last
        var steps = 0
        while before != noFlow, steps < 64,
            table.prelude(table.at(before)).pointee.holdStarted > table.prelude(flow).pointee.holdStarted
        {
            before = table.prelude(table.at(before)).pointee.holdPrevious
            steps &+= 1
        }
        guard before != last else { return append(flow, in: &table) }
        let index = table.index(of: flow)
        let after = before == noFlow ? first : table.prelude(table.at(before)).pointee.holdNext
        table.prelude(flow).pointee.holdPrevious = before
        table.prelude(flow).pointee.holdNext = after
        if before != noFlow { table.prelude(table.at(before)).pointee.holdNext = index } else { first = index }
        table.prelude(table.at(after)).pointee.holdPrevious = index
        count &+= 1
    }

    package mutating func remove(_ flow: Flow, in table: inout FlowTable) {
        let next = table.prelude(flow).pointee.holdNext
        let previous = table.prelude(flow).pointee.holdPrevious
        if next != noFlow { table.prelude(table.at(next)).pointee.holdPrevious = previous } else { last = previous }
        if previous != noFlow { table.prelude(table.at(previous)).pointee.holdNext = next } else { first = next }
        table.prelude(flow).pointee.holdNext = noFlow
        table.prelude(flow).pointee.holdPrevious = noFlow
        count &-= 1
    }
}
