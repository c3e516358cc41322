import Foundation
import Synchronization

/// Requests of operators on their way to the control core. Any thread submits; the control core's loop polls
/// `descriptor` along with its own, takes requests, and answers each when it can. Neither side ever waits for the
/// other: a full mailbox refuses, and a request that nobody answers fails by the submitter's own clock.
public final class OperatorMailbox: Sendable {
    /// A pipe's end that is readable while requests wait; -1 when the system has no descriptor to give. Only to be
    /// polled; `take` empties it.
    public let descriptor: Int32
    private let bell: Int32
    private let capacity: Int
    private let waiting = Mutex<[PendingRequest]>([])
    /// The pipe has a byte, which is so while requests wait. Written under the lock; read without it, so that a turn of
    /// the control core costs a load when nobody asks.
    private let isRung = Atomic<Bool>(false)

    public init(capacity: Int = 64) {
        self.capacity = capacity
        var ends: [Int32] = [-1, -1]
        _ = pipe(&ends)
        for end in ends where end >= 0 {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        (descriptor, bell) = (ends[0], ends[1])
    }

    deinit {
        for end in [descriptor, bell] where end >= 0 { close(end) }
    }

    /// False when the mailbox is full; `answer` is then never called. Otherwise it is called exactly once, on the
    /// thread that answers.
    /// - Parameter loaded: For a request that reads the configuration; without problems that are errors.
    public func submit(
        _ request: OperatorRequest, loaded: LoadedConfiguration? = nil,
        answer: @escaping @Sendable (OperatorResponse) -> Void
    ) -> Bool {
        waiting.withLock { waiting in
            guard waiting.count < capacity else { return false }
            waiting.append(PendingRequest(request, loaded: loaded, answer))
            if !isRung.exchange(true, ordering: .acquiringAndReleasing) {
                var byte: UInt8 = 1
                _ = write(bell, &byte, 1)
            }
            return true
        }
    }

    /// Takes what waits, oldest first, at most `limit` (the control core's work comes first).
    public func take(limit: Int = 8) -> [PendingRequest] {
        guard isRung.load(ordering: .acquiring) else { return [] }
        return waiting.withLock { waiting in
            let taken = Array(waiting.prefix(limit))
            waiting.removeFirst(taken.count)
            if waiting.isEmpty {
                var byte: UInt8 = 0
                _ = read(descriptor, &byte, 1)
                isRung.store(false, ordering: .releasing)
            }
            return taken
        }
    }
}

/// A request that waits for its answer. Forgotten without one, it answers for itself, so that no operator waits in vain.
public final class PendingRequest: Sendable {
    public let request: OperatorRequest
    /// What `request` needs of the configuration file, read by who submitted it.
    public let loaded: LoadedConfiguration?
    private let completion: Mutex<(@Sendable (OperatorResponse) -> Void)?>

    init(
        _ request: OperatorRequest, loaded: LoadedConfiguration?,
        _ answer: @escaping @Sendable (OperatorResponse) -> Void
    ) {
        self.request = request
        self.loaded = loaded
        completion = Mutex(answer)
    }

    deinit { answer(.failure("the director gave no answer")) }

    /// The first answer counts; later ones do nothing.
    public func answer(_ response: OperatorResponse) {
        let completion = completion.withLock { completion in
            defer { completion = nil }
            return completion
        }
        completion?(response)
    }
}
