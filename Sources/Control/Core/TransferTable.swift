package import CRTP
package import InterCore
package import Wire

/// A transfer with all that the control core needs to carry it out.
package struct TransferRecord: Sendable {
    package var machine: TransferMachine
    /// Names the transfer to the agent.
    package let transaction: UInt32
    /// Index of the proxy.
    package let proxy: Int
    package let handle: FlowHandle
    package let key: FlowKey
    /// Until it is decided who gets it. Nil for a flow that an agent announced.
    package var request: TransferRequest?
    package let startedAt: UInt64
    /// When it became `committed`, once it has.
    package var committedAt: UInt64
    package var timer: TimingWheel<Int>.Token?

    /// PSN, by which TERMINATE must name the transfer as well; nil where it is not known.
    package let psn: SequenceNumber?

    package init(
        machine: TransferMachine, transaction: UInt32, proxy: Int, handle: FlowHandle, key: FlowKey,
        request: TransferRequest?, startedAt: UInt64
    ) {
        self.machine = machine
        self.transaction = transaction
        self.proxy = proxy
        self.handle = handle
        self.key = key
        self.request = request
        self.startedAt = startedAt
        committedAt = startedAt
        psn = request?.transfer.connection.psn
    }
}

/// What was asked, as long as it may have to be asked again or shown.
package struct TransferRequest: Sendable {
    package var transfer: Transfer
    package var host: ByteRange
    package var path: ByteRange
    package var rule: Int

    /// What is shown of it, each text cut at `limit` bytes.
    package func summary(limit: Int = .max) -> TransferSummary {
        TransferSummary(host: text(host, limit), path: text(path, limit), rule: rule)
    }

    private func text(_ range: ByteRange, _ limit: Int) -> String {
        transfer.request.withUnsafeBytes { String(decoding: range.of($0).prefix(limit), as: UTF8.self) }
    }
}

/// What an operator sees of a request.
package struct TransferSummary: Sendable {
    package var host: String
    package var path: String
    package var rule: Int
}

/// Every transfer that is not over, by number, by flow, and by place. Bounded by `capacity`.
package struct TransferTable: Sendable {
    package let capacity: Int
    package private(set) var count = 0
    private var slots: [TransferRecord?] = []
    private var freeSlots: [Int] = []
    private var byTransaction: [UInt64: Int] = [:]
    private var byHandle: [FlowHandle: Int] = [:]

    package init(capacity: Int) { self.capacity = capacity }

    package var isFull: Bool { count >= capacity }

    package mutating func insert(_ record: TransferRecord) -> Int {
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = slots.count
            slots.append(nil)
        }
        byTransaction[Self.key(record.proxy, record.transaction)] = slot
        if record.machine.state != .observing { byHandle[record.handle] = slot }
        slots[slot] = record
        count += 1
        return slot
    }

    package mutating func remove(at slot: Int) -> TransferRecord? {
        guard let record = slots[slot] else { return nil }
        byTransaction[Self.key(record.proxy, record.transaction)] = nil
        if byHandle[record.handle] == slot { byHandle[record.handle] = nil }
        slots[slot] = nil
        freeSlots.append(slot)
        count -= 1
        return record
    }

    /// The record in a slot that is in use.
    package subscript(slot: Int) -> TransferRecord {
        get { slots[slot]! }
        _modify { yield &slots[slot]! }
    }

    package func contains(slot: Int) -> Bool { slots[slot] != nil }
    package func slot(proxy: Int, transaction: UInt32) -> Int? { byTransaction[Self.key(proxy, transaction)] }
    package func slot(handle: FlowHandle) -> Int? { byHandle[handle] }

    /// Slots in use.
    package var slotsInUse: some Sequence<Int> { slots.indices.lazy.filter { slots[$0] != nil } }

    private static func key(_ proxy: Int, _ transaction: UInt32) -> UInt64 { UInt64(proxy) << 32 | UInt64(transaction) }
}

/// The last transfers that ended, newest last; a ring of fixed size.
package struct TransferHistory: Sendable {
    package struct Entry: Sendable {
        package var transaction: UInt32
        package var proxy: Int
        package var key: FlowKey
        package var request: TransferSummary?
        package var outcome: TransferOutcome
        package var tookMicroseconds: UInt64
    }

    /// Bytes of a text that are kept.
    package static var textLimit: Int { 128 }

    package let capacity: Int
    private var entries: [Entry] = []
    private var next = 0

    package init(capacity: Int) { self.capacity = capacity }

    package mutating func append(_ entry: Entry) {
        if entries.count < capacity {
            entries.append(entry)
        } else {
            entries[next] = entry
        }
        next = (next + 1) % capacity
    }

    package var newestFirst: some Sequence<Entry> {
        (0..<entries.count).lazy.map { entries[(next - 1 - $0 + 2 * entries.count) % entries.count] }
    }
}
