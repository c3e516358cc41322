import Glibc
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Wire

/// One peer of a dialler: connects, and when that has failed or is over, again after a pause. All of it on the event
/// loop.
final class Dial: @unchecked Sendable {
    let initialPeer: StreamPeer
    private let eventLoop: any EventLoop
    private let inbox: StreamInbox
    private let bounds: StreamBounds
    private var peer: StreamPeer
    private var backOff = BackOff()
    private var random = SystemRandomNumberGenerator()
    private var connection: (any FrameCarrier)?
    private var isStopped = false

    init(_ peer: StreamPeer, on eventLoop: any EventLoop, inbox: StreamInbox, bounds: StreamBounds) {
        initialPeer = peer
        self.peer = peer
        self.eventLoop = eventLoop
        self.inbox = inbox
        self.bounds = bounds
    }

    func begin() {
        eventLoop.execute { self.dial() }
    }

    func change(to peer: StreamPeer) {
        eventLoop.execute { self.peer = peer }
    }

    func stop() {
        eventLoop.execute {
            self.isStopped = true
            self.connection?.close(StreamEnd(.stopped))
        }
    }

    private func dial() {
        guard !isStopped else { return }
        if peer.isHTTP { return exchange() }
        let connection = FrameConnection(
            peer.endpoint, on: eventLoop, inbox: inbox, bounds: bounds, isSecure: peer.security != nil,
            opened: { [inbox] in inbox.put(.opened($0.peer), of: $0) },
            ended: { [weak self] in self?.ended($0, $1) })
        connection.owner = self
        self.connection = connection
        guard let address = try? SocketAddress(peer.endpoint) else { return }
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.microseconds(Int64(bounds.patienceMicroseconds)))
            .streamOptions(bounds)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.prepare(channel, for: connection) }
            }
            .connect(to: address)
            .whenFailure { self.ended(connection, .ofConnecting($0)) }
    }

    private func exchange() {
        let exchange = HTTPExchange(
            peer.endpoint, on: eventLoop, inbox: inbox, bounds: bounds,
            opened: { [inbox] in inbox.put(.opened($0.peer), of: $0) },
            ended: { [weak self] in self?.ended($0, $1) })
        exchange.owner = self
        connection = exchange
        exchange.begin()
    }

    /// The files are read for each connection, so that new ones need no reload.
    private func prepare(_ channel: any Channel, for connection: FrameConnection) throws {
        if let security = peer.security {
            let context = try security.files.clientContext()
            try channel.pipeline.syncOperations.addHandler(
                NIOSSLClientHandler(context: context, serverHostname: security.serverName))
        }
        try channel.pipeline.syncOperations.addHandler(connection)
    }

    private func ended(_ connection: any FrameCarrier, _ end: StreamEnd) {
        guard self.connection === connection else { return }
        self.connection = nil
        guard !isStopped else { return }
        if let openedAt = connection.openedAt {
            backOff.connectionEnded(afterMicroseconds: UInt64((.now() - openedAt).nanoseconds / 1_000))
        }
        let pause = backOff.pause(random: &random)
        inbox.put(
            connection.openedAt == nil
                ? .failed(peer.endpoint, end, retryMicroseconds: pause)
                : .closed(peer.endpoint, end, retryMicroseconds: pause), of: connection)
        eventLoop.scheduleTask(in: .microseconds(Int64(pause))) { self.dial() }
    }
}

extension StreamEnd {
    static func ofConnecting(_ error: any Error) -> StreamEnd {
        switch error {
        case let failure as TLSFiles.Failure: StreamEnd(.refusedTLS, failure.description)
        case let failure as IOError: StreamEnd(.unreachable, String(cString: strerror(failure.errnoCode)))
        case ChannelError.connectTimeout: StreamEnd(.unreachable, "no answer")
        default: StreamEnd(.unreachable, "\(error)")
        }
    }
}

extension SocketAddress {
    init(_ endpoint: Endpoint) throws { try self.init(ipAddress: "\(endpoint.address)", port: Int(endpoint.port)) }

    var endpoint: Endpoint? {
        guard let text = ipAddress, let address = IPAddress(text), let port else { return nil }
        return Endpoint(address, port: UInt16(port))
    }
}
