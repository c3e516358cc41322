internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Wire

/// Asks a cache whether it has something, without making it fetch: `HEAD` with `Cache-Control: only-if-cached`, which a
/// cache that does not have it answers with 504 (RFC 9111 section 5.2.1.7).
final class CacheInquiry: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private var answer: EventLoopPromise<Bool>?

    private init(_ answer: EventLoopPromise<Bool>) { self.answer = answer }

    /// false when the cache does not have it or cannot be asked.
    static func ask(
        _ cache: CacheSite, _ question: CatalogueQuestion, on group: any EventLoopGroup, timeout: TimeAmount
    ) -> EventLoopFuture<Bool> {
        let eventLoop = group.next()
        let answer = eventLoop.makePromise(of: Bool.self)
        let head = HTTPRequestHead(
            version: .http1_1, method: .HEAD,
            uri: "http://\(question.host)\(String(decoding: question.target, as: UTF8.self))",
            headers: ["Host": question.host, "Cache-Control": "only-if-cached", "Connection": "close"])
        ClientBootstrap(group: eventLoop)
            .connectTimeout(timeout)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(CacheInquiry(answer))
                }
            }
            .connect(host: "\(cache.address.address)", port: Int(cache.address.port))
            .whenComplete { result in
                guard case .success(let channel) = result else { return answer.succeed(false) }
                channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
                channel.write(HTTPClientRequestPart.head(head), promise: nil)
                channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            }
        return answer.futureResult
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = unwrapInboundIn(data), head.status.code >= 200 else { return }
        finish(head.status.code < 400)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(false)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func finish(_ hasIt: Bool) {
        answer?.succeed(hasIt)
        answer = nil
    }
}
