internal import NIOCore

/// Takes a mail server's greeting away (RFC 5321 section 4.2): the client has had the origin's. Until it has come the
/// server is sent nothing of the client's, as servers refuse clients that speak too early (section 4.3.1). A greeting
/// other than 220 stays, as the answer to the client's EHLO.
final class ServerGreeting: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private static let limit = 65_536
    private let promise: EventLoopPromise<Void>
    private var received = ByteBuffer()
    private(set) var isHeard = false

    init(_ eventLoop: any EventLoop) { promise = eventLoop.makePromise() }

    /// Fails when the server ends the connection without a greeting.
    var heard: EventLoopFuture<Void> { promise.futureResult }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isHeard else { return context.fireChannelRead(data) }
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        guard let end = ServerGreeting.end(of: received.readableBytesView) else {
            if received.readableBytes > ServerGreeting.limit { context.close(promise: nil) }
            return
        }
        isHeard = true
        if received.readableBytesView.starts(with: "220".utf8) { received.moveReaderIndex(forwardBy: end) }
        promise.succeed()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if isHeard { context.fireChannelReadComplete() } else { context.read() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if !isHeard, let event = event as? ChannelEvent, event == .inputClosed {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if !isHeard { promise.fail(ChannelError.eof) }
        context.fireChannelInactive()
    }

    /// What is not the greeting goes on.
    func removeHandler(context: ChannelHandlerContext, removalToken: ChannelHandlerContext.RemovalToken) {
        if received.readableBytes > 0 {
            context.fireChannelRead(wrapInboundOut(received))
            context.fireChannelReadComplete()
        }
        received.clear()
        context.leavePipeline(removalToken: removalToken)
    }

    /// Bytes of a reply: lines `220-…`, and a last one that goes on otherwise. nil while it is incomplete.
    static func end(of bytes: some Collection<UInt8>) -> Int? {
        var rest = bytes[...]
        while let lineFeed = rest.firstIndex(of: UInt8(ascii: "\n")) {
            let next = bytes.index(after: lineFeed)
            if rest.dropFirst(3).first != UInt8(ascii: "-") { return bytes.distance(from: bytes.startIndex, to: next) }
            rest = bytes[next...]
        }
        return nil
    }
}
