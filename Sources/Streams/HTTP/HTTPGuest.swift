internal import NIOCore
internal import NIOHTTP1
import Synchronization
internal import Wire

/// The agent's end of a channel over HTTP. One request of the director waits for something to be said; the next one frees
/// it. On the event loop, but for what any thread may call.
final class HTTPGuest: FrameCarrier, @unchecked Sendable {
    let name: String
    let peer: Endpoint
    weak var owner: Dial?
    let openedAt: NIODeadline? = .now()
    private let eventLoop: any EventLoop
    private let outbox: FrameOutbox
    private let untaken = Atomic<Int>(0)
    private weak var exchanges: HTTPExchanges?
    private let inbox: StreamInbox
    private let bounds: StreamBounds
    private var waiting: HTTPRequestReader?
    private var end: StreamEnd?
    private var lastHeard = NIODeadline.now()
    private var isConfirmed = false
    private var release: Scheduled<Void>?

    init(_ name: String, _ peer: Endpoint, on eventLoop: any EventLoop, _ exchanges: HTTPExchanges) {
        self.name = name
        self.peer = peer
        self.eventLoop = eventLoop
        self.exchanges = exchanges
        inbox = exchanges.inbox
        bounds = exchanges.bounds
        outbox = FrameOutbox(limit: bounds.outgoingBytes)
        watch()
    }

    private var patience: TimeAmount { .microseconds(Int64(bounds.patienceMicroseconds)) }

    // MARK: from any thread

    func send(_ frame: [UInt8]) -> Bool {
        let (hasRoom, isFirst) = outbox.put(frame)
        if isFirst { eventLoop.execute { self.deliver() } }
        return hasRoom
    }

    func close(_ end: StreamEnd) {
        eventLoop.execute { self.finish(end) }
    }

    func confirm() {
        eventLoop.execute { self.isConfirmed = true }
    }

    func frameTaken() { untaken.subtract(1, ordering: .acquiringAndReleasing) }

    // MARK: on the event loop

    /// A request has come. Frames that find too many others untaken are lost, like datagrams.
    func ask(_ frames: [[UInt8]], _ reader: HTTPRequestReader) {
        guard end == nil else { return reader.refuse(.serviceUnavailable) }
        lastHeard = .now()
        for frame in frames where untaken.load(ordering: .acquiring) < bounds.incomingFrames {
            untaken.add(1, ordering: .acquiringAndReleasing)
            inbox.put(.frame(frame, from: peer), of: self)
        }
        free()
        waiting = reader
        release = eventLoop.assumeIsolated().scheduleTask(in: patience / 2) { self.free() }
        deliver()
    }

    /// The request that waits is answered with nothing.
    private func free() {
        release?.cancel()
        waiting?.answer([])
        waiting = nil
    }

    private func deliver() {
        guard let reader = waiting, !outbox.isEmpty else { return }
        release?.cancel()
        waiting = nil
        reader.answer(outbox.take(HTTPFrames.most))
    }

    /// The connection of a request has gone.
    func lost(_ reader: HTTPRequestReader) {
        if waiting === reader { waiting = nil }
    }

    /// Without requests, or without anything authentic, an exchange does not stay.
    private func watch() {
        // At the beginning nothing has been heard of later than the beginning.
        _ = eventLoop.assumeIsolated().scheduleTask(deadline: lastHeard + patience) { [weak self] in
            guard let self, self.end == nil else { return }
            if !self.isConfirmed { return self.finish(StreamEnd(.unauthenticated, "nothing authentic has come")) }
            if .now() - self.lastHeard >= self.patience {
                return self.finish(StreamEnd(.silent, "no request has come"))
            }
            self.watch()
        }
    }

    private func finish(_ reason: StreamEnd) {
        guard end == nil else { return }
        deliver()
        end = reason
        release?.cancel()
        waiting?.close()
        waiting = nil
        exchanges?.forget(self, reason)
    }
}

private func / (amount: TimeAmount, divisor: Int64) -> TimeAmount { .nanoseconds(amount.nanoseconds / divisor) }
