package import InterCore

/// Assembles the answer to `batonctl flows` from what workers say, page by page, so that their event rings never hold
/// more than one page each. One listing at a time.
package struct FlowListing: Sendable {
    package private(set) var token: UInt64 = 0
    package private(set) var rows: [FlowStatus] = []
    package private(set) var deadline: UInt64?
    private var limit = 0
    /// Workers that have not finished.
    private var waiting: Set<Int> = []

    /// Rows of one page.
    package static var pageLength: UInt16 { 64 }
    package static var patienceMicroseconds: UInt64 { 1_000_000 }

    package init() {}

    package var isUnderWay: Bool { deadline != nil }
    package func isOverdue(_ now: UInt64) -> Bool { deadline.map { now >= $0 } ?? false }

    package mutating func begin(limit: Int, workerCount: Int, now: UInt64) -> [(worker: Int, page: UInt16)] {
        token += 1
        rows = []
        self.limit = max(0, limit)
        deadline = now + Self.patienceMicroseconds
        waiting = Set(0..<workerCount)
        if self.limit == 0 { finish() }
        return waiting.sorted().map { ($0, nextPage) }
    }

    package mutating func append(_ summary: FlowSummary, proxyName: String) {
        guard isUnderWay, rows.count < limit else { return }
        var row = FlowStatus()
        row.flow = "\(summary.key)"
        row.worker = Int(summary.handle.worker)
        row.state = "\(summary.state)"
        row.proxy = proxyName
        row.idleMilliseconds = summary.idleMilliseconds
        rows.append(row)
    }

    /// A worker's page is complete. The next one to ask it for, if any.
    package mutating func end(worker: Int, cursor: UInt32?) -> (cursor: UInt32, page: UInt16)? {
        guard waiting.contains(worker) else { return nil }
        if let cursor, rows.count < limit { return (cursor, nextPage) }
        waiting.remove(worker)
        if waiting.isEmpty { finish() }
        return nil
    }

    package mutating func finish() {
        waiting = []
        deadline = nil
    }

    private var nextPage: UInt16 { UInt16(clamping: min(limit - rows.count, Int(Self.pageLength))) }
}
