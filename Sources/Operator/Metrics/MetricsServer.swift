import Foundation
public import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
public import Wire

/// Serves `/metrics` to a Prometheus server, read-only, on an event loop and thread of its own. Opt-in. Like the control
/// socket it only puts requests into the mailbox: nobody who scrapes makes the control core wait.
public final class MetricsServer: Sendable {
    /// Where it listens, with the port that it got for port 0.
    public let address: String
    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel

    /// Scrapers at once; more are closed unheard.
    private static var connectionLimit: Int { 16 }
    private static var idle: TimeAmount { .seconds(30) }

    public static func open(_ endpoint: Endpoint, mailbox: OperatorMailbox, logger: Logger) throws -> MetricsServer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let connections = BoundedCount()
        do {
            let listener = try ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { channel in
                    guard connections.increment(below: connectionLimit) else { return channel.close() }
                    channel.closeFuture.whenComplete { _ in connections.decrement() }
                    return channel.eventLoop.makeCompletedFuture {
                        let operations = channel.pipeline.syncOperations
                        try operations.addHandler(IdleStateHandler(readTimeout: idle))
                        try operations.configureHTTPServerPipeline(withErrorHandling: true)
                        try operations.addHandler(ScrapeHandler(mailbox))
                    }
                }
                .bind(host: "\(endpoint.address)", port: Int(endpoint.port)).wait()
            let server = MetricsServer(group, listener)
            logger.info("metrics", metadata: ["address": "\(server.address)"])
            return server
        } catch {
            try? group.syncShutdownGracefully()
            throw MetricsProblem(endpoint: "\(endpoint)", reason: "\(error)")
        }
    }

    private init(_ group: MultiThreadedEventLoopGroup, _ listener: any Channel) {
        self.group = group
        self.listener = listener
        address = listener.localAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "?"
    }

    /// Blocks for a moment.
    public func close() {
        try? listener.close().wait()
        try? group.syncShutdownGracefully()
    }
}

/// Why metrics cannot be served.
public struct MetricsProblem: Error, Sendable, CustomStringConvertible {
    public let endpoint: String
    public let reason: String
    public var description: String {
        "metrics cannot be served at \(endpoint): \(reason): name a free port of this machine in 'metrics.listen'"
    }
}

/// One scraper's connection.
private final class ScrapeHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let mailbox: OperatorMailbox
    private var head: HTTPRequestHead?

    init(_ mailbox: OperatorMailbox) { self.mailbox = mailbox }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head else { return context.close(promise: nil) }
            answer(head, context)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        guard head.uri == "/metrics" || head.uri.hasPrefix("/metrics?") else {
            return write(context, .notFound, "metrics are at /metrics\n")
        }
        guard head.method == .GET || head.method == .HEAD else {
            return write(context, .methodNotAllowed, "GET is all there is\n")
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let (mailbox, loop) = (mailbox, context.eventLoop)
        ask(.status, mailbox) { status in
            ask(.proxies, mailbox) { proxies in
                loop.execute {
                    let (handler, context) = bound.value
                    guard case .status(let status) = status, case .proxies(let proxies) = proxies else {
                        return handler.write(context, .serviceUnavailable, "the director does not answer\n")
                    }
                    handler.write(context, .ok, MetricsText.of(status, proxies), type: MetricsText.contentType)
                }
            }
        }
    }

    private func write(
        _ context: ChannelHandlerContext, _ status: HTTPResponseStatus, _ text: String,
        type: String = "text/plain; charset=utf-8"
    ) {
        guard context.channel.isActive, let request = head else { return }
        head = nil
        var headers = HTTPHeaders([("Content-Type", type), ("Content-Length", "\(text.utf8.count)")])
        if !request.isKeepAlive { headers.add(name: "Connection", value: "close") }
        context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: status, headers: headers))), promise: nil)
        if request.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            if !request.isKeepAlive { bound.value.close(promise: nil) }
        }
    }
}

/// A full mailbox answers for itself.
private func ask(
    _ request: OperatorRequest, _ mailbox: OperatorMailbox, _ answer: @escaping @Sendable (OperatorResponse) -> Void
) {
    if !mailbox.submit(request, answer: answer) { answer(.failure("too many requests wait")) }
}
