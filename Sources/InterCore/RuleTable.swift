public import Wire

/// Rules and routes of one generation, in memory that workers read and nobody writes. The control core makes a table
/// for each change of the rules, hands it to all workers by `WorkerCommand.useRules`, and frees the one before when
/// every worker has said `WorkerEvent.rulesInForce`: a worker takes no lock, and never meets a half-made table.
public struct RuleTable: SharedTable, @unchecked Sendable, Equatable, BitwiseCopyable {
    /// At most 64; a rule's index is its bit in `HeldRequest.rules`.
    public let candidates: UnsafePointer<CandidateRule>
    public let routes: UnsafePointer<RouteRule>
    public let candidateCount: UInt32
    public let routeCount: UInt32
    /// Counts the tables since the director's start. Bits of another generation mean nothing.
    public let generation: UInt32
    /// Some rule is about UDP: otherwise datagrams pass like any other protocol.
    public let watchesDatagrams: Bool

    public init(candidates: [CandidateRule], routes: [RouteRule], generation: UInt32) {
        let rules = candidates.prefix(64)
        self.candidates = UnsafePointer(copied(rules))
        self.routes = UnsafePointer(copied(routes[...]))
        candidateCount = UInt32(rules.count)
        routeCount = UInt32(routes.count)
        self.generation = generation
        watchesDatagrams = rules.contains { $0.applications.isOverUDP && $0.mode != .off }
    }

    /// Once, when no worker has it any more.
    public func free() {
        UnsafeMutablePointer(mutating: candidates).deallocate()
        UnsafeMutablePointer(mutating: routes).deallocate()
    }
}

func copied<Element: BitwiseCopyable>(_ elements: ArraySlice<Element>) -> UnsafeMutablePointer<Element> {
    let copy = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
    for (index, element) in elements.enumerated() { (copy + index).initialize(to: element) }
    return copy
}
