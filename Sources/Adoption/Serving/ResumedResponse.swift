internal import CRTP
internal import NIOCore

/// Stands before the socket of a connection that has come over with all that was under way. What its former server had
/// written goes first. An answer that was being sent is made again from its request; of that, this lets pass what the
/// former server had not written yet.
final class ResumedResponse: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = IOData

    private enum Phase {
        /// Of the end of the head, so many bytes have been seen.
        case head(matched: Int)
        /// Bytes of the body that are still to be left out.
        case body(left: UInt64)
    }

    private var phase: Phase
    private let resumption: Resumption
    private let received: [UInt8]

    /// - Parameter received: what the client has said that was not read yet.
    init(_ resumption: Resumption, received: [UInt8]) {
        self.resumption = resumption
        self.received = received
        phase = resumption.continuation == nil ? .body(left: 0) : .head(matched: 0)
    }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
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
        var part = unwrapOutboundIn(data)
        if case .head(let matched) = phase { leaveOutHead(&part, matched) }
        if case .body(let left) = phase, left > 0 {
            let count = Int(min(left, UInt64(part.readableBytes)))
            part.skip(count)
            phase = .body(left: left - UInt64(count))
        }
        if part.readableBytes == 0 {
            promise?.succeed()
        } else {
            context.write(wrapOutboundOut(part), promise: promise)
        }
    }

    /// A head ends with two line ends.
    private func leaveOutHead(_ part: inout IOData, _ matched: Int) {
        guard case .byteBuffer(let bytes) = part else { return }
        let end: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]
        var matched = matched
        for (index, byte) in bytes.readableBytesView.enumerated() {
            matched = byte == end[matched] ? matched + 1 : (byte == end[0] ? 1 : 0)
            guard matched == end.count else { continue }
            part.skip(index + 1)
            phase = .body(left: resumption.continuation?.bodyBytesWritten ?? 0)
            return
        }
        phase = .head(matched: matched)
        part.skip(part.readableBytes)
    }
}

extension IOData {
    fileprivate mutating func skip(_ count: Int) {
        switch self {
        case .byteBuffer(var bytes):
            bytes.moveReaderIndex(forwardBy: count)
            self = .byteBuffer(bytes)
        case .fileRegion(var region):
            region.moveReaderIndex(forwardBy: count)
            self = .fileRegion(region)
        }
    }
}
