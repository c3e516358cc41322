internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Wire

/// A connection to an origin or a cache, kept while its client's connection lives, for one exchange at a time. It is
/// made from this host's own address, so it is never a candidate of a director's.
final class Upstream: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    let address: Endpoint
    private(set) var channel: (any Channel)?
    private var context: ChannelHandlerContext?
    weak var exchange: UpstreamExchange?
    private(set) var served = 0
    private var isReading = false
    private(set) var isUsable = true

    init(_ address: Endpoint) { self.address = address }

    /// Connects on the client's own event loop.
    static func connect(
        to address: Endpoint, on eventLoop: any EventLoop, timeout: TimeAmount, budget: UpstreamBudget
    ) -> EventLoopFuture<Upstream>.Isolated {
        let upstream = Upstream(address)
        let bound = NIOLoopBound(upstream, eventLoop: eventLoop)
        guard budget.take() else { return eventLoop.makeFailedFuture(UpstreamFailure.noneLeft).assumeIsolated() }
        let connecting = ClientBootstrap(group: eventLoop)
            .connectTimeout(timeout)
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    var encoding = HTTPRequestEncoder.Configuration()
                    encoding.automaticallySetFramingHeaders = false
                    try pipeline.addHandler(HTTPRequestEncoder(configuration: encoding))
                    try pipeline.addHandler(
                        ByteToMessageHandler(
                            HTTPResponseDecoder(
                                leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .forward)))
                    try pipeline.addHandler(bound.value)
                }
            }
            .connect(host: "\(address.address)", port: Int(address.port))
        return connecting.assumeIsolated().map { channel in
            channel.closeFuture.whenComplete { _ in budget.giveBack() }
            upstream.channel = channel
            return upstream
        }.flatMapErrorThrowing { error in
            budget.giveBack()
            throw error
        }
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func write(_ part: HTTPClientRequestPart) {
        channel?.write(part, promise: nil)
    }

    func flush() { channel?.flush() }

    var isWritable: Bool { channel?.isWritable ?? false }

    func close() {
        isUsable = false
        channel?.close(promise: nil)
    }

    /// The exchange is over; the connection may serve another.
    func release(keepsAlive: Bool) {
        exchange = nil
        served += 1
        if !keepsAlive { close() } else { read() }
    }

    /// Reads once; the next read is asked for when the client can take more.
    func read() {
        guard !isReading else { return }
        isReading = true
        context?.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let exchange else { return close() }
        exchange.receive(unwrapInboundIn(data))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        exchange?.readComplete()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { exchange?.upstreamBecameWritable() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isUsable = false
        exchange?.upstreamEnded()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        close()
    }
}

enum UpstreamFailure: Error {
    case noneLeft
}
