internal import NIOCore
internal import NIOSSL
import Synchronization
internal import Wire

/// Who may connect to a listener, and how many at once. On the listener's event loop, but where it says otherwise.
final class Admission: Sendable {
    private let inbox: StreamInbox
    private let bounds: StreamBounds
    private let admits: @Sendable (IPAddress) -> Bool
    private let identity = Mutex<ServerIdentity?>(nil)
    /// Connections that live, or whose end was not taken yet.
    private let served = Atomic<Int>(0)
    private let refused = Atomic<UInt64>(0)

    private struct Refusal: Error {}

    init(inbox: StreamInbox, bounds: StreamBounds, admits: @escaping @Sendable (IPAddress) -> Bool) {
        self.inbox = inbox
        self.bounds = bounds
        self.admits = admits
    }

    /// A thrown error closes the connection.
    func admit(_ channel: any Channel, isSecure: Bool) throws {
        guard let peer = channel.remoteAddress?.endpoint, admits(peer.address) else { throw Refusal() }
        guard served.load(ordering: .relaxed) < bounds.connections else {
            refused.add(1, ordering: .relaxed)
            throw Refusal()
        }
        let connection = FrameConnection(
            peer, on: channel.eventLoop, inbox: inbox, bounds: bounds, isSecure: isSecure,
            opened: { [inbox] in inbox.put(.opened($0.peer), of: $0) },
            ended: { [inbox] in inbox.put(.closed($0.peer, $1, retryMicroseconds: 0), of: $0) })
        if isSecure {
            guard let identity = identity.withLock({ $0 }) else { throw Refusal() }
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: identity.context))
        }
        try channel.pipeline.syncOperations.addHandler(connection)
        served.add(1, ordering: .relaxed)
        connection.awaitConfirmation()
    }

    // MARK: from any thread

    func use(_ latest: ServerIdentity) { identity.withLock { $0 = latest } }

    /// A connection's end was taken.
    func isOver() { served.subtract(1, ordering: .relaxed) }

    func takeRefused() -> UInt64 { refused.exchange(0, ordering: .relaxed) }
}
