internal import Control
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Wire

/// The checks of one origin, one after the other. All of it on the event loop.
final class OriginTrial: @unchecked Sendable {
    private let origin: Int
    private let server: CheckedServer
    private let neighbors: KernelNeighbors
    private let results: CheckResults
    private let eventLoop: any EventLoop

    init(
        origin: Int, server: CheckedServer, neighbors: KernelNeighbors, results: CheckResults,
        on eventLoop: any EventLoop
    ) {
        self.origin = origin
        self.server = server
        self.neighbors = neighbors
        self.results = results
        self.eventLoop = eventLoop
    }

    func begin() {
        eventLoop.execute { self.connect() }
    }

    /// No check is longer than the time until the next, so they never overlap.
    private func connect() {
        eventLoop.scheduleTask(in: .microseconds(Int64(server.check.intervalMicroseconds))) { self.connect() }
        let address = server.address
        guard let target = try? SocketAddress(ipAddress: "\(address.address)", port: Int(address.port)) else { return }
        // To the end of a tunnel the kernel sends nothing else: this makes it ask for the way.
        if server.way != address.address { neighbors.provoke(server.way) }
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.microseconds(Int64(server.check.timeoutMicroseconds)))
            .connect(to: target)
            .whenComplete { self.connected($0) }
    }

    private func connected(_ result: Result<any Channel, any Error>) {
        switch result {
        case .success(let channel):
            // The kernel has just sent there, so it knows.
            results.put(origin, .good(neighbors.address(towards: server.way)))
            channel.close(promise: nil)
        case .failure(let error): results.put(origin, .failed(reason(error)))
        }
    }

    private func reason(_ error: any Error) -> String {
        switch error {
        case let failure as IOError: String(cString: strerror(failure.errnoCode)).lowercased()
        case ChannelError.connectTimeout: "no answer in time"
        default: "\(error)"
        }
    }
}
