package import InterCore
package import Wire

/// Assembles an answer about flows from what workers say. Bounded on all sides: in rows, in places of the tables that are
/// looked at, and in time; what lies behind a bound is read on from where the answer's cursor says. One at a time.
///
/// Rows are asked for page by page, worker after worker, so that event rings never hold more than a page; counts from all
/// workers at once.
package struct FlowListing: Sendable {
    package enum Wish: Equatable, Sendable {
        case rows(limit: Int)
        case counts
    }

    private var ticket: UInt8 = 0
    private var wish = Wish.counts
    private var query = FlowQuery()
    private var cursor = FlowCursor(places: [])
    private var answer = FlowAnswer()
    private var placesLeft = 0
    /// Places of the tables that one answer looks at, at most; of one worker no more than `FlowQuery.mostPlaces`.
    package var mostPlaces = Int(FlowQuery.mostPlaces)
    /// What workers have said so far that owe more, by worker. It counts when it is complete: the cursor stands before it
    /// until then.
    private var pages: [Int: FlowAnswer] = [:]
    package private(set) var deadline: UInt64?

    /// Rows of one page.
    package static var pageLength: Int { 64 }
    /// Ends before an operator's patience does.
    package static var patienceMicroseconds: UInt64 { 3_000_000 }

    package init() {}

    package var isUnderWay: Bool { deadline != nil }
    package func isOverdue(_ now: UInt64) -> Bool { deadline.map { now >= $0 } ?? false }

    package mutating func begin(
        _ wish: Wish, _ query: FlowQuery, from cursor: FlowCursor, now: UInt64
    ) -> [(command: WorkerCommand, worker: Int)] {
        ticket &+= 1
        self.wish = wish
        self.query = query
        self.query.ticket = ticket
        self.cursor = cursor
        answer = FlowAnswer()
        placesLeft = mostPlaces
        pages = [:]
        deadline = now + Self.patienceMicroseconds
        guard wish == .counts else { return nextPage().map { [$0] } ?? [] }
        return cursor.places.enumerated().compactMap { worker, place in
            place.map { ask(worker, from: $0, places: placesLeft) }
        }
    }

    /// One flow, of the worker that would have it.
    package mutating func find(_ key: FlowKey, worker: Int, now: UInt64) -> WorkerCommand {
        ticket &+= 1
        wish = .rows(limit: 1)
        cursor = FlowCursor(places: [])
        answer = FlowAnswer()
        pages = [worker: FlowAnswer()]
        deadline = now + Self.patienceMicroseconds
        return .findFlow(key, ticket: ticket)
    }

    package mutating func append(_ summary: FlowSummary, worker: Int, ticket: UInt8) {
        guard isUnderWay, ticket == self.ticket else { return }
        pages[worker]?.rows.append(summary)
    }

    package mutating func append(
        _ count: UInt32, state: FlowState, proxy: ProxyIndex, worker: Int, ticket: UInt8
    ) {
        guard isUnderWay, ticket == self.ticket else { return }
        pages[worker]?.counts[FlowAnswer.Kind(state: state, proxy: proxy), default: 0] += UInt64(count)
    }

    /// A worker has said all that it was asked for. What is to be asked next, if anything.
    package mutating func end(worker: Int, next: UInt32?, ticket: UInt8) -> (command: WorkerCommand, worker: Int)? {
        guard isUnderWay, ticket == self.ticket, let page = pages.removeValue(forKey: worker) else { return nil }
        answer.rows += page.rows
        answer.counts.merge(page.counts, uniquingKeysWith: +)
        guard worker < cursor.places.count else { return nil }
        if let next, let place = cursor.places[worker] { placesLeft -= Int(next) - Int(min(place, next)) }
        cursor.places[worker] = next
        return wish == .counts ? nil : nextPage()
    }

    /// The answer, once nothing more is to come; the listing is then free for the next one.
    package mutating func take(now: UInt64) -> FlowAnswer? {
        guard isUnderWay, pages.isEmpty || isOverdue(now) else { return nil }
        deadline = nil
        answer.cursor = cursor.isAtEnd ? nil : cursor
        defer { answer = FlowAnswer() }
        return answer
    }

    private mutating func nextPage() -> (command: WorkerCommand, worker: Int)? {
        guard case .rows(let limit) = wish, answer.rows.count < limit, placesLeft > 0,
            let worker = cursor.places.firstIndex(where: { $0 != nil }), let place = cursor.places[worker]
        else { return nil }
        query.limit = UInt16(min(limit - answer.rows.count, Self.pageLength))
        return ask(worker, from: place, places: placesLeft)
    }

    private mutating func ask(
        _ worker: Int, from place: UInt32, places: Int
    ) -> (command: WorkerCommand, worker: Int) {
        pages[worker] = FlowAnswer()
        var query = query
        query.cursor = place
        query.places = UInt32(clamping: places)
        return (wish == .counts ? .countFlows(query) : .listFlows(query), worker)
    }
}

/// What workers said of their flows. Made into text by whoever sends it, not by the control core.
public struct FlowAnswer: Equatable, Sendable {
    package struct Kind: Hashable, Sendable {
        package var state: FlowState
        package var proxy: ProxyIndex

        package init(state: FlowState, proxy: ProxyIndex) {
            self.state = state
            self.proxy = proxy
        }
    }

    package var rows: [FlowSummary] = []
    package var counts: [Kind: UInt64] = [:]
    /// Names of the proxies by index.
    package var proxies: [String] = []
    /// Names of the origins of virtual servers, which count from the other end.
    package var origins: [String] = []
    /// From where to read on; nil when that was all.
    package var cursor: FlowCursor?

    package init() {}

    /// The answer to `flows`.
    public var page: FlowPage {
        var page = FlowPage()
        page.flows = rows.map { summary in
            var row = FlowStatus()
            row.flow = "\(summary.key)"
            row.protocol = summary.handle.isOfDatagrams ? "udp" : "tcp"
            row.worker = Int(summary.handle.worker)
            row.state = "\(summary.state)"
            row.proxy = name(summary.proxy)
            row.idleMilliseconds = summary.idleMilliseconds
            return row
        }
        page.next = cursor?.text
        return page
    }

    /// The answer to `flows.count`.
    public var census: FlowCensus {
        var census = FlowCensus()
        census.counts = counts.map { FlowCount(state: "\($0.state)", proxy: name($0.proxy), flows: $1) }
            .sorted { ($0.state, $0.proxy) < ($1.state, $1.proxy) }
        census.flows = counts.values.reduce(0, +)
        census.next = cursor?.text
        return census
    }

    private func name(_ proxy: ProxyIndex) -> String {
        if Int(proxy.value) < proxies.count { return proxies[Int(proxy.value)] }
        return origins.indices.contains(proxy.originIndex) ? origins[proxy.originIndex] : ""
    }
}
