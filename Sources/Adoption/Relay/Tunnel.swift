internal import NIOCore

/// One end of two connections that are joined byte for byte. Each end reads only while the other can take more, and a
/// half-close on one is a half-close on the other. Both channels live on the same event loop.
final class TunnelEnd: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = IOData

    private var partner: TunnelEnd?
    private var context: ChannelHandlerContext?
    private var wantsRead = false
    private var inputIsClosed = false
    private var outputIsClosing = false
    private var outputIsClosed = false

    /// Two ends that belong together.
    static func pair() -> (TunnelEnd, TunnelEnd) {
        let (left, right) = (TunnelEnd(), TunnelEnd())
        left.partner = right
        right.partner = left
        return (left, right)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { partner?.partnerBecameWritable() }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        partner = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        partner?.partnerBecameWritable()
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        partner?.context?.write(NIOAny(IOData.byteBuffer(unwrapInboundIn(data))), promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        partner?.context?.flush()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner?.partnerBecameWritable() }
        context.fireChannelWritabilityChanged()
    }

    func read(context: ChannelHandlerContext) {
        if partner?.canTake == true { context.read() } else { wantsRead = true }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            inputIsClosed = true
            partner?.closeOutput()
            closeIfDone()
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let other = partner
        partner = nil
        other?.partnerIsGone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    /// What is on its way to this end still goes out, if the other end had finished properly.
    private func partnerIsGone() {
        partner = nil
        inputIsClosed = true
        if outputIsClosing { closeIfDone() } else { context?.close(promise: nil) }
    }

    private var canTake: Bool {
        guard let context else { return false }
        return context.channel.isActive && context.channel.isWritable
    }

    private func partnerBecameWritable() {
        guard wantsRead, let context else { return }
        wantsRead = false
        context.read()
    }

    /// Once what was written has gone.
    private func closeOutput() {
        guard let context, !outputIsClosing else { return }
        outputIsClosing = true
        context.flush()
        let done = context.eventLoop.makePromise(of: Void.self)
        done.futureResult.assumeIsolated().whenComplete { _ in
            self.outputIsClosed = true
            self.closeIfDone()
        }
        context.close(mode: .output, promise: done)
    }

    /// Both directions are over.
    private func closeIfDone() {
        if inputIsClosed, outputIsClosed, let context { context.close(promise: nil) }
    }
}
