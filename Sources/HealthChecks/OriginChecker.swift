public import Control
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Wire

/// Tries each origin's TCP from the kernel, at its own interval, on a thread of its own: nobody else waits for it.
public final class OriginChecker {
    private let group: MultiThreadedEventLoopGroup?
    private let results: CheckResults

    /// Begins at once. Origins that are not to be checked are left alone; without any others there is no thread.
    ///
    /// - Parameter wake: Makes the control loop look at `take`; called on the checker's thread.
    public init(_ servers: [DirectorConfiguration.VirtualServer], wake: @escaping @Sendable () -> Void) {
        results = CheckResults(wake: wake)
        let checks = servers.flatMap { server in server.origins.map { (address: $0.address, check: server.check) } }
        guard checks.contains(where: { !$0.check.isOff }) else {
            group = nil
            return
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.group = group
        let neighbors = KernelNeighbors()
        for (index, (address, check)) in checks.enumerated() where !check.isOff {
            let trial = OriginTrial(
                origin: index, address: address, check: check, neighbors: neighbors, results: results,
                on: group.next())
            trial.begin()
        }
    }

    public var hasResults: Bool { !results.isEmpty }

    /// What was found since the last call, in order, by the origins' places.
    public func take() -> [(origin: Int, check: OriginCheck)] { results.take() }

    /// Ends all checks.
    public func shutDown() { try? group?.syncShutdownGracefully() }
}
