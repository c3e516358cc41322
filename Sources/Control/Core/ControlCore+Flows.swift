import InterCore
public import Wire

// What an operator asks of the flows, which workers own.
extension ControlCore {
    /// Why a listing cannot be.
    public enum FlowRefusal: Error, Equatable, Sendable {
        case noProxy(String)
        /// The cursor has another number of workers.
        case strangeCursor
    }

    /// Begins a listing of at most `limit` rows, or (nil) counts. One at a time: `takeFlows` must have given the answer to
    /// the one before.
    public mutating func beginFlows(
        _ filter: FlowFilter, limit: Int?, from cursor: FlowCursor?, now: UInt64
    ) throws(FlowRefusal) {
        var proxy = ProxyIndex.none
        if let name = filter.proxy {
            if let index = proxies.firstIndex(where: { $0.configuration.name == name }) {
                proxy = proxies[index].index
            } else if let index = virtualServers.origins.firstIndex(where: { $0.name == name }) {
                proxy = .origin(index)
            } else {
                throw .noProxy(name)
            }
        }
        let cursor = cursor ?? FlowCursor(workers: workerCount)
        guard cursor.places.count == workerCount else { throw .strangeCursor }
        let wish = limit.map { FlowListing.Wish.rows(limit: $0) } ?? .counts
        for (command, worker) in listing.begin(wish, filter.query(proxy: proxy), from: cursor, now: now) {
            actions.append(.command(command, worker: worker))
        }
    }

    /// Begins to look for one flow; as `beginFlows`.
    public mutating func beginFind(_ key: FlowKey, now: UInt64) {
        let worker = owner(of: key)
        actions.append(.command(listing.find(key, worker: worker, now: now), worker: worker))
    }

    /// The answer to what `beginFlows` began; nil while workers owe something, at most three seconds.
    public mutating func takeFlows(now: UInt64) -> FlowAnswer? {
        guard var answer = listing.take(now: now) else { return nil }
        answer.proxies = proxies.map(\.configuration.name)
        answer.origins = virtualServers.origins.map(\.name)
        return answer
    }

    package mutating func continueListing(worker: Int, next: UInt32?, ticket: UInt8) {
        guard let (command, worker) = listing.end(worker: worker, next: next, ticket: ticket) else { return }
        actions.append(.command(command, worker: worker))
    }
}
