package import NIOCore

/// Knows whether a connection stands between two requests, which is where it can go elsewhere: keeps the bytes of the
/// request that is being read, as they came.
///
/// It cannot tell where one request ends and another begins in bytes that came together, so a connection whose client
/// did not wait for a response, or sent a body, is never at a boundary again.
package final class RequestBoundary: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer

    private static let limit = 65_536
    /// A request is being answered: bytes that come now are not its head's.
    private var isAnswering = false
    /// Bytes have come that cannot be told apart.
    package private(set) var isLost = false
    package private(set) var bytes = ByteBuffer()
    private var last = ByteBuffer()

    /// `lastRequest`: the head that another process has answered.
    package init(lastRequest: [UInt8] = []) { last = ByteBuffer(bytes: lastRequest) }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isAnswering { isLost = true }
        if !isLost {
            bytes.writeImmutableBuffer(unwrapInboundIn(data))
            if bytes.readableBytes > RequestBoundary.limit { isLost = true }
        }
        if isLost { bytes.clear() }
        context.fireChannelRead(data)
    }

    /// A head has been read to its end.
    package func headIsRead() {
        isAnswering = true
        if !isLost, !endsWithHead { isLost = true }
    }

    /// Its response is with the kernel, to the last byte.
    package func responseIsSent() {
        isAnswering = false
        swap(&bytes, &last)
        bytes.clear()
    }

    /// The head of the request that is being answered, or of the one before; empty when it is not known.
    package var lastHead: [UInt8] { isLost ? [] : Array((isAnswering ? bytes : last).readableBytesView) }

    /// As much as TRANSFER carries.
    package static var longestHead: Int { 1_216 }

    /// Nothing of a next request has come.
    package var isBetweenRequests: Bool { !isLost && !isAnswering && bytes.readableBytes == 0 }

    /// What was read is one head without a body behind it.
    private var endsWithHead: Bool {
        let view = bytes.readableBytesView
        let end: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]
        guard view.count >= 4, view.suffix(4).elementsEqual(end) else { return false }
        var matched = 0
        for (index, byte) in view.enumerated() {
            matched = byte == end[matched] ? matched + 1 : (byte == end[0] ? 1 : 0)
            if matched == 4 { return index == view.count - 1 }
        }
        return false
    }
}
