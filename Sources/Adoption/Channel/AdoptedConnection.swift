package import CRTP
package import Wire

/// A connection that has come over: its socket, and whom it belongs to. What serves it owns the socket.
package struct AdoptedConnection: Sendable {
    /// This agent's number for it.
    package var number: UInt64
    package var descriptor: CInt
    package var key: FlowKey
    package var transaction: UInt32
    /// Its director wants it back between two requests, when the next one asks for what is not here.
    package var mayComeBack = false
    /// The client's first bytes, where another agent has read them.
    package var received: [UInt8] = []
    /// It has come over with all that was under way.
    package var resumption: Resumption?

    package init(number: UInt64, descriptor: CInt, key: FlowKey, transaction: UInt32) {
        self.number = number
        self.descriptor = descriptor
        self.key = key
        self.transaction = transaction
    }

    package var client: Endpoint { Endpoint(key.client, port: key.clientPort) }
    package var origin: Endpoint { Endpoint(key.server, port: key.serverPort) }
}

/// What a connection brings along whose former server was in the middle of something.
package struct Resumption: Sendable {
    /// Bytes that the former server had written, and its kernel had not sent yet.
    package var unsent: [UInt8]
    /// The answer that was being sent; nil between two requests.
    package var continuation: Continuation?
    /// The head of the last request, by which a connection that goes on again before the next one is given away.
    package var lastRequest: [UInt8] = []

    package init(unsent: [UInt8], continuation: Continuation?, lastRequest: [UInt8] = []) {
        self.unsent = unsent
        self.lastRequest = lastRequest
        self.continuation = continuation
    }
}
