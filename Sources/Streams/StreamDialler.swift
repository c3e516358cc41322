internal import NIOCore
internal import NIOPosix
public import Wire

/// The director's end of channels over TCP: one connection to each peer, kept for as long as the peer is. An event loop
/// of its own does the waiting. All calls are the control loop's thread's, and none of them waits for anybody.
public final class StreamDialler {
    public enum Delivery: Equatable, Sendable {
        /// Handed over; TCP does the rest.
        case sent
        /// Lost: there is no connection now.
        case notConnected
        /// Lost: the peer does not read what it is sent.
        case full
        /// The endpoint is no stream's.
        case notMine
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let inbox: StreamInbox
    private let bounds: StreamBounds
    private var dials: [Endpoint: Dial] = [:]
    /// As the events that were taken say.
    private var connections: [Endpoint: any FrameCarrier] = [:]

    /// - Parameter wake: Makes the control loop look at `take`; called on the event loop's thread.
    public init(bounds: StreamBounds = StreamBounds(), wake: @escaping @Sendable () -> Void) {
        self.bounds = bounds
        inbox = StreamInbox(wake: wake)
    }

    public var hasEvents: Bool { !inbox.isEmpty }

    /// Keeps a connection to the peer from now on. A peer that is known is held to what is said now: another transport
    /// ends the connection, another certificate counts from the next connection on.
    public func connect(_ peer: StreamPeer) {
        if let dial = dials[peer.endpoint] {
            let dialsAnew = dial.initialPeer.kind != peer.kind
            if !dialsAnew { return dial.change(to: peer) }
            disconnect(peer.endpoint)
        }
        let dial = Dial(peer, on: group.next(), inbox: inbox, bounds: bounds)
        dials[peer.endpoint] = dial
        dial.begin()
    }

    /// Ends the connection, and makes no other.
    public func disconnect(_ endpoint: Endpoint) {
        connections[endpoint] = nil
        dials.removeValue(forKey: endpoint)?.stop()
    }

    /// Ends the connection; the next attempt comes after the usual pause.
    public func reconnect(_ endpoint: Endpoint, because end: StreamEnd) { connections[endpoint]?.close(end) }

    public func send(_ frame: [UInt8], to endpoint: Endpoint) -> Delivery {
        guard dials[endpoint] != nil else { return .notMine }
        guard let connection = connections[endpoint] else { return .notConnected }
        return connection.send(frame) ? .sent : .full
    }

    /// What has happened, in order. Of a peer that was dismissed nothing is told.
    public func take() -> [StreamEvent] {
        inbox.take().compactMap { event, connection in
            switch event {
            case .opened(let peer):
                guard let dial = dials[peer], connection?.owner === dial else { return nil }
                connections[peer] = connection
            case .frame(_, let peer):
                guard let connection, connections[peer] === connection else { return nil }
            case .closed(let peer, _, _):
                guard let connection, connections[peer] === connection else { return nil }
                connections[peer] = nil
            case .failed(let peer, _, _):
                guard dials[peer] != nil else { return nil }
            }
            return event
        }
    }

    /// Sends what waits, as far as the sockets take it at once, and ends all.
    public func shutDown() {
        for endpoint in Array(dials.keys) { disconnect(endpoint) }
        try? group.syncShutdownGracefully()
    }
}
