public import Synchronization

/// Wakes a core that sleeps. The sleeper says that it is about to sleep, looks once more at its rings, and waits on
/// `descriptor`; whoever pushes to one of its rings asks `isSleeperWaiting` afterwards, which costs a fence and a load,
/// and only then makes the descriptor readable: one system call, part of the idle policy (invariant 5).
///
/// The memory is never freed: bells live as long as the process.
public struct Doorbell: @unchecked Sendable {
    /// An eventfd, owned by whoever made the bell. This module makes no system call itself.
    public let descriptor: Int32
    @usableFromInline let asleep: UnsafeMutablePointer<Atomic<Bool>>

    public init(descriptor: Int32) {
        self.descriptor = descriptor
        asleep = .allocate(capacity: 1)
        asleep.initialize(to: Atomic(false))
    }

    /// Sleeper: call before the last look at the rings.
    @inlinable
    public func prepareToSleep() {
        asleep.pointee.store(true, ordering: .sequentiallyConsistent)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
    }

    /// Sleeper: awake again, or changed its mind.
    @inlinable
    public func awake() { asleep.pointee.store(false, ordering: .relaxed) }

    /// The other side, after a push: true when `descriptor` must be written to.
    @inlinable
    public var isSleeperWaiting: Bool {
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return asleep.pointee.load(ordering: .relaxed)
    }
}
