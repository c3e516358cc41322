import Foundation
public import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
public import Wire

/// A small HTTP server on an event loop and thread of its own: GET and HEAD of a few fixed paths. Bounded: so many
/// connections, so long idle. What it serves it gets from the mailbox, so nobody who asks makes the control core wait.
public final class ReadOnlyServer: Sendable {
    /// Where it listens, with the port that it got for port 0.
    public let address: String
    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel

    /// Connections at once; more are closed unheard.
    private static var connectionLimit: Int { 32 }
    private static var idle: TimeAmount { .seconds(30) }

    /// - Parameters:
    ///   - key: the configuration's key that names `endpoint`, for messages.
    ///   - paths: what answers, by path.
    static func open(
        _ endpoint: Endpoint, key: String, paths: [String: HTTPPath], logger: Logger
    ) throws -> ReadOnlyServer {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let connections = BoundedCount()
        let isLoopback = endpoint.address.isLoopback
        do {
            let listener = try ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { channel in
                    guard connections.increment(below: connectionLimit) else { return channel.close() }
                    channel.closeFuture.whenComplete { _ in connections.decrement() }
                    return channel.eventLoop.makeCompletedFuture {
                        let operations = channel.pipeline.syncOperations
                        try operations.addHandler(IdleStateHandler(readTimeout: idle))
                        try operations.configureHTTPServerPipeline(withErrorHandling: true)
                        try operations.addHandler(ReadOnlyConnection(paths, isLoopback: isLoopback))
                    }
                }
                .bind(host: "\(endpoint.address)", port: Int(endpoint.port)).wait()
            let server = ReadOnlyServer(group, listener)
            logger.info("serving", metadata: ["address": "\(server.address)", "paths": "\(paths.keys.sorted())"])
            return server
        } catch {
            try? group.syncShutdownGracefully()
            throw ReadOnlyServerProblem(endpoint: "\(endpoint)", key: key, reason: "\(error)")
        }
    }

    private init(_ group: MultiThreadedEventLoopGroup, _ listener: any Channel) {
        self.group = group
        self.listener = listener
        address = listener.localAddress.map { "\($0.ipAddress ?? "?"):\($0.port ?? 0)" } ?? "?"
    }

    /// From now on until it is closed, on its own thread.
    func every(_ period: TimeAmount, _ action: @escaping @Sendable () -> Void) {
        group.next().scheduleRepeatedTask(initialDelay: .zero, delay: period) { _ in action() }
    }

    /// Blocks for a moment.
    public func close() {
        try? listener.close().wait()
        try? group.syncShutdownGracefully()
    }
}

/// Why nothing can be served there.
public struct ReadOnlyServerProblem: Error, Sendable, CustomStringConvertible {
    public let endpoint: String
    public let key: String
    public let reason: String
    public var description: String {
        "\(endpoint) cannot be served: \(reason): name a free port of this machine in '\(key)'"
    }
}

/// What answers for a path: called on the connection's thread, it gives its reply at once or later, from any thread.
struct HTTPPath: Sendable {
    let answer: @Sendable (_ reply: @escaping @Sendable (HTTPReply) -> Void) -> Void
}

struct HTTPReply: Sendable {
    var status = HTTPResponseStatus.ok
    var type = "text/plain; charset=utf-8"
    var headers: [(name: String, value: String)] = []
    var body: ByteBuffer

    init(_ text: String, status: HTTPResponseStatus = .ok) {
        body = ByteBuffer(string: text)
        self.status = status
    }
}

extension IPAddress {
    /// 127.0.0.0/8 and ::1.
    var isLoopback: Bool { isV4 ? v4 >> 24 == 127 : high == 0 && low == 1 }
}
