public import Wire

/// A connection that a server of this host is to have, which knows nothing of where it comes from: the worker shakes hands
/// with it in the client's name (`Worker+Replay`). Told of by `WorkerCommand.replay`, and answered by
/// `WorkerEvent.flowInstalled` with the same ticket once the server has answered, or by `flowRefused`.
public struct ReplayOrder: Sendable, Equatable, BitwiseCopyable {
    public var connection: ConnectionState
    public var ticket: UInt32

    public init(_ connection: ConnectionState, ticket: UInt32) {
        self.connection = connection
        self.ticket = ticket
    }
}
