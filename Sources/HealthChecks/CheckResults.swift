internal import Control
internal import Synchronization

/// What checks have found, on its way to the one thread that takes it. Neither side waits for the other. A taker that is
/// away for long loses the newest, and the next check says the same.
final class CheckResults: Sendable {
    private let results = Mutex<[(origin: Int, check: OriginCheck)]>([])
    /// So that a turn of the taking loop costs a load when nothing has come.
    private let isFilled = Atomic<Bool>(false)
    private let wake: @Sendable () -> Void

    private static var limit: Int { 4_096 }

    /// - Parameter wake: Makes the taker look, from any thread.
    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    var isEmpty: Bool { !isFilled.load(ordering: .acquiring) }

    func put(_ origin: Int, _ check: OriginCheck) {
        let wasEmpty = results.withLock { results in
            if results.count < Self.limit { results.append((origin, check)) }
            return !isFilled.exchange(true, ordering: .acquiringAndReleasing)
        }
        if wasEmpty { wake() }
    }

    func take() -> [(origin: Int, check: OriginCheck)] {
        if isEmpty { return [] }
        return results.withLock { results in
            isFilled.store(false, ordering: .releasing)
            defer { results = [] }
            return results
        }
    }
}
