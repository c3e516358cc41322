internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Wire

/// One request that another server answers: streamed both ways, each side read only as fast as the other takes it.
final class UpstreamExchange {
    private unowned let handler: RequestHandler
    private let context: ChannelHandlerContext
    private let address: Endpoint
    private let asCache: Bool
    private let head: HTTPRequestHead
    /// What came before the upstream connection was there.
    private var waiting: [HTTPClientRequestPart] = []
    private var upstream: Upstream?
    private var requestHasBody = false
    private var requestIsComplete = false
    private var hasResponded = false
    private var upstreamKeepsAlive = false
    private var isOver = false
    private var hasRetried = false

    init(
        _ handler: RequestHandler, _ context: ChannelHandlerContext, _ head: HTTPRequestHead, to address: Endpoint,
        asCache: Bool
    ) {
        self.handler = handler
        self.context = context
        self.address = address
        self.asCache = asCache
        self.head = UpstreamExchange.forwarded(head, handler.connection, asCache: asCache)
    }

    var canSend: Bool { upstream?.isWritable ?? false }

    func start() {
        waiting.append(.head(head))
        if let kept = handler.upstream, kept.isUsable, kept.address == address {
            attach(kept)
        } else {
            handler.upstream?.close()
            handler.upstream = nil
            connect()
        }
    }

    private func connect() {
        let timeout = TimeAmount.microseconds(Int64(handler.server.settings.connectTimeoutMicroseconds))
        Upstream.connect(to: address, on: context.eventLoop, timeout: timeout, budget: handler.server.upstreams)
            .whenComplete { result in
                switch result {
                case .success(let upstream):
                    guard !self.isOver, self.context.channel.isActive else { return upstream.close() }
                    self.handler.upstream = upstream
                    self.attach(upstream)
                case .failure(let error): self.fail(error is UpstreamFailure ? 503 : 502)
                }
            }
    }

    private func attach(_ upstream: Upstream) {
        self.upstream = upstream
        upstream.exchange = self
        for part in waiting { upstream.write(part) }
        upstream.flush()
        if requestHasBody { waiting.removeAll() }
        upstream.read()
        handler.resumeReading()
    }

    // MARK: The client's side

    func send(_ bytes: ByteBuffer) {
        requestHasBody = true
        pass(.body(.byteBuffer(bytes)))
    }

    func end(_ trailers: HTTPHeaders?) {
        requestIsComplete = true
        pass(.end(trailers))
        upstream?.flush()
    }

    private func pass(_ part: HTTPClientRequestPart) {
        // A request without a body is kept, so that it can be told again.
        if upstream == nil || !requestHasBody { waiting.append(part) }
        if let upstream {
            upstream.write(part)
            upstream.flush()
        }
    }

    func clientBecameWritable() { upstream?.read() }

    // MARK: The other server's side

    func receive(_ part: HTTPClientResponsePart) {
        guard !isOver else { return }
        switch part {
        case .head(let response): receive(response)
        case .body(let bytes):
            guard hasResponded else { return }
            handler.record.bytes += bytes.readableBytes
            context.write(NIOAny(HTTPServerResponsePart.body(.byteBuffer(bytes))), promise: nil)
        case .end(let trailers):
            guard hasResponded else { return }
            isOver = true
            handler.record.trailers = trailers
            // A response before the request's end leaves the connections in a state that nobody can use again.
            upstream?.release(keepsAlive: upstreamKeepsAlive && requestIsComplete)
            if !requestIsComplete { handler.record.keepsAlive = false }
            handler.finish(context)
        }
    }

    private func receive(_ response: HTTPResponseHead) {
        if response.status.code / 100 == 1 {
            guard response.status.code != 101 else { return fail(502) }
            let isModern = handler.head.map { $0.version.minor >= 1 } ?? false
            let interim = HTTPResponseHead(version: .http1_1, status: response.status, headers: response.headers)
            if isModern { context.writeAndFlush(NIOAny(HTTPServerResponsePart.head(interim)), promise: nil) }
            return
        }
        if asCache, response.status == .gatewayTimeout, let original = handler.head {
            // The cache no longer has it: the origin does.
            isOver = true
            upstream?.exchange = nil
            handler.relay(context, original, to: handler.originServer)
            if case .relaying(let next) = handler.work { next.end(nil) }
            return
        }
        hasResponded = true
        upstreamKeepsAlive = response.isKeepAlive
        write(response)
    }

