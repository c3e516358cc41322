internal import NIOCore
internal import NIOHTTP1
internal import NIOSSL
import Synchronization
internal import Wire

/// Connections and exchanges that live, or whose end was not taken yet.
final class ServedCount: Sendable {
    let count = Atomic<Int>(0)
}

/// Who may connect to a listener, and how many at once. On the listener's event loop, but where it says otherwise.
final class Admission: Sendable {
    private let inbox: StreamInbox
    private let bounds: StreamBounds
    private let admits: @Sendable (IPAddress) -> Bool
    private let identity = Mutex<ServerIdentity?>(nil)
    private let served = ServedCount()
    private let refused = Atomic<UInt64>(0)

    private let exchanges: HTTPExchanges

    private struct Refusal: Error {}

    init(inbox: StreamInbox, bounds: StreamBounds, admits: @escaping @Sendable (IPAddress) -> Bool) {
        self.inbox = inbox
        self.bounds = bounds
        self.admits = admits
        exchanges = HTTPExchanges(inbox: inbox, bounds: bounds, served: served)
    }

    /// A thrown error closes the connection.
    func admit(_ channel: any Channel, as kind: StreamKind) throws {
        guard let peer = channel.remoteAddress?.endpoint, admits(peer.address) else { throw Refusal() }
        guard served.count.load(ordering: .relaxed) < bounds.connections else {
            refused.add(1, ordering: .relaxed)
            throw Refusal()
        }
        if kind == .http { return try admitExchange(channel, of: peer) }
        let connection = FrameConnection(
            peer, on: channel.eventLoop, inbox: inbox, bounds: bounds, isSecure: kind == .secure,
            opened: { [inbox] in inbox.put(.opened($0.peer), of: $0) },
            ended: { [inbox] in inbox.put(.closed($0.peer, $1, retryMicroseconds: 0), of: $0) })
        if kind == .secure {
            guard let identity = identity.withLock({ $0 }) else { throw Refusal() }
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: identity.context))
        }
        try channel.pipeline.syncOperations.addHandler(connection)
        served.count.add(1, ordering: .relaxed)
        connection.awaitConfirmation()
    }

    /// Connections of exchanges count as well as exchanges: both are bounded, and each ends by itself.
    private func admitExchange(_ channel: any Channel, of peer: Endpoint) throws {
        guard exchanges.connections < bounds.connections else {
            refused.add(1, ordering: .relaxed)
            throw Refusal()
        }
        try channel.pipeline.syncOperations.configureHTTPServerPipeline(
            withPipeliningAssistance: false, withErrorHandling: true)
        try channel.pipeline.syncOperations.addHandler(HTTPRequestReader(peer, exchanges))
    }

    // MARK: from any thread

    func use(_ latest: ServerIdentity) { identity.withLock { $0 = latest } }

    /// A connection's end was taken.
    func isOver() { served.count.subtract(1, ordering: .relaxed) }

    func takeRefused() -> UInt64 { refused.exchange(0, ordering: .relaxed) }
}
