package import Logging
internal import NIOCore
internal import NIOPosix
import Synchronization
internal import Wire

/// Serves committed connections on event loops: files, caches, origins, tunnels.
package final class ConnectionServer: Sendable {
    let group: MultiThreadedEventLoopGroup
    let catalogue: Catalogue
    let settings: ServingSettings
    let accessLog: AccessLog
    let logger: Logger
    let upstreams: UpstreamBudget
    /// Offers a connection to the director that it came from.
    let handBack: @Sendable (HandBack) -> Void
    private let live = Mutex<[UInt64: any Channel]>([:])
    private let draining = Atomic<Bool>(false)
    private let successor = Mutex<DescriptorChannel?>(nil)

    package init(
        catalogue: Catalogue, settings: ServingSettings, accessLog: AccessLog, logger: Logger,
        handBack: @escaping @Sendable (HandBack) -> Void = { $0.isOver(.stays) }
    ) {
        self.handBack = handBack
        group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads)
        self.catalogue = catalogue
        self.settings = settings
        self.accessLog = accessLog
        self.logger = logger
        upstreams = UpstreamBudget(limit: settings.upstreamConnections)
    }

    /// Takes the socket of a connection over whose first request has begun to arrive. `ended` is called once, from an
    /// event loop, with the bytes that the client was sent.
    package func serve(_ connection: AdoptedConnection, ended: @escaping @Sendable (UInt64) -> Void) {
        let account = ConnectionAccount()
        if let resumption = connection.resumption { return resume(connection, resumption, account, ended) }
        serve(connection, account, ended) { channel in
            let head = FirstHead(connection, server: self, account: account)
            try channel.pipeline.syncOperations.addHandler(head)
        }
    }

    /// Takes over what stands between two requests, and was sent so many bytes by another process.
    package func serve(
        _ connection: AdoptedConnection, after bytesSent: UInt64, ended: @escaping @Sendable (UInt64) -> Void
    ) {
        let account = ConnectionAccount(sent: bytesSent)
        serve(connection, account, ended) { channel in
            try RequestHandler.take(over: channel, connection, server: self, account: account)
        }
    }

    private func resume(
        _ connection: AdoptedConnection, _ resumption: Resumption, _ account: ConnectionAccount,
        _ ended: @escaping @Sendable (UInt64) -> Void
    ) {
        serve(connection, account, ended) { channel in
            let response = ResumedResponse(resumption, of: connection)
            try channel.pipeline.syncOperations.addHandler(response)
            try RequestHandler.take(over: channel, connection, server: self, account: account)
        }
    }

    private func serve(
        _ connection: AdoptedConnection, _ account: ConnectionAccount, _ ended: @escaping @Sendable (UInt64) -> Void,
        _ begin: @escaping @Sendable (any Channel) throws -> Void
    ) {
        let bootstrap = ClientBootstrap(group: group)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let idle = TimeAmount.microseconds(Int64(self.settings.idleMicroseconds))
                    try channel.pipeline.syncOperations.addHandlers([
                        SentMeter(account), IdleStateHandler(allTimeout: idle), IdleCloser(),
                    ])
                    try begin(channel)
                }
            }
        bootstrap.withConnectedSocket(connection.descriptor).whenComplete { result in
            switch result {
            case .success(let channel):
                self.live.withLock { $0[connection.number] = channel }
                // It came while the others were told.
                if self.hasSuccessor { channel.pipeline.fireUserInboundEventTriggered(SuccessorEvent()) }
                channel.closeFuture.whenComplete { _ in
                    if !account.isPassedOn {
                        self.logger.info(
                            "connection over",
                            metadata: ["transfer": "\(connection.transaction)", "bytes": "\(account.sent)"])
                        // Before it is out of the count: whoever waits for none to be left finds this told.
                        ended(account.sent)
                    }
                    self.live.withLock { $0[connection.number] = nil }
                }
            case .failure(let error):
                self.logger.warning(
                    "connection lost before it was served",
                    metadata: ["transfer": "\(connection.transaction)", "error": "\(error)"])
                ended(0)
            }
        }
    }

    /// Its director wants it elsewhere: it is handed back as soon as it can be.
    package func wishAway(_ number: UInt64) {
        live.withLock { $0[number] }?.pipeline.fireUserInboundEventTriggered(DepartureEvent())
    }

    package var count: Int { live.withLock { $0.count } }

    /// From now on each connection ends with its current response.
    package var isDraining: Bool {
        get { draining.load(ordering: .relaxed) }
        set { draining.store(newValue, ordering: .relaxed) }
    }

    /// From now on connections that stand between two requests go to another process, and so do the others as soon as
    /// they do.
    func passOn(to channel: DescriptorChannel) {
        successor.withLock { $0 = channel }
        isDraining = true
        for channel in live.withLock({ Array($0.values) }) {
            channel.pipeline.fireUserInboundEventTriggered(SuccessorEvent())
        }
    }

    var hasSuccessor: Bool { successor.withLock { $0 != nil } }

    /// False when the successor does not take it; then it stays here.
    func passOn(_ connection: AdoptedConnection, _ account: ConnectionAccount) -> Bool {
        guard let channel = successor.withLock({ $0 }) else { return false }
        let message = SuccessionMessage.connection(
            number: connection.number, transaction: connection.transaction, connection.key, bytesSent: account.sent)
        guard (try? channel.send(message, passing: connection.descriptor)) != nil else { return false }
        account.isPassedOn = true
        return true
    }

    /// Ends what is left.
    package func closeAll() {
        for channel in live.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }

    package func shutDown() {
        try? group.syncShutdownGracefully()
    }
}

/// Closes a connection on which nothing moves.
final class IdleCloser: ChannelInboundHandler {
    typealias InboundIn = NIOAny

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }
}

/// Connections to other servers that may be open at once.
final class UpstreamBudget: Sendable {
    private let limit: Int
    private let open = Mutex(0)

    init(limit: Int) { self.limit = limit }

    /// false when there is none left; otherwise to be given back.
    func take() -> Bool {
        open.withLock { open in
            guard open < limit else { return false }
            open += 1
            return true
        }
    }

    func giveBack() { open.withLock { $0 -= 1 } }
}
