internal import CRTP
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Wire

/// Reads the first request on an adopted connection from the socket itself, with the director's own strictness
/// (rule 10), and decides what the connection becomes: HTTP served here, a tunnel to a server beside this one, or,
/// when the bytes are not what this agent may answer, a tunnel to the origin.
final class FirstHead: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = IOData
    typealias InboundOut = ByteBuffer

    private static let limit = 65_536
    private let connection: AdoptedConnection
    private let server: ConnectionServer
    private let account: ConnectionAccount
    private var received = ByteBuffer()
    private var isDecided = false
    private var inputIsClosed = false

    init(_ connection: AdoptedConnection, server: ConnectionServer, account: ConnectionAccount) {
        self.connection = connection
        self.server = server
        self.account = account
        received.writeBytes(connection.received)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        if !isDecided { judge(context) }
    }

    /// Another agent has read the request.
    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        if received.readableBytes > 0, !isDecided { judge(context) }
    }

    private func judge(_ context: ChannelHandlerContext) {
        let recognition = received.withUnsafeReadableBytes {
            recogniseRequest($0, wanted: [.httpGet, .httpOther, .tls, .smtp])
        }
        switch recognition {
        case .incomplete:
            if received.readableBytes > FirstHead.limit { tunnelToOrigin(context, "head too long") }
        case .unsuitable(let reason): tunnelToOrigin(context, "\(reason)")
        case .request(let request): decide(context, request)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            inputIsClosed = true
            if !isDecided { context.close(promise: nil) }
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    /// Nothing more is read while another server is being reached.
    func read(context: ChannelHandlerContext) {
        if !isDecided { context.read() }
    }

    private func decide(_ context: ChannelHandlerContext, _ request: RecognisedRequest) {
        let question = received.withUnsafeReadableBytes {
            CatalogueQuestion(request, in: $0, origin: connection.origin)
        }
        let answer = server.catalogue.answer(question)
        switch answer {
        case .relay(let relay):
            tunnel(context, to: relay, application: request.application, host: question.host, answeredBy: "relay")
        case .document, .askCache: serveHTTP(context)
        case .refused(.notFound) where !request.application.isDisjoint(with: [.httpGet, .httpOther]): serveHTTP(context)
        case .datagrams: tunnelToOrigin(context, "not over UDP", application: request.application)
        case .replay: tunnelToOrigin(context, "adopted already", application: request.application)
        case .refused(let reason): tunnelToOrigin(context, "\(reason)", application: request.application)
        }
    }

    private func serveHTTP(_ context: ChannelHandlerContext) {
        isDecided = true
        do {
            try RequestHandler.take(over: context.channel, connection, server: server, account: account)
        } catch {
            context.close(promise: nil)
            return
        }
        handOver(context)
    }

    private func handOver(_ context: ChannelHandlerContext) {
        if received.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(received)) }
        received.clear()
        context.fireChannelReadComplete()
        if inputIsClosed { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        let channel = context.channel
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
        channel.read()
    }

    private func tunnelToOrigin(_ context: ChannelHandlerContext, _ reason: String, application: Application = []) {
        server.logger.notice(
            "the first request is the origin's",
            metadata: ["transfer": "\(connection.transaction)", "reason": "\(reason)"])
        tunnel(
            context, to: RelaySite(target: .address(server.settings.server(of: connection.origin))),
            application: application, host: "",
            answeredBy: "origin")
    }

    /// The connection's bytes, from the first one, go to another server as they are.
    private func tunnel(
        _ context: ChannelHandlerContext, to relay: RelaySite, application: Application, host: String,
        answeredBy: String
    ) {
        isDecided = true
        logWhenOver(context.channel, host: host, answeredBy: answeredBy)
        guard server.upstreams.take() else {
            server.logger.warning("no upstream connection is left", metadata: ["transfer": "\(connection.transaction)"])
            context.close(promise: nil)
            return
        }
        let (near, far) = TunnelEnd.pair()
        let farEnd = NIOLoopBound(far, eventLoop: context.eventLoop)
        let speaksFirst = application == .smtp
        let greeting =
            speaksFirst ? NIOLoopBound(ServerGreeting(context.eventLoop), eventLoop: context.eventLoop) : nil
        let bootstrap = ClientBootstrap(group: context.eventLoop)
            .connectTimeout(.microseconds(Int64(server.settings.connectTimeoutMicroseconds)))
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let greeting { try channel.pipeline.syncOperations.addHandler(greeting.value) }
                    try channel.pipeline.syncOperations.addHandler(farEnd.value)
                }
            }
        let connecting: EventLoopFuture<any Channel> =
            switch relay.target {
            case .address(let endpoint): bootstrap.connect(host: "\(endpoint.address)", port: Int(endpoint.port))
            case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
            }
        let budget = server.upstreams
        connecting.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let upstream):
                upstream.closeFuture.whenComplete { _ in budget.giveBack() }
                if relay.announcesClient {
                    upstream.write(ByteBuffer(bytes: ProxyProtocol.header(self.connection.key)), promise: nil)
                }
                guard let greeting = greeting?.value else { return self.join(context, upstream, near) }
                upstream.flush()
                self.join(context, upstream, near, after: greeting)
            case .failure(let error):
                budget.giveBack()
                self.server.logger.warning(
                    "cannot reach the server behind",
                    metadata: ["transfer": "\(self.connection.transaction)", "error": "\(error)"])
                context.close(promise: nil)
            }
        }
    }

    /// A tunnel's requests are not for this agent to see: its access log has one line for the whole connection, with
    /// the method that HTTP has for such a thing.
    private func logWhenOver(_ channel: any Channel, host: String, answeredBy: String) {
        let (connection, account, log) = (connection, account, server.accessLog)
        channel.closeFuture.whenComplete { _ in
            log.write(
                AccessLog.Entry(
                    client: "\(connection.client.address)", method: "CONNECT",
                    target: "\(host.isEmpty ? "\(connection.origin.address)" : host):\(connection.origin.port)",
                    version: "tunnel",
                    status: 200, bytes: Int(account.sent), referrer: nil, userAgent: nil,
                    transfer: UInt64(connection.transaction),
                    answeredBy: answeredBy))
        }
    }

    /// A server that speaks first is given nothing before it has.
    private func join(
        _ context: ChannelHandlerContext, _ upstream: any Channel, _ near: TunnelEnd, after greeting: ServerGreeting
    ) {
        context.channel.closeFuture.assumeIsolated().whenComplete { _ in
            if !greeting.isHeard { upstream.close(promise: nil) }
        }
        greeting.heard.assumeIsolated().whenComplete { result in
            switch result {
            case .success:
                self.join(context, upstream, near)
                upstream.pipeline.syncOperations.removeHandler(greeting, promise: nil)
            case .failure(let error):
                self.server.logger.warning(
                    "the server behind has not greeted",
                    metadata: ["transfer": "\(self.connection.transaction)", "error": "\(error)"])
                context.close(promise: nil)
            }
        }
    }

    private func join(_ context: ChannelHandlerContext, _ upstream: any Channel, _ near: TunnelEnd) {
        guard context.channel.isActive else {
            upstream.close(promise: nil)
            return
        }
        do { try context.pipeline.syncOperations.addHandler(near) } catch {
            upstream.close(promise: nil)
            context.close(promise: nil)
            return
        }
        handOver(context)
        upstream.setOption(.autoRead, value: true).whenComplete { _ in }
        upstream.read()
    }
}
