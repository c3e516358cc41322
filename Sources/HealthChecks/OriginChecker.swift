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
    public init(_ checks: [CheckedServer], wake: @escaping @Sendable () -> Void) {
        results = CheckResults(wake: wake)
        guard checks.contains(where: { !$0.check.isOff }) else {
            group = nil
            return
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.group = group
        let neighbors = KernelNeighbors()
        for (index, server) in checks.enumerated() where !server.check.isOff {
            let trial = OriginTrial(
                origin: index, server: server, neighbors: neighbors, results: results, on: group.next())
            trial.begin()
        }
    }

    public var hasResults: Bool { !results.isEmpty }

    /// What was found since the last call, in order, by the origins' places.
    public func take() -> [(origin: Int, check: OriginCheck)] { results.take() }

    /// Ends all checks.
    public func shutDown() { try? group?.syncShutdownGracefully() }
}
