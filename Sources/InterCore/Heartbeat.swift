public import Synchronization

/// When a core was last alive, as a TSC value. Written by that core in each loop, read by the others.
///
/// A core never sleeps longer than a fraction of the time after which it counts as dead.
/// The memory is never freed: heartbeats live as long as the process.
public struct Heartbeat: @unchecked Sendable {
    @usableFromInline let last: UnsafeMutablePointer<Atomic<UInt64>>

    public init() {
        last = .allocate(capacity: 1)
        last.initialize(to: Atomic(0))
    }

    @inlinable
    public func beat(now: UInt64) { last.pointee.store(now, ordering: .relaxed) }

    @inlinable public var lastBeat: UInt64 { last.pointee.load(ordering: .relaxed) }
}
