import Synchronization

/// Counts up to a bound.
final class BoundedCount: Sendable {
    private let count = Mutex(0)

    /// False when the bound is reached.
    func increment(below limit: Int) -> Bool {
        count.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
    }

    func decrement() { count.withLock { $0 -= 1 } }
}
