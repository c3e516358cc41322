import Foundation
import Logging
import NIOCore
import NIOPosix

/// What all connections of a control socket share.
final class ControlService: Sendable {
    let mailbox: OperatorMailbox
    let source: ConfigurationSource
    let access: PeerAccess
    let limits: ControlSocket.Limits
    let logger: Logger
    /// Open connections.
    let connections = BoundedCount()

    init(
        mailbox: OperatorMailbox, source: ConfigurationSource, access: PeerAccess, limits: ControlSocket.Limits,
        logger: Logger
    ) {
        self.mailbox = mailbox
        self.source = source
        self.access = access
        self.limits = limits
        self.logger = logger
    }
}

/// One operator's connection: one request at a time, so an operator never costs more than a line and an answer.
/// Each state has one deadline.
final class ControlConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        /// Collecting a line; the deadline closes.
        case reading
        /// The mailbox has the request; the deadline answers for it.
        case waiting(id: JSONValue?)
        /// The answer is on its way; the deadline closes.
        case writing
        case closed
    }

    private let service: ControlService
    private var state = State.reading
    private var input = ByteBuffer()
    /// Names the request under way: an answer to an earlier one that comes late is dropped.
    private var serial: UInt64 = 0
    private var deadline: Scheduled<Void>?
    private var peer: PeerCredentials?
    private var isCounted = false
    /// The operator will send no more; what it sent is still answered.
    private var isInputClosed = false

    init(_ service: ControlService) { self.service = service }

    func channelActive(context: ChannelHandlerContext) {
        let limit = service.limits.connections
        isCounted = service.connections.increment(below: limit)
        guard isCounted else {
            service.logger.warning("operator refused", metadata: ["connections": "\(limit)"])
            return finish(context, RPCFailure(id: .null, error: .tooManyConnections(limit)))
        }
        let operations = context.channel.pipeline.syncOperations
        peer = try? operations.withUnsafeTransportIfAvailable(of: CInt.self) { PeerCredentials(descriptor: $0) } ?? nil
        guard peer != nil else { return close(context) }
        read(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        input.writeBuffer(&bytes)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard case .reading = state else { return }
        nextLine(context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            isInputClosed = true
            if case .reading = state { nextLine(context) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        state = .closed
        deadline?.cancel()
        if isCounted { service.connections.decrement() }
        isCounted = false
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { close(context) }

    // MARK: The three states

    private func read(_ context: ChannelHandlerContext) {
        state = .reading
        schedule(context, seconds: service.limits.idleSeconds) { $0.close($1) }
        nextLine(context)
    }

    private func nextLine(_ context: ChannelHandlerContext) {
        let limit = service.limits.lineBytes
        while true {
            let view = input.readableBytesView
            guard let end = view.prefix(limit + 1).firstIndex(of: UInt8(ascii: "\n")) else {
                if view.count > limit { return finish(context, RPCFailure(id: .null, error: .lineTooLong(limit))) }
                if isInputClosed { return close(context) }
                return context.read()
            }
            let line = Array(view[view.startIndex..<end])
            input.moveReaderIndex(forwardBy: line.count + 1)
            input.discardReadBytes()
            if line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") }) { continue }
            return handle(line, context)
        }
    }

    private func handle(_ line: [UInt8], _ context: ChannelHandlerContext) {
        switch RPCRequest.read(line) {
        case .failure(let failure): write(context, failure.line)
        case .success(let request):
            let id = request.id ?? .null
            guard let peer else { return close(context) }
            if let refusal = service.access.refusal(of: request.request, by: peer) {
                return write(context, RPCFailure(id: id, error: refusal).line)
            }
            if request.request.isChange {
                service.logger.info(
                    "operator changes", metadata: ["request": "\(request.request)", "user": "\(peer.user)"])
            }
            submit(request, context)
        }
    }

    private func submit(_ request: RPCRequest, _ context: ChannelHandlerContext) {
        serial += 1
        state = .waiting(id: request.id)
        schedule(context, seconds: service.limits.answerSeconds) { $0.noAnswer($1) }
        guard request.request.readsConfiguration else { return pass(request, nil, serial, context) }
        let (source, expected) = (service.source, serial)
        let loaded = NIOThreadPool.singleton.runIfActive(eventLoop: context.eventLoop) { source.load() }
        loaded.assumeIsolated().whenComplete { result in
            guard case .waiting(let id) = self.state, self.serial == expected else { return }
            guard case .success(let loaded) = result else { return self.noAnswer(context) }
            guard loaded.configuration != nil else {
                return self.write(context, RPCFailure(id: id ?? .null, error: .configuration(loaded.problems)).line)
            }
            self.pass(request, loaded, expected, context)
        }
    }

    /// To the control core.
    private func pass(
        _ request: RPCRequest, _ loaded: LoadedConfiguration?, _ expected: UInt64, _ context: ChannelHandlerContext
    ) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let isAccepted = service.mailbox.submit(request.request, loaded: loaded) { response in
            loop.execute {
                let (connection, context) = bound.value
                connection.answer(response, serial: expected, context)
            }
        }
        if !isAccepted { write(context, RPCFailure(id: request.id ?? .null, error: .busy()).line) }
    }

    private func answer(_ response: OperatorResponse, serial expected: UInt64, _ context: ChannelHandlerContext) {
        guard case .waiting(let id) = state, serial == expected else { return }
        // A notification is carried out and not answered.
        guard let id else { return read(context) }
        write(context, RPCResponse.line(id: id, response))
    }

    private func noAnswer(_ context: ChannelHandlerContext) {
        guard case .waiting(let id) = state else { return }
        write(context, RPCFailure(id: id ?? .null, error: .noAnswer()).line)
    }

    private func write(_ context: ChannelHandlerContext, _ line: [UInt8], thenClose: Bool = false) {
        state = .writing
        schedule(context, seconds: service.limits.writeSeconds) { connection, context in
            connection.service.logger.warning("operator dropped", metadata: ["reason": "does not read its answer"])
            connection.close(context)
        }
        var buffer = context.channel.allocator.buffer(capacity: line.count + 1)
        buffer.writeBytes(line)
        buffer.writeInteger(UInt8(ascii: "\n"))
        context.writeAndFlush(wrapOutboundOut(buffer)).assumeIsolated().whenComplete { result in
            guard case .writing = self.state else { return }
            switch result {
            case .success where !thenClose: self.read(context)
            case .success, .failure: self.close(context)
            }
        }
    }

    // MARK: Endings

    private func finish(_ context: ChannelHandlerContext, _ failure: RPCFailure) {
        write(context, failure.line, thenClose: true)
    }

    private func close(_ context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        deadline?.cancel()
        state = .closed
        context.close(promise: nil)
    }

    private func schedule(
        _ context: ChannelHandlerContext, seconds: Double,
        _ action: @escaping (ControlConnection, ChannelHandlerContext) -> Void
    ) {
        deadline?.cancel()
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: .nanoseconds(Int64(seconds * 1e9))) {
            action(self, context)
        }
    }
}
