import Synchronization
internal import Wire

/// Which identifiers of flows have been given to forwarders: those of all connections in a row since the first one. One
/// thread writes, others read.
package final class FlowIdentifiers: Sendable {
    private let first: Atomic<UInt64>
    private let next: Atomic<UInt64>

    /// - Parameter first: the number of the first connection.
    package init(first: UInt64) {
        self.first = Atomic(first)
        next = Atomic(first)
    }

    /// Connections with numbers below have one.
    package func give(upTo number: UInt64) { next.store(number, ordering: .relaxed) }

    package func start(at number: UInt64) {
        first.store(number, ordering: .relaxed)
        next.store(number, ordering: .relaxed)
    }

    /// 24 bits, not 0, by a connection's number.
    package static func identifier(of number: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: number % count) + 1 }

    private static var count: UInt64 { UInt64(Encapsulation.flowIdentifiers.count) }

    /// Some connection has had it, of this process or of those whose connections it inherited.
    package func isKnown(_ identifier: UInt32) -> Bool {
        let (first, next) = (first.load(ordering: .relaxed), next.load(ordering: .relaxed))
        guard identifier != 0, next - first < Self.count else { return identifier != 0 }
        let distance = (UInt64(identifier - 1) + Self.count - first % Self.count) % Self.count
        return distance < next - first
    }
}
