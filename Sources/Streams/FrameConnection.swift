internal import CRTP
internal import NIOCore
internal import NIOSSL
internal import NIOTLS
import Synchronization
internal import Wire

/// One connection: bytes become frames for the inbox, frames become bytes. Runs on its event loop, but for `send`,
/// `close` and `frameTaken`, which any thread may call.
final class FrameConnection: ChannelDuplexHandler, FrameCarrier, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    let peer: Endpoint
    weak var owner: Dial?
    private let eventLoop: any EventLoop
    private let inbox: StreamInbox
    private let bounds: StreamBounds
    private let isSecure: Bool
    /// Called once, on the event loop.
    private let opened: (FrameConnection) -> Void
    private let ended: (FrameConnection, StreamEnd) -> Void

    // The event loop's own.
    private var frames = FrameStream()
    private var context: ChannelHandlerContext?
    private var isOpen = false
    private var end: StreamEnd?
    private var holdsRead = false
    private var isConfirmed = false
    private(set) var openedAt: NIODeadline?

    private struct Outgoing {
        var waiting: [UInt8] = []
        /// Of `waiting`, and what the socket has not taken yet.
        var bytes = 0
    }
    private let outgoing = Mutex(Outgoing())
    private let untaken = Atomic<Int>(0)

    init(
        _ peer: Endpoint, on eventLoop: any EventLoop, inbox: StreamInbox, bounds: StreamBounds, isSecure: Bool,
        opened: @escaping (FrameConnection) -> Void, ended: @escaping (FrameConnection, StreamEnd) -> Void
    ) {
        self.peer = peer
        self.eventLoop = eventLoop
        self.inbox = inbox
        self.bounds = bounds
        self.isSecure = isSecure
        self.opened = opened
        self.ended = ended
    }

    // MARK: from any thread

    func send(_ frame: [UInt8]) -> Bool {
        let (hasRoom, isFirst) = outgoing.withLock { outgoing in
            guard outgoing.bytes + frame.count <= bounds.outgoingBytes else { return (false, false) }
            let isFirst = outgoing.waiting.isEmpty
            outgoing.waiting += frame
            outgoing.bytes += frame.count
            return (true, isFirst)
        }
        if isFirst { eventLoop.execute { self.transmit() } }
        return hasRoom
    }

    func close(_ end: StreamEnd) {
        eventLoop.execute { self.finish(end) }
    }

    func confirm() {
        eventLoop.execute { self.isConfirmed = true }
    }

    func frameTaken() {
        let (_, left) = untaken.subtract(1, ordering: .acquiringAndReleasing)
        if left == bounds.incomingFrames / 2 { eventLoop.execute { self.readOn() } }
    }

    // MARK: life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // Given up while it was being made.
        if end != nil { return context.close(promise: nil) }
        if isSecure { judgeLater { $0.isOpen ? nil : StreamEnd(.refusedTLS, "the handshake took too long") } }
    }

    /// Who connects and says nothing authentic does not stay. On the event loop.
    func awaitConfirmation() {
        judgeLater { $0.isConfirmed ? nil : StreamEnd(.unauthenticated, "nothing authentic has come") }
    }

    private func judgeLater(_ judge: @escaping (FrameConnection) -> StreamEnd?) {
        _ = eventLoop.assumeIsolated().scheduleTask(in: .microseconds(Int64(bounds.patienceMicroseconds))) {
            [weak self] in
            if let self, let end = judge(self) { self.finish(end) }
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        if !isSecure { open() }
        context.fireChannelActive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { open() }
        context.fireUserInboundEventTriggered(event)
    }

    private func open() {
        guard !isOpen, end == nil else { return }
        isOpen = true
        openedAt = .now()
        opened(self)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(isSecure ? .ofTLS(error, isOpen: isOpen) : StreamEnd(.closed, "\(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(
            isSecure && !isOpen
                ? StreamEnd(.refusedTLS, "the peer closed during the handshake") : StreamEnd(.closed, "by the peer"))
        context.fireChannelInactive()
    }

    /// The first reason counts.
    private func finish(_ reason: StreamEnd) {
        guard end == nil else { return }
        end = reason
        context?.close(promise: nil)
        ended(self, reason)
    }

    // MARK: in

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard end == nil else { return }
        let isWhole = unwrapInboundIn(data).withUnsafeReadableBytes { bytes in
            frames.append(bytes) { frame in
                untaken.add(1, ordering: .acquiringAndReleasing)
                inbox.put(.frame(frame, from: peer), of: self)
            }
        }
        if !isWhole { finish(StreamEnd(.badFrame, "what came is no CRTP frame")) }
    }

    /// While too much waits for the taker, the socket is not read.
    func read(context: ChannelHandlerContext) {
        if untaken.load(ordering: .acquiring) < bounds.incomingFrames {
            context.read()
        } else {
            holdsRead = true
        }
    }

    private func readOn() {
        guard holdsRead else { return }
        holdsRead = false
        context?.read()
    }

    // MARK: out

    private func transmit() {
        let bytes = outgoing.withLock { outgoing in
            defer { outgoing.waiting.removeAll(keepingCapacity: true) }
            return outgoing.waiting
        }
        guard let context, end == nil, !bytes.isEmpty else { return }
        let count = bytes.count
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes))).whenComplete { [weak self] _ in
            self?.outgoing.withLock { $0.bytes -= count }
        }
    }
}

extension StreamEnd {
    /// What BoringSSL says, in words that help.
    fileprivate static func ofTLS(_ error: any Error, isOpen: Bool) -> StreamEnd {
        let text = "\(error)"
        if case NIOSSLError.uncleanShutdown = error { return StreamEnd(isOpen ? .closed : .refusedTLS, "by the peer") }
        let known = [
            ("failedToValidateHostname", "the peer's certificate is for another name or address"),
            ("CERTIFICATE_VERIFY_FAILED", "the peer's certificate is not from the CA that is trusted here"),
            ("UNKNOWN_CA", "the peer does not trust the CA of the certificate that is shown to it"),
            ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "the peer has shown no certificate"),
            ("CERTIFICATE_REQUIRED", "the peer wants a certificate"),
            ("WRONG_VERSION_NUMBER", "the peer does not speak TLS"),
            ("unableToValidateCertificate", "the peer's certificate cannot be validated"),
        ]
        if let words = known.first(where: { text.contains($0.0) })?.1 { return StreamEnd(.refusedTLS, words) }
        let isHandshake = !isOpen || text.contains("ALERT") || error is NIOSSLExtraError
        return StreamEnd(isHandshake ? .refusedTLS : .closed, text)
    }
}
