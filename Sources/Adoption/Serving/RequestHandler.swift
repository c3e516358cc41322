internal import CRTP
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Wire

/// Answers the requests of one adopted connection, one at a time (`HTTPServerPipelineHandler` keeps pipelined ones
/// back): from the catalogue's files, from a cache, or from the origin.
final class RequestHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    enum Work {
        case idle
        /// A file: the response goes out when the request has ended.
        case document(Document, file: String)
        case relaying(UpstreamExchange)
        /// Another proxy may have it; otherwise it is relayed.
        case handingBack
        /// It is wanted elsewhere, and goes as soon as little is under way.
        case departing(Departure)
        /// The request could not be passed on; its body is thrown away.
        case failed
    }

    let connection: AdoptedConnection
    let server: ConnectionServer
    var context: ChannelHandlerContext?
    var work = Work.idle
    var head: HTTPRequestHead?
    var upstream: Upstream?
    private var wantsRead = false
    private(set) var inputIsClosed = false
    /// Its director has said so.
    var isWantedElsewhere = false
    /// The answer under way when the connection came over.
    var continuation: Continuation?
    /// Responses whose last part the kernel has not taken yet.
    private var finishing = 0
    let boundary: RequestBoundary
    let account: ConnectionAccount
    var record = ResponseRecord()
    private(set) var hasAnswered = false

    init(
        _ connection: AdoptedConnection, server: ConnectionServer, boundary: RequestBoundary, account: ConnectionAccount
    ) {
        self.connection = connection
        self.server = server
        self.boundary = boundary
        self.account = account
        continuation = connection.resumption?.continuation
    }

    var originServer: Endpoint { server.settings.server(of: connection.origin) }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        switch work {
        case .document(let document, _): document.closeFile()
        case .departing(let departure): try? departure.download?.file.close()
        case .idle, .relaying, .handingBack, .failed: break
        }
        work = .idle
        upstream?.close()
        upstream = nil
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        receive(context, unwrapInboundIn(data))
    }

    func receive(_ context: ChannelHandlerContext, _ part: HTTPServerRequestPart) {
        if case .departing(var departure) = work, departure.isHandedOver {
            departure.arrived.append(part)
            work = .departing(departure)
            return
        }
        switch part {
        case .head(let head): begin(context, head)
        case .body(let bytes):
            if case .relaying(let exchange) = work { exchange.send(bytes) }
        case .end(let trailers):
            switch work {
            case .document(let document, let file):
                work = .idle
                respond(context, document, file)
            case .relaying(let exchange): exchange.end(trailers)
            case .handingBack: handBack(context)
            case .failed, .idle, .departing: break
            }
        }
    }

    private func begin(_ context: ChannelHandlerContext, _ head: HTTPRequestHead) {
        self.head = head
        boundary.headIsRead()
        record = ResponseRecord()
        if let continuation { return goOn(context, continuation) }
        guard let question = PlainRequest.question(head, origin: connection.origin) else {
            return relay(context, head, to: originServer)
        }
        switch server.catalogue.answer(question) {
        case .document(let site, let file):
            guard let document = server.catalogue.open(site: site, file: file) else {
                return relay(context, head, to: originServer)
            }
            work = .document(document, file: file)
        case .askCache(let cache): relay(context, head, to: cache.address, asCache: true)
        case .refused(.notFound) where canHandBack(head): work = .handingBack
        case .relay, .replay, .datagrams, .refused: relay(context, head, to: originServer)
        }
    }

    /// A file that another host has begun to send. It was looked at before the connection came.
    private func goOn(_ context: ChannelHandlerContext, _ continuation: Continuation) {
        guard let opened = server.catalogue.open(continuation, origin: connection.origin) else {
            return reset(context)
        }
        var document = opened.document
        document.entityTag = continuation.entityTag
        work = .document(document, file: opened.file)
    }

    /// Whether the connection can carry another request after this response.
    var keepsAlive: Bool { (head?.isKeepAlive ?? false) && !inputIsClosed && canGoOn }

    /// Here, or in a successor.
    private var canGoOn: Bool { !server.isDraining || server.hasSuccessor && !boundary.isLost }

    /// Nothing is asked and nothing is being answered.
    var isIdle: Bool { head == nil && finishing == 0 && !inputIsClosed }

    // MARK: The end of a response

    /// The response's last part is on its way.
    func finish(_ context: ChannelHandlerContext) {
        log()
        work = .idle
        hasAnswered = true
        // A drain may have begun since the head said otherwise.
        let keeps = record.keepsAlive && canGoOn
        head = nil
        finishing += 1
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in
            self.finishing -= 1
            // A client that has ended its side asks for nothing more.
            let isLast = self.inputIsClosed && self.head == nil && self.finishing == 0
            if self.head == nil, self.finishing == 0 { self.boundary.responseIsSent() }
            if !keeps || isLast { self.context?.close(promise: nil) } else { self.isBetweenRequests() }
        }
        context.writeAndFlush(wrapOutboundOut(.end(record.trailers)), promise: promise)
        resumeReading()
    }

    private func isBetweenRequests() {
        if server.hasSuccessor { return passOnIfPossible() }
        if isWantedElsewhere { wishAway() }
    }

    private func log() {
        guard let head, let status = record.status else { return }
        server.accessLog.write(
            AccessLog.Entry(
                client: "\(connection.client.address)", method: head.method.rawValue, target: head.uri,
                version: "HTTP/\(head.version.major).\(head.version.minor)", status: status, bytes: record.bytes,
                referrer: head.headers.first(name: "referer"), userAgent: head.headers.first(name: "user-agent"),
                transfer: UInt64(connection.transaction), answeredBy: record.answeredBy))
    }

    // MARK: Flow control and endings

    func read(context: ChannelHandlerContext) {
        switch work {
        case .relaying(let exchange) where !exchange.canSend: wantsRead = true
        case .handingBack, .departing: wantsRead = true
        case .idle, .document, .relaying, .failed: context.read()
        }
    }

    func resumeReading() {
        guard wantsRead, let context else { return }
        wantsRead = false
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, case .relaying(let exchange) = work { exchange.clientBecameWritable() }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            inputIsClosed = true
            return closeIfOver(context)
        }
        if event is SuccessorEvent { passOnIfPossible() }
        if event is DepartureEvent { wishAway() }
        context.fireUserInboundEventTriggered(event)
    }

    /// A client that has ended its side still gets what it has asked for, to the last byte; whoever's it is.
    func closeIfOver(_ context: ChannelHandlerContext) {
        if case .departing(let departure) = work, departure.isHandedOver { return }
        if inputIsClosed, head == nil, finishing == 0 { context.close(promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if head != nil, record.status != nil { log() }
        head = nil
        upstream?.close()
        upstream = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        server.logger.debug(
            "connection error", metadata: ["transfer": "\(connection.transaction)", "error": "\(error)"])
        context.close(promise: nil)
    }
}

/// What the access log and the end of a response need to know.
struct ResponseRecord {
    var status: Int?
    var bytes = 0
    var answeredBy = "document"
    var keepsAlive = false
    var trailers: HTTPHeaders?
}
