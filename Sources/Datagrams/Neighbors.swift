import Wire

/// Ethernet addresses of those that an endpoint sends to. Bounded: a peer that finds no room gets nothing.
///
/// An address is used for as long as it is confirmed now and then; asked for again in time, so that a host whose card was
/// changed is found without a gap.
struct Neighbors: Sendable {
    private struct Neighbor {
        var mac: MACAddress?
        var confirmedAt: UInt64 = 0
        var askedAt: UInt64?
        /// The newest frame that waits for the address; its Ethernet destination is still to be written.
        var waiting: [UInt8]?
    }

    private var known: [IPAddress: Neighbor] = [:]

    static var capacity: Int { 4_096 }
    /// As long as RFC 4861's REACHABLE_TIME, and its RETRANS_TIMER.
    static var freshMicroseconds: UInt64 { 30_000_000 }
    static var pauseMicroseconds: UInt64 { 1_000_000 }
    /// So long after `freshMicroseconds` an address that nobody confirmed is given up.
    static var graceMicroseconds: UInt64 { 10_000_000 }

    enum Way: Equatable {
        case to(MACAddress)
        /// It waits.
        case unknown
        case noRoom
    }

    /// How a frame gets to a peer, and whether to ask for the peer's address now.
    mutating func way(to peer: IPAddress, _ frame: @autoclosure () -> [UInt8], now: UInt64) -> (way: Way, asks: Bool) {
        guard known[peer] != nil || known.count < Self.capacity else { return (.noRoom, false) }
        var neighbor = known[peer] ?? Neighbor()
        defer { known[peer] = neighbor }
        let age = now - min(neighbor.confirmedAt, now)
        if age >= Self.freshMicroseconds + Self.graceMicroseconds { neighbor.mac = nil }
        let isDue = neighbor.askedAt.map { now - min($0, now) >= Self.pauseMicroseconds } ?? true
        let asks = isDue && (neighbor.mac == nil || age >= Self.freshMicroseconds)
        if asks { neighbor.askedAt = now }
        if let mac = neighbor.mac { return (.to(mac), asks) }
        neighbor.waiting = frame()
        return (.unknown, asks)
    }

    /// A peer is at `mac`; what waited for it, ready to go. Others than peers are not noted.
    mutating func learn(_ peer: IPAddress, at mac: MACAddress, now: UInt64) -> [UInt8]? {
        guard var neighbor = known[peer] else { return nil }
        let waiting = neighbor.waiting
        (neighbor.mac, neighbor.confirmedAt, neighbor.askedAt, neighbor.waiting) = (mac, now, nil, nil)
        known[peer] = neighbor
        guard var frame = waiting else { return nil }
        frame.withUnsafeMutableBytes { $0.baseAddress!.setWireMAC(0, mac) }
        return frame
    }
}
