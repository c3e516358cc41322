package import CRTP

/// Who has lately refused which content, so that the next request for it goes past those proxies. A table of fixed size
/// in which a newer content takes the place of an older one: whoever is forgotten is asked once more, no harm is done.
package struct RefusalCache: Sendable {
    /// How long a refusal counts; 0: not at all.
    package let lifetimeMicroseconds: UInt64
    private var entries: [Entry] = []
    /// Refusals from before the last `clear` count no more.
    private var generation: UInt32 = 1

    private struct Entry {
        var content: UInt64 = 0
        /// When the first of the proxies refused.
        var since: UInt64 = 0
        var generation: UInt32 = 0
        var proxies = ProxySet()
    }

    /// - Parameter capacity: contents that are remembered at once, at most; rounded up to a power of two.
    package init(capacity: Int, lifetimeMicroseconds: UInt64) {
        self.lifetimeMicroseconds = lifetimeMicroseconds
        guard lifetimeMicroseconds > 0, capacity > 0 else { return }
        var size = 1
        while size < capacity { size *= 2 }
        entries = .init(repeating: Entry(), count: size)
    }

    /// Those who have refused this content within the lifetime.
    package func refusers(of content: UInt64, now: UInt64) -> ProxySet {
        guard !entries.isEmpty else { return ProxySet() }
        let place = place(of: content)
        return isCurrent(place, content, now) ? entries[place].proxies : ProxySet()
    }

    package mutating func insert(_ proxy: Int, refusing content: UInt64, now: UInt64) {
        guard !entries.isEmpty else { return }
        let place = place(of: content)
        if !isCurrent(place, content, now) {
            entries[place] = Entry(content: content, since: now, generation: generation)
        }
        entries[place].proxies.insert(proxy)
    }

    /// An agent has started anew, perhaps with other content: everything is asked again.
    package mutating func clear() { generation &+= 1 }

    private func place(of content: UInt64) -> Int { Int(truncatingIfNeeded: mixed(content)) & (entries.count - 1) }

    private func isCurrent(_ place: Int, _ content: UInt64, _ now: UInt64) -> Bool {
        entries[place].content == content && entries[place].generation == generation
            && now - min(entries[place].since, now) < lifetimeMicroseconds
    }
}

extension NACKReason {
    /// The agent spoke of what was asked for, not of its own state or of the connection: it would say so again.
    package var isOfContent: Bool {
        switch self {
        case .notFound, .policy: true
        case .busy, .draining, .tupleInUse, .optionsUnsupported, .methodUnsupported, .requestIncomplete, .pipelined,
            .tooBig, .expired, .noRoute, .resource, .unknownFlow, .badTLV, .internalError:
            false
        }
    }
}
