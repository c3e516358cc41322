internal import NIOCore
import Synchronization

/// What is known of a connection when it is over here.
final class ConnectionAccount: Sendable {
    private let count: Atomic<UInt64>
    private let passedOn = Atomic<Bool>(false)

    /// `sent`: by the process before this one.
    init(sent: UInt64 = 0) { count = Atomic(sent) }

    /// Bytes that the client was sent.
    var sent: UInt64 { count.load(ordering: .relaxed) }
    func add(_ bytes: Int) { count.add(UInt64(bytes), ordering: .relaxed) }

    /// It goes on in another process: it is over here without being over.
    var isPassedOn: Bool {
        get { passedOn.load(ordering: .relaxed) }
        set { passedOn.store(newValue, ordering: .relaxed) }
    }
}

/// Counts what the kernel has taken.
final class SentMeter: ChannelOutboundHandler {
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData
    private let account: ConnectionAccount

    init(_ account: ConnectionAccount) { self.account = account }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = unwrapOutboundIn(data).readableBytes
        let promise = promise ?? context.eventLoop.makePromise()
        let account = account
        promise.futureResult.whenSuccess { account.add(bytes) }
        context.write(data, promise: promise)
    }
}
