import Glibc
internal import NIOCore
internal import NIOHTTP1

extension RequestHandler {
    /// A later request of a connection that its director wants back, whole and alone.
    func canHandBack(_ head: HTTPRequestHead) -> Bool {
        connection.mayComeBack && hasAnswered && head.isKeepAlive && !server.isDraining && !boundary.isLost
            && head.version == .http1_1 && boundary.bytes.readableBytes <= RequestBoundary.longestHead
            && !head.headers.contains(name: "content-length") && !head.headers.contains(name: "transfer-encoding")
    }

    /// The request has been read to its end. Until the answer comes nothing is read and nothing is sent.
    func handBack(_ context: ChannelHandlerContext) {
        let copy = dup(connection.descriptor)
        guard copy >= 0 else { return keep(context) }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        server.handBack(
            HandBack(
                number: connection.number, request: Array(boundary.bytes.readableBytesView), descriptor: copy,
                isOver: { outcome in loop.execute { handler.value.handedBack(outcome) } }))
    }

    private func handedBack(_ outcome: HandBack.Outcome) {
        guard let context, case .handingBack = work else { return }
        switch outcome {
        case .stays: keep(context)
        case .moved:
            head = nil
            account.isPassedOn = true
            context.close(promise: nil)
        case .lost: reset(context)
        }
    }

    /// As without the offer.
    private func keep(_ context: ChannelHandlerContext) {
        guard let head else { return }
        relay(context, head, to: originServer)
        if case .relaying(let exchange) = work { exchange.end(nil) }
        resumeReading()
    }
}
