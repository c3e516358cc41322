internal import DequeModule
public import InterCore

/// Commands that a worker's ring has no room for yet, in order. Beyond `limit` those are dropped that something else
/// makes good: a verdict by the worker's backstop, a listing by its deadline. The others are kept: each is said once,
/// and there are no more of them than flows and proxies.
public struct CommandBacklog: Sendable {
    public let limit: Int
    private var commands: Deque<WorkerCommand> = []
    private var dropped = 0

    public init(limit: Int = 65_536) { self.limit = limit }

    public var isEmpty: Bool { commands.isEmpty }
    public var count: Int { commands.count }

    public mutating func append(_ command: WorkerCommand) {
        if commands.count >= limit && Self.hasBackstop(command) {
            dropped += 1
        } else {
            commands.append(command)
        }
    }

    /// Hands commands over as long as `push` takes them.
    public mutating func drain(_ push: (WorkerCommand) -> Bool) {
        while let command = commands.first, push(command) { commands.removeFirst() }
    }

    /// How many were dropped since the last call.
    public mutating func takeDropped() -> Int {
        defer { dropped = 0 }
        return dropped
    }

    private static func hasBackstop(_ command: WorkerCommand) -> Bool {
        switch command {
        case .verdict, .listFlows, .countFlows, .findFlow, .learnIdentifier, .transmitOwn: true
        case .encapsulate, .proxy, .proxyDown, .retireProxy, .useRules, .useVirtualServers, .installFlow, .flowDone,
            .resetOrigin, .replay, .cancelReplay,
            .move, .bypass, .disown,
            .recoveryEnded, .abortAllHolds, .capture:
            false
        }
    }
}
