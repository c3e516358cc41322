internal import NIOCore
internal import NIOHTTP1
internal import Wire

/// One connection at the agent: reads requests one after the other and gives them to their exchange.
final class HTTPRequestReader: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let peer: Endpoint
    private let exchanges: HTTPExchanges
    private var context: ChannelHandlerContext?
    private var head: HTTPRequestHead?
    private var guest: HTTPGuest?
    private var isAnswerOwed = false
    private var idle: Scheduled<Void>?

    init(_ peer: Endpoint, _ exchanges: HTTPExchanges) {
        self.peer = peer
        self.exchanges = exchanges
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        exchanges.connections += 1
        watch()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        exchanges.connections -= 1
        idle?.cancel()
        guest?.lost(self)
        guest = nil
    }

    /// A connection without a request does not stay.
    private func watch() {
        idle?.cancel()
        let patience = TimeAmount.microseconds(Int64(exchanges.bounds.patienceMicroseconds))
        idle = context?.eventLoop.assumeIsolated().scheduleTask(in: patience) {
            if !self.isAnswerOwed { self.close() }
        }
    }

    func close() { context?.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            // Requests in advance of an answer are nobody's that this is for.
            if isAnswerOwed { return close() }
            self.head = head
        case .body: if head != nil { close() }
        case .end: take(context.eventLoop)
        }
    }

    private func take(_ eventLoop: any EventLoop) {
        guard let head else { return }
        self.head = nil
        isAnswerOwed = true
        guard let name = head.headers.first(name: HTTPFrames.exchangeField), HTTPFrames.isExchange(name),
            let frames = HTTPFrames.frames(of: head.headers)
        else { return refuse(.badRequest) }
        guard let guest = exchanges.guest(name, of: peer, on: eventLoop) else { return refuse(.serviceUnavailable) }
        self.guest = guest
        guest.ask(frames, self)
    }

    func answer(_ frames: [[UInt8]]) {
        var headers = HTTPHeaders()
        HTTPFrames.put(frames, into: &headers)
        respond(frames.isEmpty ? .noContent : .ok, headers)
        watch()
    }

    func refuse(_ status: HTTPResponseStatus) {
        respond(status, HTTPHeaders([("Connection", "close")]))
        close()
    }

    private func respond(_ status: HTTPResponseStatus, _ fields: HTTPHeaders) {
        guard let context, isAnswerOwed else { return }
        isAnswerOwed = false
        var headers = fields
        headers.add(name: "Cache-Control", value: "no-store")
        if status != .noContent { headers.add(name: "Content-Length", value: "0") }
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}
