public import Glibc
public import InterCore
internal import Wire

/// The connections of this host's agent that its servers get by replayed handshakes: carries the agent's wishes to the
/// worker, and what becomes of them back.
public struct HostReplays {
    private let agent: AgentConnection
    /// Taken by the worker, one for each `WorkerCommand.replay`.
    public let orders = Ring<ReplayOrder>(capacity: 4_096)
    private var table = ReplayTable()
    private var commands: [WorkerCommand] = []
    /// Nobody new is taken.
    public var isDraining = false

    /// - Parameter owner: whom the agent becomes.
    public init(socket: String, owner: uid_t) throws {
        agent = try AgentConnection(at: socket, owner: owner)
    }

    public var count: Int { table.count }
    /// None is under way, and those that have ended have had time for their last acknowledgements.
    public func isEmpty(since now: UInt64) -> Bool { table.isEmpty(since: now) }
    /// What becomes readable when the agent says something, or comes.
    public var descriptors: [CInt] { agent.descriptors }

    /// What the agent has said meanwhile, at most `limit` messages. How many there were.
    public mutating func takeWishes(atMost limit: Int, now: UInt64) -> Int {
        for number in table.forgetUnanswered(now: now) { agent.send(.refused(number: number)) }
        var taken = 0
        while taken < limit, let message = agent.receive() {
            taken += 1
            switch message {
            case .hello(let epoch): commands += table.begin(epoch).map { .cancelReplay($0) }
            case .replay(let number, let connection): begin(number, connection, now: now)
            case .cancel(let number): if let handle = table.cancel(number) { commands.append(.cancelReplay(handle)) }
            case .ready, .refused, .begun, .ended: break
            }
        }
        return taken
    }

    private mutating func begin(_ number: UInt64, _ connection: ConnectionState, now: UInt64) {
        guard !isDraining, orders.hasRoom(for: 1), let order = table.order(connection, number, now: now) else {
            return agent.send(.refused(number: number))
        }
        _ = orders.push(order)
        commands.append(.replay)
    }

    /// False for an event that is about another flow.
    public mutating func take(_ event: WorkerEvent, now: UInt64) -> Bool {
        switch event {
        case .flowInstalled(let handle, let ticket) where ReplayTable.isOrder(ticket):
            if let number = table.installed(handle, ticket) {
                agent.send(.ready(number: number))
            } else {
                commands.append(.cancelReplay(handle))
            }
        case .flowRefused(let ticket) where ReplayTable.isOrder(ticket):
            if let number = table.refused(ticket) { agent.send(.refused(number: number)) }
        case .committed(let handle) where table.has(handle):
            if let number = table.begun(handle) { agent.send(.begun(number: number)) }
        case .flowEnded(let handle, _) where table.has(handle):
            if let number = table.ended(handle, now: now) { agent.send(.ended(number: number)) }
        default: return false
        }
        return true
    }

    /// What the worker is to be told.
    public mutating func takeCommands() -> [WorkerCommand] {
        defer { commands.removeAll(keepingCapacity: true) }
        return commands
    }

    public func flush() { agent.flush() }
    public func close() { agent.close() }
}
