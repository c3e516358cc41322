import Control

/// All that the page shows at one moment; `data.json` is its JSON.
struct PageSnapshot: Encodable {
    /// Milliseconds since 1970.
    let time: UInt64
    let director: Director
    let totals: Totals
    let workers: Int
    let proxies: [ProxyStatus]
    let transfers: [TransferStatus]
    let history: [PageHistory.Point]
    let decisions: Decisions

    /// Rows of transfers.
    static var transferLimit: Int { 60 }

    struct Director: Encodable {
        let name: String
        let version: String
        let uptimeSeconds: Double
        let algorithm: String
        let bypass: Bool
        let recovering: Bool
    }

    struct Totals: Encodable {
        let committed: UInt64
        let origin: UInt64
        let held: UInt64
        let flows: UInt64
        let dropped: UInt64
    }

    /// Microseconds.
    struct Decisions: Encodable {
        let bounds: [UInt64]
        let counts: [UInt64]
        let total: UInt64
        let p50: Double?
        let p99: Double?
    }

    init(
        _ status: DirectorStatus, _ proxies: [ProxyStatus], _ transfers: [TransferStatus], _ history: PageHistory,
        milliseconds: UInt64
    ) {
        time = milliseconds
        director = Director(
            name: status.name, version: status.version, uptimeSeconds: status.uptimeSeconds,
            algorithm: status.algorithm, bypass: status.bypass, recovering: status.recovering)
        let now = PageHistory.Totals(status, proxies)
        totals = Totals(
            committed: now.committed, origin: now.origin, held: now.held, flows: now.flows, dropped: now.dropped)
        workers = status.workers.count
        self.proxies = proxies
        self.transfers = transfers
        self.history = history.points
        let times = status.decisionTimes
        decisions = Decisions(
            bounds: TimeHistogram.boundsMicroseconds, counts: times.counts, total: times.count,
            p50: times.quantile(0.5), p99: times.quantile(0.99))
    }
}
