package import Wire

/// Names of the connections that a host's servers get by replay: the agent's number of each, the ticket of its order, and
/// the worker's handle of its flow. Bounded by the flows that the worker has room for, and by the orders in their ring.
package struct ReplayTable {
    private struct Replay {
        var number: UInt64
        var orderedAt: UInt64
        var isCancelled = false
    }

    private var epoch: UInt64 = 0
    private var nextTicket: UInt32 = firstTicket
    /// By ticket, until the server has answered.
    private var ordered: [UInt32: Replay] = [:]
    private var handles: [UInt64: FlowHandle] = [:]
    /// Those that have begun or wait for their request; nil: its agent is gone, and nobody wants to know.
    private var numbers: [FlowHandle: UInt64?] = [:]
    private var lastEnd: UInt64 = 0
    private var nextLook: UInt64 = 0

    package init() {}

    /// Other tickets are the control core's, of flows that agents have announced.
    private static var firstTicket: UInt32 { 1 << 31 }
    package static func isOrder(_ ticket: UInt32) -> Bool { ticket >= firstTicket }
    package func has(_ handle: FlowHandle) -> Bool { numbers.keys.contains(handle) }

    package var count: Int { ordered.count + numbers.count }

    /// Nothing is under way, and what has ended has had time for its last acknowledgement.
    package func isEmpty(since now: UInt64) -> Bool { count == 0 && now >= lastEnd + 500_000 }

    /// An agent has come. When it is another one than before, what waits for its request is to be undone; what has begun
    /// goes on untold.
    package mutating func begin(_ epoch: UInt64) -> [FlowHandle] {
        guard epoch != self.epoch else { return [] }
        self.epoch = epoch
        for ticket in ordered.keys { ordered[ticket]?.isCancelled = true }
        let undone = Array(numbers.keys)
        for handle in undone { numbers[handle] = .some(nil) }
        handles.removeAll()
        // Whatever has begun ignores that.
        return undone
    }

    package mutating func order(_ connection: ConnectionState, _ number: UInt64, now: UInt64) -> ReplayOrder? {
        guard ordered[nextTicket] == nil else { return nil }
        defer { nextTicket = nextTicket &+ 1 | ReplayTable.firstTicket }
        ordered[nextTicket] = Replay(number: number, orderedAt: now)
        return ReplayOrder(connection, ticket: nextTicket)
    }

    /// Orders of which the worker has said nothing for so long that it will not: it had no room to. Once in a while.
    package mutating func forgetUnanswered(now: UInt64) -> [UInt64] {
        guard now >= nextLook else { return [] }
        nextLook = now + ReplayTable.patience / 2
        let old = ordered.filter { now >= $0.value.orderedAt + ReplayTable.patience }
        for ticket in old.keys { ordered[ticket] = nil }
        return old.values.filter { !$0.isCancelled }.map(\.number)
    }

    /// Microseconds; a server that does not answer is given up sooner.
    private static var patience: UInt64 { 2_000_000 }

    /// nil when nobody wants it any more: it is to be undone, and counts until that is done.
    package mutating func installed(_ handle: FlowHandle, _ ticket: UInt32) -> UInt64? {
        guard let replay = ordered.removeValue(forKey: ticket), !replay.isCancelled else {
            numbers[handle] = .some(nil)
            return nil
        }
        handles[replay.number] = handle
        numbers[handle] = replay.number
        return replay.number
    }

    package mutating func refused(_ ticket: UInt32) -> UInt64? {
        guard let replay = ordered.removeValue(forKey: ticket), !replay.isCancelled else { return nil }
        return replay.number
    }

    /// The handle of a connection that is to be undone; nil when it has none yet.
    package mutating func cancel(_ number: UInt64) -> FlowHandle? {
        if let ticket = ordered.first(where: { $0.value.number == number })?.key {
            ordered[ticket]?.isCancelled = true
            return nil
        }
        guard let handle = handles.removeValue(forKey: number) else { return nil }
        numbers[handle] = .some(nil)
        return handle
    }

    package func begun(_ handle: FlowHandle) -> UInt64? { numbers[handle] ?? nil }

    package mutating func ended(_ handle: FlowHandle, now: UInt64) -> UInt64? {
        lastEnd = now
        guard let number = numbers.removeValue(forKey: handle) ?? nil else { return nil }
        handles[number] = nil
        return number
    }
}
