import Synchronization

/// What has come, on its way to the one thread that takes it. It never grows beyond what the connections may have in it
/// (`StreamBounds.incomingFrames` each, and an end), and neither side waits for the other.
final class StreamInbox: Sendable {
    typealias Entry = (event: StreamEvent, carrier: (any FrameCarrier)?)

    private let entries = Mutex<[Entry]>([])
    /// So that a turn of the taking loop costs a load when nothing has come.
    private let isFilled = Atomic<Bool>(false)
    private let wake: @Sendable () -> Void

    /// - Parameter wake: Makes the taker look, from any thread.
    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    var isEmpty: Bool { !isFilled.load(ordering: .acquiring) }

    func put(_ event: StreamEvent, of carrier: (any FrameCarrier)? = nil) {
        let wasEmpty = entries.withLock { entries in
            entries.append((event, carrier))
            return !isFilled.exchange(true, ordering: .acquiringAndReleasing)
        }
        if wasEmpty { wake() }
    }

    func take() -> [Entry] {
        if isEmpty { return [] }
        let taken = entries.withLock { entries in
            isFilled.store(false, ordering: .releasing)
            defer { entries = [] }
            return entries
        }
        for entry in taken {
            if case .frame = entry.event { entry.carrier?.frameTaken() }
        }
        return taken
    }
}
