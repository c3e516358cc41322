internal import CRTP
internal import NIOCore

/// Stands before the socket of a connection that has come over with all that was under way. What its former server had
/// written goes first. An answer that was being sent is made again from its request, and its head left out.
final class ResumedResponse: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    /// Of the end of the head that is left out, so many bytes have been seen; nil once it is over.
    private var matched: Int?
    private let resumption: Resumption
    private let received: [UInt8]
    private let descriptor: CInt

    init(_ resumption: Resumption, of connection: AdoptedConnection) {
        self.resumption = resumption
        received = connection.received
        descriptor = connection.descriptor
        matched = resumption.continuation == nil ? nil : 0
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        // By then the kernel has measured the way.
        let (channel, descriptor) = (context.channel, descriptor)
        context.eventLoop.scheduleTask(in: .seconds(10)) { if channel.isActive { forgetHaste(descriptor) } }
        if !resumption.unsent.isEmpty {
            context.writeAndFlush(wrapOutboundOut(.byteBuffer(ByteBuffer(bytes: resumption.unsent))), promise: nil)
        }
        // Apart: what lies behind a request that is being answered is another one's.
        for bytes in [resumption.continuation?.request ?? [], received] where !bytes.isEmpty {
            context.fireChannelRead(wrapInboundOut(ByteBuffer(bytes: bytes)))
            context.fireChannelReadComplete()
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        // What is empty passes as well: by its promise the end of a response waits for what is before it.
        guard let matched, case .byteBuffer(var bytes) = unwrapOutboundIn(data) else {
            return context.write(data, promise: promise)
        }
        leaveOutHead(&bytes, matched)
        if bytes.readableBytes == 0 {
            promise?.succeed()
        } else {
            context.write(wrapOutboundOut(.byteBuffer(bytes)), promise: promise)
        }
    }

    /// A head ends with two line ends.
    private func leaveOutHead(_ bytes: inout ByteBuffer, _ seen: Int) {
        let end: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]
        var seen = seen
        for (index, byte) in bytes.readableBytesView.enumerated() {
            seen = byte == end[seen] ? seen + 1 : (byte == end[0] ? 1 : 0)
            guard seen == end.count else { continue }
            bytes.moveReaderIndex(forwardBy: index + 1)
            matched = nil
            return
        }
        matched = seen
        bytes.clear()
    }
}
