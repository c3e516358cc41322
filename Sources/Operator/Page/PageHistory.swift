package import Control

/// What the page's charts show: a point a second, five minutes of them, made of counters that only grow.
package struct PageHistory: Sendable {
    /// One second. Rates are per second.
    package struct Point: Codable, Equatable, Sendable {
        /// Milliseconds since 1970.
        package var time: UInt64
        package var committed: Double
        package var origin: Double
        /// Requests held at that moment, and the most that the workers have told of.
        package var heldMost: Double
        /// Of the decisions of that second, milliseconds; 0 when there were none.
        package var p99: Double
        package var fromClients: Double
        package var fromServers: Double
        package var dropped: Double
        /// Accepted transfers, in the order of the proxies.
        package var proxies: [Double]
    }

    package private(set) var points: [Point] = []
    private var previous: Totals?
    private let capacity: Int

    package init(capacity: Int = 300) { self.capacity = capacity }

    package mutating func add(_ status: DirectorStatus, _ proxies: [ProxyStatus], milliseconds: UInt64) {
        let totals = Totals(status, proxies)
        defer { previous = totals }
        guard let previous, totals.uptime > previous.uptime else { return }
        let seconds = totals.uptime - previous.uptime
        func rate(_ value: KeyPath<Totals, UInt64>) -> Double {
            Double(totals[keyPath: value] &- min(previous[keyPath: value], totals[keyPath: value])) / seconds
        }
        let acks = zip(totals.acks, previous.acks).map { Double($0 &- min($1, $0)) / seconds }
        if points.count == capacity { points.removeFirst() }
        points.append(
            Point(
                time: milliseconds, committed: rate(\.committed), origin: rate(\.origin), heldMost: Double(totals.held),
                p99: (totals.decisions.since(previous.decisions).quantile(0.99) ?? 0) / 1_000,
                fromClients: rate(\.fromClients), fromServers: rate(\.fromServers), dropped: rate(\.dropped),
                proxies: acks))
    }

    /// What the rates are made of.
    package struct Totals: Sendable {
        package var uptime: Double
        package var committed: UInt64
        package var origin: UInt64
        package var held: UInt64
        package var flows: UInt64
        package var fromClients: UInt64
        package var fromServers: UInt64
        package var dropped: UInt64
        package var decisions: TimeHistogram
        package var acks: [UInt64]

        package init(_ status: DirectorStatus, _ proxies: [ProxyStatus]) {
            func sum(_ name: String) -> UInt64 { status.workers.reduce(0) { $0 + ($1.counters[name] ?? 0) } }
            func gauge(_ name: String) -> UInt64 { status.workers.reduce(0) { $0 + ($1.gauges[name] ?? 0) } }
            uptime = status.uptimeSeconds
            committed = status.transfers["committed"] ?? 0
            // Observed requests were the origin's from the beginning, announced flows a proxy's.
            origin = status.transfers.filter {
                $0.key != "committed" && $0.key != "announced" && !$0.key.hasPrefix("observed")
            }.values.reduce(0, +)
            (held, flows) = (gauge("heldFlows"), gauge("flows"))
            (fromClients, fromServers) = (sum("receivedFromClients"), sum("receivedFromServers"))
            dropped = status.workers.reduce(0) { total, worker in
                total + worker.counters.filter { $0.key.hasPrefix("dropped") }.values.reduce(0, +)
            }
            decisions = status.decisionTimes
            acks = proxies.map(\.acks)
        }
    }
}
