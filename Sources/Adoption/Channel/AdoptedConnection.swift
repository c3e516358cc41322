package import Wire

/// A connection that has come over: its socket, and whom it belongs to. What serves it owns the socket.
package struct AdoptedConnection: Sendable {
    /// This agent's number for it.
    package var number: UInt64
    package var descriptor: CInt
    package var key: FlowKey
    package var transaction: UInt32

    package init(number: UInt64, descriptor: CInt, key: FlowKey, transaction: UInt32) {
        self.number = number
        self.descriptor = descriptor
        self.key = key
        self.transaction = transaction
    }

    package var client: Endpoint { Endpoint(key.client, port: key.clientPort) }
    package var origin: Endpoint { Endpoint(key.server, port: key.serverPort) }
}
