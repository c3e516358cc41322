public import Control
import Foundation
public import Logging
import NIOCore
import NIOPosix

/// The director's control socket: JSON-RPC 2.0, one message a line, over a UNIX socket, on an event loop and thread of
/// its own. `docs/control-socket.md` has the methods. Nothing here waits for the control core or makes it wait:
/// requests go into an `OperatorMailbox`.
public final class ControlSocket: Sendable {
    public let path: String
    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel
    private let inode: UInt64

    /// What one operator may cost. At each bound the connection is closed after an error that names it.
    public struct Limits: Sendable {
        public var lineBytes = 65_536
        public var connections = 32
        /// A connection that asks nothing for so long is closed.
        public var idleSeconds: Double = 60
        /// A request that the director has not answered by then fails.
        public var answerSeconds: Double = 5
        /// An answer that the operator has not read by then closes the connection.
        public var writeSeconds: Double = 5
        public init() {}
    }

    /// Makes the socket, replacing one that a dead director left, and begins to serve.
    public static func open(
        _ settings: DirectorConfiguration.ControlSocketSettings, mailbox: OperatorMailbox, source: ConfigurationSource,
        limits: Limits = Limits(), logger: Logger
    ) throws(ControlSocketProblem) -> ControlSocket {
        var access = PeerAccess()
        if let name = settings.group { access.readers = try SocketFile.groupIdentifier(name) }
        return try open(
            path: settings.path, access: access, mailbox: mailbox, source: source, limits: limits, logger: logger)
    }

    /// The same with explicit rights.
    public static func open(
        path: String, access: PeerAccess, mailbox: OperatorMailbox, source: ConfigurationSource,
        limits: Limits = Limits(), logger: Logger
    ) throws(ControlSocketProblem) -> ControlSocket {
        let listening = try SocketFile.listen(path: path, group: access.readers)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let service = ControlService(mailbox: mailbox, source: source, access: access, limits: limits, logger: logger)
        do {
            let listener = try ServerBootstrap(group: group)
                .childChannelOption(.autoRead, value: false)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelOption(.maxMessagesPerRead, value: 1)
                .childChannelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 16_384))
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(ControlConnection(service))
                    }
                }
                .withBoundSocket(listening.descriptor).wait()
            return ControlSocket(path: path, group: group, listener: listener, inode: listening.inode)
        } catch {
            try? group.syncShutdownGracefully()
            unlink(path)
            throw ControlSocketProblem(path: path, message: "cannot be served: \(error)", remedy: "check the limits")
        }
    }

    private init(path: String, group: MultiThreadedEventLoopGroup, listener: any Channel, inode: UInt64) {
        self.path = path
        self.group = group
        self.listener = listener
        self.inode = inode
    }

    /// Stops serving, closes every connection and removes the socket file if it is still ours. Blocks for a moment.
    public func close() {
        try? listener.close().wait()
        try? group.syncShutdownGracefully()
        if SocketFile.inode(of: path) == inode { unlink(path) }
    }
}

/// Why a control socket cannot be made.
public struct ControlSocketProblem: Error, Equatable, Sendable, CustomStringConvertible {
    public var path: String
    public var message: String
    public var remedy: String

    public var description: String { "control socket \(path) \(message): \(remedy)" }
}
