internal import NIOCore
internal import NIOHTTP1

extension RequestHandler {
    /// Makes a connection one whose requests are answered here, from the next byte on.
    static func take(
        over channel: any Channel, _ connection: AdoptedConnection, server: ConnectionServer, account: ConnectionAccount
    ) throws {
        let boundary = RequestBoundary(lastRequest: connection.resumption?.lastRequest ?? [])
        var encoding = HTTPResponseEncoder.Configuration()
        // Framing is RequestHandler's, which knows of HEAD.
        encoding.automaticallySetFramingHeaders = false
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(boundary)
        try pipeline.configureHTTPServerPipeline(
            position: .last, withPipeliningAssistance: true, withServerUpgrade: nil, withErrorHandling: true,
            withOutboundHeaderValidation: true, withEncoderConfiguration: encoding)
        try pipeline.addHandler(RequestHandler(connection, server: server, boundary: boundary, account: account))
    }

    /// Another process goes on with the connection, if it stands between two requests.
    func passOnIfPossible() {
        guard let context, server.hasSuccessor else { return }
        // Not within a read of this channel.
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            let handler = handler.value
            guard let context = handler.context, handler.isIdle, handler.boundary.isBetweenRequests,
                context.channel.isActive, handler.server.passOn(handler.connection, handler.account)
            else { return }
            context.close(promise: nil)
        }
    }
}

/// A successor takes connections that stand between two requests.
struct SuccessorEvent {}
