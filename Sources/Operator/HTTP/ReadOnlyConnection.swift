import NIOCore
import NIOHTTP1
import Wire

/// One client's connection: a request, its answer, the next one.
final class ReadOnlyConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let paths: [String: HTTPPath]
    private let isLoopback: Bool
    private var head: HTTPRequestHead?

    /// A director that has not answered by then does not.
    private static var patience: TimeAmount { .seconds(2) }

    init(_ paths: [String: HTTPPath], isLoopback: Bool) {
        self.paths = paths
        self.isLoopback = isLoopback
    }

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
        let name = head.uri.prefix { $0 != "?" }
        guard isMeant(head.headers) else {
            return write(context, HTTPReply("this is no name of the director's\n", status: .misdirectedRequest))
        }
        guard let path = paths[String(name)] else {
            let known = paths.keys.sorted().joined(separator: ", ")
            return write(context, HTTPReply("there is only: \(known)\n", status: .notFound))
        }
        guard head.method == .GET || head.method == .HEAD else {
            var reply = HTTPReply("GET is all there is\n", status: .methodNotAllowed)
            reply.headers = [("Allow", "GET, HEAD")]
            return write(context, reply)
        }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let deadline = loop.assumeIsolated().scheduleTask(in: Self.patience) { self.write(context, .noAnswer) }
        path.answer { reply in
            deadline.cancel()
            loop.execute {
                let (connection, context) = bound.value
                connection.write(context, reply)
            }
        }
    }

    /// On a loopback address only its own names count: a web site that lets its name point here (DNS rebinding) gets
    /// nothing by way of somebody's browser.
    private func isMeant(_ headers: HTTPHeaders) -> Bool {
        guard isLoopback, let host = headers.first(name: "Host") else { return true }
        let bare = host.hasPrefix("[") ? host.dropFirst().prefix { $0 != "]" } : host.prefix { $0 != ":" }
        return bare == "localhost" || IPAddress(bare)?.isLoopback == true
    }

    private func write(_ context: ChannelHandlerContext, _ reply: HTTPReply) {
        guard context.channel.isActive, let request = head else { return }
        head = nil
        var headers = HTTPHeaders([
            ("Content-Type", reply.type), ("Content-Length", "\(reply.body.readableBytes)"),
            ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
        ])
        for (name, value) in reply.headers { headers.add(name: name, value: value) }
        if !request.isKeepAlive { headers.add(name: "Connection", value: "close") }
        context.write(
            wrapOutboundOut(.head(.init(version: .http1_1, status: reply.status, headers: headers))), promise: nil)
        if request.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(reply.body))), promise: nil)
        }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
            if !request.isKeepAlive { bound.value.close(promise: nil) }
        }
    }
}
