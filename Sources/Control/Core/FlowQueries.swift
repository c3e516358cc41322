package import Wire

/// Connections that a forwarder has no mapping for, and asks the agents about: so many in a time, each of them once until
/// the answers have come, and not again for a while when nobody has it. Bounded.
package struct FlowQueries: Sendable {
    private struct Query {
        /// Places of the proxies that have not answered.
        var awaited: Set<Int>
        var until: UInt64
    }

    private var pending: [FlowKey: Query] = [:]
    /// What nobody has, and until when that is believed.
    private var unknown: [FlowKey: UInt64] = [:]
    /// Millionths of a frame.
    private var credit = framesPerSecond * 1_000_000
    private var updated: UInt64 = 0

    /// A question is a frame to each agent: so many a second, and at once.
    package static var framesPerSecond: UInt64 { 4_000 }
    /// An agent that has not answered by then does not.
    package static var patienceMicroseconds: UInt64 { 1_000_000 }
    package static var unknownMicroseconds: UInt64 { 5_000_000 }
    /// Of each table.
    package static var capacity: Int { 16_384 }

    package init() {}

    package enum Verdict: Equatable { case ask, isAsked, isUnknown, tooMany }

    /// Whether to ask `agents` now.
    package mutating func begin(_ key: FlowKey, agents: Set<Int>, now: UInt64) -> Verdict {
        if let until = unknown[key] {
            if until > now { return .isUnknown }
            unknown[key] = nil
        }
        if let query = pending[key], query.until > now { return .isAsked }
        let elapsed = min(now - min(updated, now), 1_000_000)
        updated = max(updated, now)
        credit = min(credit + elapsed * Self.framesPerSecond, Self.framesPerSecond * 1_000_000)
        // With more agents than that a question takes all there is.
        let cost = min(UInt64(agents.count), Self.framesPerSecond) * 1_000_000
        if pending.count >= Self.capacity { pending = pending.filter { $0.value.until > now } }
        guard credit >= cost, pending.count < Self.capacity, !agents.isEmpty else { return .tooMany }
        credit -= cost
        pending[key] = Query(awaited: agents, until: now + Self.patienceMicroseconds)
        return .ask
    }

    /// Somebody has it.
    package mutating func found(_ key: FlowKey) {
        pending[key] = nil
        unknown[key] = nil
    }

    /// An agent has not got it.
    package mutating func notFound(_ key: FlowKey, at agent: Int, now: UInt64) {
        guard pending[key]?.awaited.remove(agent) != nil, pending[key]?.awaited.isEmpty == true else { return }
        pending[key] = nil
        if unknown.count >= Self.capacity { unknown = unknown.filter { $0.value > now } }
        // Without room it is only asked for again.
        if unknown.count < Self.capacity { unknown[key] = now + Self.unknownMicroseconds }
    }
}
