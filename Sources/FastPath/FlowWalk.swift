import InterCore

/// A walk over a worker's table for `listFlows` or `countFlows`: where it stands and what it has found.
struct FlowWalk {
    /// While packets come, `busyPiece` places are looked at in so long: a quarter of a million a second. Where the worker has
    /// nothing else to do, `idlePiece` in each turn.
    static var periodMicroseconds: UInt64 { 32 }
    static var busyPiece: Int { 8 }
    static var idlePiece: Int { 256 }
    /// Events that one piece may make.
    static var eventsInOnePiece: Int { 16 }

    private(set) var isUnderWay = false
    private(set) var isCount = false
    private(set) var query = FlowQuery()
    /// The next place to look at, and that at which the walk ends.
    var cursor = 0
    private(set) var end = 0
    var rowsLeft = 0
    /// TSC of a busy worker's next piece.
    var due: UInt64 = 0
    /// Counted to the end: the next of `counts` to tell.
    var untold: Int?
    /// By state and proxy.
    let counts: UnsafeMutablePointer<UInt32>

    private static var proxies: Int { 256 }
    static var countsLength: Int { (Int(FlowState.closed.rawValue) &+ 1) &* proxies }

    init() {
        counts = .allocate(capacity: FlowWalk.countsLength)
        counts.initialize(repeating: 0, count: FlowWalk.countsLength)
    }

    mutating func begin(_ query: FlowQuery, isCount: Bool, now: UInt64) {
        self.query = query
        self.isCount = isCount
        isUnderWay = true
        cursor = Int(query.cursor)
        end = Int(query.cursor) &+ Int(query.places)
        rowsLeft = Int(query.limit)
        due = now
        untold = nil
        if isCount { counts.update(repeating: 0, count: FlowWalk.countsLength) }
    }

    mutating func finish() { isUnderWay = false }

    @inline(__always)
    func count(_ state: FlowState, _ proxy: ProxyIndex) {
        counts[Int(state.rawValue) &* FlowWalk.proxies &+ Int(proxy.value)] &+= 1
    }

    /// What the n-th count is of.
    static func state(ofCount index: Int) -> FlowState? {
        FlowState(rawValue: UInt8(truncatingIfNeeded: index / proxies))
    }
    static func proxy(ofCount index: Int) -> ProxyIndex { ProxyIndex(UInt8(truncatingIfNeeded: index % proxies)) }
}
