package import CRTP

/// What this agent has promised to rules that require something (`Requirements`), and what it can.
package struct Promises: Equatable {
    package var capacity = Capacity()
    /// kbit/s of all connections that were promised some.
    package private(set) var bandwidth: UInt64 = 0

    package init() {}

    /// Why the requirements cannot be met; nil when they can.
    package func refusal(of requirements: Requirements) -> NACKReason? {
        if let wanted = requirements.trafficClass, capacity.classes?.contains(wanted) == false { return .policy }
        if requirements.delay != 0, requirements.delay < capacity.delay { return .policy }
        let total = bandwidth + UInt64(requirements.bandwidth)
        return requirements.bandwidth != 0 && capacity.bandwidth != 0 && total > UInt64(capacity.bandwidth)
            ? .resource : nil
    }

    package mutating func make(_ requirements: Requirements) { bandwidth += UInt64(requirements.bandwidth) }

    /// The connection is over, or did not come about.
    package mutating func end(_ requirements: Requirements) { bandwidth -= UInt64(requirements.bandwidth) }
}
