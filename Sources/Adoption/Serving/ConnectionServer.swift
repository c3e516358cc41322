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
    private let live = Mutex<[UInt64: any Channel]>([:])
    private let draining = Atomic<Bool>(false)

    package init(catalogue: Catalogue, settings: ServingSettings, accessLog: AccessLog, logger: Logger) {
        group = MultiThreadedEventLoopGroup(numberOfThreads: settings.threads)
        self.catalogue = catalogue
        self.settings = settings
        self.accessLog = accessLog
        self.logger = logger
        upstreams = UpstreamBudget(limit: settings.upstreamConnections)
    }

    /// Takes the socket over. `ended` is called once, from an event loop, with the bytes that the client was sent.
    package func serve(_ connection: AdoptedConnection, ended: @escaping @Sendable (UInt64) -> Void) {
        let sent = SentBytes()
        let bootstrap = ClientBootstrap(group: group)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let idle = TimeAmount.microseconds(Int64(self.settings.idleMicroseconds))
                    try channel.pipeline.syncOperations.addHandlers([
                        SentMeter(sent), IdleStateHandler(allTimeout: idle), IdleCloser(),
                        FirstHead(connection, server: self, sent: sent),
                    ])
                }
            }
        bootstrap.withConnectedSocket(connection.descriptor).whenComplete { result in
            switch result {
            case .success(let channel):
                self.live.withLock { $0[connection.number] = channel }
                channel.closeFuture.whenComplete { _ in
                    self.logger.info(
                        "connection over",
                        metadata: ["transfer": "\(connection.transaction)", "bytes": "\(sent.value)"])
                    // Before it is out of the count: whoever waits for none to be left finds this told.
                    ended(sent.value)
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

    package var count: Int { live.withLock { $0.count } }

    /// From now on each connection ends with its current response.
    package var isDraining: Bool {
        get { draining.load(ordering: .relaxed) }
        set { draining.store(newValue, ordering: .relaxed) }
    }

    /// Ends what is left.
    package func closeAll() {
        for channel in live.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }

    package func shutDown() {
        try? group.syncShutdownGracefully()
    }
}

/// How many bytes a connection has sent.
final class SentBytes: Sendable {
    private let count = Atomic<UInt64>(0)
    var value: UInt64 { count.load(ordering: .relaxed) }
    func add(_ bytes: Int) { count.add(UInt64(bytes), ordering: .relaxed) }
}

/// Counts what the kernel has taken.
final class SentMeter: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData
    private let sent: SentBytes

    init(_ sent: SentBytes) { self.sent = sent }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = unwrapOutboundIn(data).readableBytes
        let promise = promise ?? context.eventLoop.makePromise()
        let sent = sent
        promise.futureResult.whenSuccess { sent.add(bytes) }
        context.write(data, promise: promise)
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
