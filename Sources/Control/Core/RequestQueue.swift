internal import DequeModule
package import InterCore

/// Requests that wait, held, for a proxy that has too much to do just now. Served by priority, then age; when there are
/// more than `limit`, the least important goes, and of these the youngest. Bounded; nobody waits longer than `patience`.
///
/// A rule has one priority, so each rule's requests are in order of age by themselves, and to serve is to compare rules.
package struct RequestQueue: Sendable {
    package struct Waiting: Sendable {
        package var handle: FlowHandle
        package var request: TransferRequest
        package var since: UInt64

        package init(handle: FlowHandle, request: TransferRequest, since: UInt64) {
            self.handle = handle
            self.request = request
            self.since = since
        }
    }

    package let limit: Int
    package let patienceMicroseconds: UInt64
    /// Requests that wait.
    package private(set) var count = 0
    /// By rule; lower is more important.
    private let priorities: [Int]
    /// By rule, the oldest first; nil where a request has left before its turn.
    private var lines: [Deque<Waiting?>]
    private var places: [FlowHandle: (rule: Int, number: Int)] = [:]
    /// Numbers of each line's first place.
    private var firstNumbers: [Int]

    package init(limit: Int, patienceMicroseconds: UInt64, priorities: [Int]) {
        self.limit = limit
        self.patienceMicroseconds = patienceMicroseconds
        self.priorities = priorities
        lines = .init(repeating: [], count: priorities.count)
        firstNumbers = .init(repeating: 0, count: priorities.count)
    }

    package var isEmpty: Bool { count == 0 }
    package func contains(_ handle: FlowHandle) -> Bool { places[handle] != nil }

    /// Puts a request in line. Returns the one that must go for it, possibly itself.
    package mutating func append(_ waiting: Waiting) -> Waiting? {
        let rule = waiting.request.rule
        places[waiting.handle] = (rule, firstNumbers[rule] + lines[rule].count)
        lines[rule].append(waiting)
        count += 1
        return count > limit ? removeLeastImportant() : nil
    }

    /// The rule whose first request is to be served next, of those that `mayServe`.
    package func nextRule(_ mayServe: (Int) -> Bool) -> Int? {
        var best: Int?
        for rule in lines.indices where first(rule) != nil && mayServe(rule) {
            guard let other = best else {
                best = rule
                continue
            }
            let mine = (priorities[rule], first(rule)?.since ?? 0)
            if mine < (priorities[other], first(other)?.since ?? 0) { best = rule }
        }
        return best
    }

    /// A rule's oldest request.
    package func first(_ rule: Int) -> Waiting? { lines[rule].first ?? nil }

    package mutating func removeFirst(_ rule: Int) -> Waiting? {
        guard let waiting = first(rule) else { return nil }
        remove(waiting.handle)
        return waiting
    }

    /// The request has been ended by its worker.
    package mutating func remove(_ handle: FlowHandle) {
        guard let (rule, number) = places.removeValue(forKey: handle) else { return }
        lines[rule][number - firstNumbers[rule]] = nil
        count -= 1
        // Places at both ends that nobody has any more.
        while let first = lines[rule].first, first == nil {
            lines[rule].removeFirst()
            firstNumbers[rule] += 1
        }
        while let last = lines[rule].last, last == nil { lines[rule].removeLast() }
    }

    /// One whose patience has ended by `now`.
    package mutating func removeExpired(now: UInt64) -> Waiting? {
        for rule in lines.indices {
            if let first = first(rule), first.since + patienceMicroseconds <= now { return removeFirst(rule) }
        }
        return nil
    }

    package var nextDeadline: UInt64? {
        lines.indices.lazy.compactMap { first($0)?.since }.min().map { $0 + patienceMicroseconds }
    }

    private mutating func removeLeastImportant() -> Waiting? {
        let occupied = lines.indices.filter { first($0) != nil }
        guard
            let rule = occupied.max(by: { one, other in
                (priorities[one], lines[one].last??.since ?? 0) < (priorities[other], lines[other].last??.since ?? 0)
            }), let last = lines[rule].last ?? nil
        else { return nil }
        remove(last.handle)
        return last
    }
}
