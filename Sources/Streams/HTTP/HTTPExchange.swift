internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
import Synchronization
internal import Wire

/// The director's end of a channel over HTTP: frames go in requests, and what the agent has to say comes in the answers.
/// There is always a request that the agent may answer, and another connection that is free for a frame; with more to
/// send others are made, up to four.
final class HTTPExchange: FrameCarrier, @unchecked Sendable {
    let peer: Endpoint
    weak var owner: Dial?
    private let eventLoop: any EventLoop
    private let inbox: StreamInbox
    private let bounds: StreamBounds
    private let opened: (HTTPExchange) -> Void
    private let ended: (HTTPExchange, StreamEnd) -> Void
    private let outbox: FrameOutbox
    private let untaken = Atomic<Int>(0)

    // The event loop's own.
    let name: String
    private var links: [HTTPLink] = []
    private var isConnecting = false
    private var isPausing = false
    private var end: StreamEnd?
    private(set) var openedAt: NIODeadline?

    private static var fewestLinks: Int { 2 }
    private static var mostLinks: Int { 4 }
    private static var pause: TimeAmount { .milliseconds(200) }

    init(
        _ peer: Endpoint, on eventLoop: any EventLoop, inbox: StreamInbox, bounds: StreamBounds,
        opened: @escaping (HTTPExchange) -> Void, ended: @escaping (HTTPExchange, StreamEnd) -> Void
    ) {
        self.peer = peer
        self.eventLoop = eventLoop
        self.inbox = inbox
        self.bounds = bounds
        self.opened = opened
        self.ended = ended
        outbox = FrameOutbox(limit: bounds.outgoingBytes)
        let digits = Array("0123456789abcdef")
        name = String((0..<32).map { _ in digits.randomElement()! })
    }

    // MARK: from any thread

    func send(_ frame: [UInt8]) -> Bool {
        let (hasRoom, isFirst) = outbox.put(frame)
        if isFirst { eventLoop.execute { self.ask() } }
        return hasRoom
    }

    func close(_ end: StreamEnd) {
        eventLoop.execute {
            // What waits goes first: a farewell.
            self.ask()
            self.finish(end)
        }
    }

    func confirm() {}

    func frameTaken() { untaken.subtract(1, ordering: .acquiringAndReleasing) }

    // MARK: on the event loop

    func begin() { connect() }

    private func connect() {
        guard let address = try? SocketAddress(peer) else { return }
        isConnecting = true
        let link = HTTPLink(self, host: "\(peer)", patience: .microseconds(Int64(2 * bounds.patienceMicroseconds)))
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.microseconds(Int64(bounds.patienceMicroseconds)))
            .streamOptions(bounds)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(link)
                }
            }
            .connect(to: address)
            .whenComplete { result in
                self.isConnecting = false
                switch result {
                case .success: self.connected(link)
                case .failure where !self.links.isEmpty: self.fillLater()
                case .failure(let error): self.finish(.ofConnecting(error))
                }
            }
    }

    private func connected(_ link: HTTPLink) {
        guard end == nil else { return link.close() }
        links.append(link)
        if openedAt == nil {
            openedAt = .now()
            opened(self)
        }
        ask()
    }

    /// Sends what waits, and sees to it that one request is with the agent.
    private func ask() {
        guard end == nil, openedAt != nil else { return }
        while !outbox.isEmpty, let free = takeFree() { free.ask(outbox.take(HTTPFrames.most)) }
        if !links.contains(where: \.isAsking), let free = takeFree() { free.ask([]) }
        if !isPausing { fill() }
    }

    private func fill() {
        let isShort = links.count < (outbox.isEmpty ? Self.fewestLinks : Self.mostLinks)
        if isShort, !isConnecting { connect() }
    }

    /// After a loss, so that a peer that closes what it accepts is not connected to without end.
    private func fillLater() {
        guard !isPausing, end == nil else { return }
        isPausing = true
        _ = eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { [weak self] in
            self?.isPausing = false
            self?.ask()
        }
    }

    /// In turns, so that none is idle for long.
    private func takeFree() -> HTTPLink? {
        guard let index = links.firstIndex(where: { !$0.isAsking }) else { return nil }
        let link = links.remove(at: index)
        links.append(link)
        return link
    }

    func answered(_ frames: [[UInt8]]) {
        guard end == nil else { return }
        for frame in frames where untaken.load(ordering: .acquiring) < bounds.incomingFrames {
            untaken.add(1, ordering: .acquiringAndReleasing)
            inbox.put(.frame(frame, from: peer), of: self)
        }
        ask()
    }

    /// A link is gone. One that had nothing to wait for is no loss.
    func lost(_ link: HTTPLink, _ reason: StreamEnd?) {
        links.removeAll { $0 === link }
        if let reason { return finish(reason) }
        fillLater()
        ask()
    }

    private func finish(_ reason: StreamEnd) {
        guard end == nil else { return }
        end = reason
        for link in links { link.close() }
        links = []
        ended(self, reason)
    }
}
