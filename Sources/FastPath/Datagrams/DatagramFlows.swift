import InterCore
import Wire

/// The flows of UDP datagrams of one worker: a table and timers of their own, so that no flood of datagrams takes a TCP
/// connection's place, and TCP's packets do not pay for them. A flow is in one of three states:
///
/// - `held`: its first datagrams wait for a verdict;
/// - `committed`: a proxy's server has it (QUIC);
/// - `origin`: the origin has it (QUIC).
///
/// DNS has flows only while they are held: each query is asked about anew.
struct DatagramFlows: ~Copyable {
    var table: FlowTable
    var timers: FlowTimers
    /// In the order in which they began to wait.
    var held = HoldQueue()
    var identifiers: ConnectionIdentifiers
    /// UDP is nobody's business before the first rule that asks for it. It stays so when that rule goes: its flows go on,
    /// and other workers may have some.
    var areWatched: Bool

    /// Datagrams that are held of one flow: as many as the control core reads of one.
    static var flightLimit: UInt32 { 8 }

    /// - Parameter capacity: flows of either family.
    init(capacity: Int, areWatched: Bool, hashSeed: UInt64, socket: Int, now: UInt64, hertz: UInt64) {
        self.areWatched = areWatched
        table = FlowTable(FlowTable.Size(ipv4: capacity, ipv6: capacity), hashSeed: hashSeed, socket: socket)
        timers = FlowTimers(now: now, hertz: hertz)
        identifiers = ConnectionIdentifiers(
            capacity: 2 * capacity, hashSeed: hashSeed, memory: TableMemory(socket: socket))
    }

    /// The flow that a handle names, unless it has ended.
    func live(_ handle: FlowHandle) -> Flow? {
        var own = handle
        own.index &= ~FlowHandle.datagramBit
        return table.live(own)
    }
}
