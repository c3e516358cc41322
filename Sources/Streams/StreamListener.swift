internal import NIOCore
internal import NIOPosix
public import Wire

/// The agent's end of channels over TCP: accepts connections and keeps them apart by their source. An event loop of its
/// own does the waiting. All calls but `init`, `use` and `listen` are the agent's loop's thread's, and none of them
/// waits for anybody.
public final class StreamListener {
    private let group: MultiThreadedEventLoopGroup
    private let bounds: StreamBounds
    private let inbox: StreamInbox
    private let admission: Admission
    private var listeners: [any Channel] = []
    private var connections: [Endpoint: any FrameCarrier] = [:]

    /// Starts a thread, which has the rights that its maker has now.
    /// - Parameters:
    ///   - admits: Whether anybody at that address may connect.
    ///   - wake: Makes the agent's loop look at `take`; called on the event loop's thread.
    public init(
        bounds: StreamBounds = StreamBounds(), admits: @escaping @Sendable (IPAddress) -> Bool,
        wake: @escaping @Sendable () -> Void
    ) {
        self.bounds = bounds
        inbox = StreamInbox(wake: wake)
        group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        admission = Admission(inbox: inbox, bounds: bounds, admits: admits)
    }

    /// What new connections are shown from now on. From any thread.
    public func use(_ identity: ServerIdentity) { admission.use(identity) }

    /// Accepts connections that come to a socket, which is bound, listens and is the listener's from now on.
    public func accept(from descriptor: CInt, as kind: StreamKind) throws {
        let listener = try ServerBootstrap(group: group)
            .streamOptions(bounds)
            .childChannelInitializer { [admission] channel in
                channel.eventLoop.makeCompletedFuture { try admission.admit(channel, as: kind) }
            }
            .withBoundSocket(descriptor).wait()
        listeners.append(listener)
    }

    /// Ends all connections, and accepts no others: somebody else does.
    public func stop() {
        for connection in connections.values { connection.close(StreamEnd(.stopped)) }
        for listener in listeners { listener.close(promise: nil) }
        listeners = []
    }

    public var hasEvents: Bool { !inbox.isEmpty }

    /// Connections that were turned away because there were `StreamBounds.connections` already, since the last call.
    public func takeRefused() -> UInt64 { admission.takeRefused() }

    /// What has happened, in order.
    public func take() -> [StreamEvent] {
        inbox.take().compactMap { event, connection in
            switch event {
            case .opened(let peer):
                // An exchange over HTTP has its first connection's port for life, which another may get.
                guard connections[peer] == nil else {
                    connection?.close(StreamEnd(.stopped))
                    return nil
                }
                connections[peer] = connection
            case .frame(_, let peer): if connections[peer] !== connection { return nil }
            case .closed(let peer, let end, let retry):
                admission.isOver()
                // It was never open, or was refused: its end is nobody's channel's.
                guard connections[peer] === connection else {
                    return .failed(peer, end, retryMicroseconds: retry)
                }
                connections[peer] = nil
            case .failed: break
            }
            return event
        }
    }

    /// True while there is a connection from there.
    public func hasConnection(from peer: Endpoint) -> Bool { connections[peer] != nil }

    /// False when the frame is lost: the connection is gone, or its peer does not read.
    public func send(_ frame: [UInt8], to peer: Endpoint) -> Bool { connections[peer]?.send(frame) ?? false }

    /// Ends a connection that is not a director's: nothing is sent by it any more, and its end is not told.
    public func refuse(_ peer: Endpoint) { connections.removeValue(forKey: peer)?.close(StreamEnd(.unauthenticated)) }

    /// A channel is up by it: the connection may stay.
    public func confirm(_ peer: Endpoint) { connections[peer]?.confirm() }

    public func close(_ peer: Endpoint, because end: StreamEnd) { connections[peer]?.close(end) }

    /// Sends what waits, as far as the sockets take it at once, and ends all.
    public func shutDown() {
        stop()
        try? group.syncShutdownGracefully()
    }
}