    /// The response with this connection's own framing: its length as it was stated, or chunks. Only a client of
    /// HTTP/1.0 that is told no length has to see the end of the connection as the end of the response.
    private func write(_ response: HTTPResponseHead) {
        var headers = response.headers
        UpstreamExchange.removeHopByHop(&headers)
        let hasBody = head.method != .HEAD && response.status.mayHaveResponseBody
        let isModern = handler.head.map { $0.version.minor >= 1 } ?? false
        handler.record.status = Int(response.status.code)
        handler.record.answeredBy = asCache ? "cache" : "origin"
        handler.record.keepsAlive = handler.keepsAlive
        if hasBody, !headers.contains(name: "content-length") {
            if isModern {
                headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked")
            } else {
                handler.record.keepsAlive = false
            }
        }
        if !handler.record.keepsAlive {
            headers.replaceOrAdd(name: "Connection", value: "close")
        } else if !isModern {
            headers.replaceOrAdd(name: "Connection", value: "keep-alive")
        }
        let head = HTTPResponseHead(version: .http1_1, status: response.status, headers: headers)
        context.write(NIOAny(HTTPServerResponsePart.head(head)), promise: nil)
    }

    func readComplete() {
        guard !isOver else { return }
        context.flush()
        if context.channel.isWritable { upstream?.read() }
    }

    func upstreamBecameWritable() { handler.resumeReading() }

    /// The other server has closed. A kept connection may die just as it is used again: a request without a body
    /// that does no harm when it is done twice is told once more, to a new one.
    func upstreamEnded() {
        guard !isOver else { return }
        if !hasResponded, !requestHasBody, !hasRetried, (upstream?.served ?? 0) > 0,
            PlainRequest.isIdempotent(head.method.rawValue)
        {
            hasRetried = true
            upstream = nil
            handler.upstream = nil
            connect()
            return
        }
        if hasResponded {
            isOver = true
            context.close(promise: nil)
        } else {
            fail(502)
        }
    }

    private func fail(_ status: Int) {
        guard !isOver else { return }
        isOver = true
        upstream?.exchange = nil
        handler.upstream?.close()
        handler.upstream = nil
        handler.failRelay(context, status, requestIsComplete: requestIsComplete)
    }
}

extension UpstreamExchange {
    /// The request as it is told to another server: same framing, without what concerns one connection only, and with
    /// the client's address.
    static func forwarded(_ head: HTTPRequestHead, _ connection: AdoptedConnection, asCache: Bool) -> HTTPRequestHead {
        var headers = head.headers
        let isChunked = headers.contains(name: "transfer-encoding")
        removeHopByHop(&headers)
        if isChunked { headers.replaceOrAdd(name: "Transfer-Encoding", value: "chunked") }
        if !headers.contains(name: "host") { headers.add(name: "Host", value: "\(connection.origin.address)") }
        headers.add(name: "X-Forwarded-For", value: "\(connection.client.address)")
        var uri = head.uri
        if asCache {
            headers.add(name: "Cache-Control", value: "only-if-cached")
            if uri.hasPrefix("/") { uri = "http://\(headers.first(name: "host") ?? "")\(uri)" }
        }
        return HTTPRequestHead(version: .http1_1, method: head.method, uri: uri, headers: headers)
    }

    /// RFC 9110 section 7.6.1.
    static func removeHopByHop(_ headers: inout HTTPHeaders) {
        for name in headers[canonicalForm: "connection"] {
            // What says whose the message is and where it ends is nobody's option.
            if ["host", "content-length"].contains(name.lowercased()) { continue }
            headers.remove(name: String(name))
        }
        for name in [
            "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
            "transfer-encoding", "upgrade", "http2-settings",
        ] { headers.remove(name: name) }
    }
}

extension RequestHandler {
    /// Another server answers this request.
    func relay(_ context: ChannelHandlerContext, _ head: HTTPRequestHead, to address: Endpoint, asCache: Bool = false) {
        let exchange = UpstreamExchange(self, context, head, to: address, asCache: asCache)
        work = .relaying(exchange)
        exchange.start()
    }

    /// The request's body, if there is more of it, has nowhere to go.
    func failRelay(_ context: ChannelHandlerContext, _ status: Int, requestIsComplete: Bool) {
        work = .failed
        write(context, error: status)
        if !requestIsComplete { context.close(promise: nil) }
    }
}
