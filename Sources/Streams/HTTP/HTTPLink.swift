internal import NIOCore
internal import NIOHTTP1

/// One keep-alive connection of an exchange: a request at a time.
final class HTTPLink: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private weak var exchange: HTTPExchange?
    private let host: String
    private let patience: TimeAmount
    private var context: ChannelHandlerContext?
    private var head: HTTPResponseHead?
    private var deadline: Scheduled<Void>?
    private var isOver = false
    /// A request was sent, and its answer has not come.
    private(set) var isAsking = false

    init(_ exchange: HTTPExchange, host: String, patience: TimeAmount) {
        self.exchange = exchange
        self.host = host
        self.patience = patience
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func ask(_ frames: [[UInt8]]) {
        guard let context, let exchange else { return }
        isAsking = true
        deadline?.cancel()
        var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/crtp")
        head.headers.add(name: "Host", value: host)
        head.headers.add(name: "Content-Length", value: "0")
        head.headers.add(name: HTTPFrames.exchangeField, value: exchange.name)
        HTTPFrames.put(frames, into: &head.headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: patience) {
            self.end(StreamEnd(.silent, "a request was not answered"))
        }
    }

    func close() {
        isOver = true
        context?.close(promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end: answered()
        }
    }

    private func answered() {
        guard let head, isAsking else { return }
        self.head = nil
        guard head.status == .ok || head.status == .noContent else {
            return end(StreamEnd(.refusedHTTP, "the answer is \(head.status)"))
        }
        guard let frames = HTTPFrames.frames(of: head.headers) else {
            return end(StreamEnd(.badFrame, "a CRTP field holds no frame"))
        }
        isAsking = false
        if head.isKeepAlive { leaveLater() } else { end(nil) }
        exchange?.answered(frames)
    }

    /// A link that is not needed goes before the agent thinks so, when a request could be on its way.
    private func leaveLater() {
        deadline?.cancel()
        deadline = context?.eventLoop.assumeIsolated().scheduleTask(in: Self.idle) {
            if !self.isAsking { self.end(nil) }
        }
    }

    private static var idle: TimeAmount { .seconds(8) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { end(StreamEnd(.closed, "\(error)")) }

    func channelInactive(context: ChannelHandlerContext) {
        end(isAsking ? StreamEnd(.closed, "by the peer, before it has answered") : nil)
        context.fireChannelInactive()
    }

    private func end(_ reason: StreamEnd?) {
        guard !isOver else { return }
        deadline?.cancel()
        close()
        exchange?.lost(self, reason)
    }
}
