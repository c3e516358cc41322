package import CRTP
package import InterCore
package import Wire

// A forwarder: where its classifiers are, and whose the connections are that it has no mapping for.
extension ControlCore {
    /// Workers learn the ways before any table that names them: rings keep the order of commands.
    mutating func introduceClassifiers() {
        for (index, origin) in virtualServers.origins.enumerated() {
            guard let tunnel = origin.tunnel, origin.mac != .zero else { continue }
            commandAll(.encapsulate(.origin(index), tunnel.encapsulation(innerMAC: origin.mac)))
            commandAll(.proxy(.origin(index), origin.shared.hop))
        }
    }

    /// A worker has seen the middle of a connection that no agent has announced.
    package mutating func flowWanted(_ key: FlowKey, now: UInt64) {
        guard configuration.role == .forwarder else { return counters.add(.strayEvent) }
        let agents = proxies.indices.filter {
            proxies[$0].isUp && proxies[$0].phase == .active && proxies[$0].agent?.capabilities.contains(.blobs) == true
        }
        guard flowQueries.begin(key, agents: Set(agents), now: now) == .ask else { return }
        counters.add(.flowQueries)
        nextTransaction &+= 1
        for index in agents { _ = send(Frame(.flowQuery(key), transaction: nextTransaction), to: index) }
    }

    package mutating func flowUnknown(_ key: FlowKey, _ index: Int, now: UInt64) {
        guard configuration.role == .forwarder else { return counters.add(.misplaced) }
        flowQueries.notFound(key, at: index, now: now)
    }

    /// The agent has given the connection away: whoever has it now says so itself, and until then it has no mapping.
    /// False when this is no mapping's.
    package mutating func unmap(_ terminate: Terminate, _ index: Int) -> Bool {
        guard configuration.role == .forwarder else { return false }
        endedFlows.insert(proxy: index, transfer: terminate.transfer)
        if let slot = transfers.slot(proxy: index, transaction: terminate.transfer) {
            command(.disown(transfers[slot].handle), for: transfers[slot].handle)
        } else {
            _ = installs.mark(.disowned, proxy: index, transfer: terminate.transfer)
        }
        return true
    }
}
