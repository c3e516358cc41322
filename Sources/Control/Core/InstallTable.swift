internal import InterCore
package import Wire

/// Flows that agents announced and workers are installing, by ticket. Bounded.
package struct InstallTable: Sendable {
    package struct Install: Sendable {
        package let proxy: Int
        package let transfer: UInt32
        package let key: FlowKey
        /// The agent has already said that it is over, or (`disowned`) with another proxy.
        package enum End: Sendable { case done, disowned }
        package var end: End?
    }

    package static var capacity: Int { 1_048_576 }

    private var byTicket: [UInt32: Install] = [:]
    private var ticketOfTransfer: [UInt64: UInt32] = [:]
    private var nextTicket: UInt32 = 0

    package init() {}

    package var count: Int { byTicket.count }

    /// A ticket for the worker to answer with; nil when the table is full.
    package mutating func insert(proxy: Int, transfer: UInt32, key: FlowKey) -> UInt32? {
        guard byTicket.count < Self.capacity else { return nil }
        repeat { nextTicket &+= 1 } while byTicket[nextTicket] != nil
        byTicket[nextTicket] = Install(proxy: proxy, transfer: transfer, key: key)
        ticketOfTransfer[Self.key(proxy, transfer)] = nextTicket
        return nextTicket
    }

    package mutating func take(ticket: UInt32) -> Install? {
        guard let install = byTicket.removeValue(forKey: ticket) else { return nil }
        ticketOfTransfer[Self.key(install.proxy, install.transfer)] = nil
        return install
    }

    package func isAwaited(proxy: Int, transfer: UInt32) -> Bool {
        ticketOfTransfer[Self.key(proxy, transfer)] != nil
    }

    /// Any of that proxy's.
    package func isAwaited(proxy: Int) -> Bool { byTicket.values.contains { $0.proxy == proxy } }

    /// The agent is done with a flow whose installation has not been answered; false when there is none.
    package mutating func mark(_ end: Install.End, proxy: Int, transfer: UInt32) -> Bool {
        guard let ticket = ticketOfTransfer[Self.key(proxy, transfer)] else { return false }
        byTicket[ticket]?.end = end
        return true
    }

    private static func key(_ proxy: Int, _ transfer: UInt32) -> UInt64 { UInt64(proxy) << 32 | UInt64(transfer) }
}

/// The last flows that ended, by proxy and transfer: an announcement that was under way meanwhile is not believed.
/// A ring of fixed size with an index.
package struct EndedFlows: Sendable {
    package static var capacity: Int { 65_536 }

    private var index = PlaceIndex()
    private var ring: [TransferKey] = []
    private var next = 0

    package init() {}

    package mutating func insert(proxy: Int, transfer: UInt32) {
        let key = TransferKey(proxy: proxy, transfer: transfer)
        guard place(of: key) == nil else { return }
        if ring.count < Self.capacity {
            ring.append(key)
        } else {
            index.remove(next, hash: ring[next].hash)
            ring[next] = key
        }
        index.insert(next, hash: key.hash)
        next = (next + 1) % Self.capacity
    }

    package func contains(proxy: Int, transfer: UInt32) -> Bool {
        place(of: TransferKey(proxy: proxy, transfer: transfer)) != nil
    }

    private func place(of key: TransferKey) -> Int? { index.place(hash: key.hash) { ring[$0] == key } }
}
