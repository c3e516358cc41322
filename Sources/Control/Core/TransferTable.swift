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
    /// When its agent answered TRANSFER; nil before.
    package var answeredAt: UInt64?
    /// Whether its ACK or NACK has come, in time or not.
    package var isAnswered = false
    /// When it became `committed`, once it has.
    package var committedAt: UInt64
    package var timer: TimingWheel<Int>.Token?
    /// Of a request that a whole group was asked for: the slots of all its transfers.
    package var siblings: [Int] = []
    /// Another member of the group was quicker.
    package var isDismissed = false
    /// False when the slot is free.
    fileprivate(set) var isInUse = true

    /// A DNS query: nothing follows it.
    package let isOfOneDatagram: Bool

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
        isOfOneDatagram = request?.transfer.application == .dns
    }
}

/// What was asked, as long as it may have to be asked again or shown.
package struct TransferRequest: Sendable {
    package var transfer: Transfer
    package var host: ByteRange
    package var path: ByteRange
    /// Index of the rule in the configuration of `rulesGeneration`, and its name.
    package var rule: Int
    package var rulesGeneration: UInt32 = 0
    package var ruleName = ""
    /// `contentHash`.
    package var content: UInt64
    /// The content as agents judge it, for `RefusalCache`.
    package var refusalKey: UInt64
    /// Who has been asked for it.
    package var asked = ProxySet()
    /// It is not asked for, but handed off.
    package var isOneWay = false
    /// All that is under way on a connection that comes from another proxy (`Transfer.blob`).
    package var blob: [UInt8]?
    /// Asked to see whether the proxy answers; for no client.
    package var isProbe = false

    package init(_ request: HeldRequest, rule: Int, isHeld: Bool, payload: UnsafeRawBufferPointer) {
        let recognised = request.request
        transfer = Transfer(
            connection: request.connection, request: Array(payload.prefix(HeldRequest.maximumPayload)),
            isTruncated: recognised.headLength > min(payload.count, HeldRequest.maximumPayload), isHeld: isHeld,
            application: recognised.application)
        host = recognised.host
        path = recognised.path
        self.rule = rule
        content = contentHash(host: host.of(payload), path: path.of(payload))
        // Catalogues know servers, and what may be answered to whom; rules have their requirements.
        let server = request.connection.key.server
        refusalKey = mixed(content ^ server.high) ^ server.low
        refusalKey = mixed(refusalKey ^ UInt64(request.connection.key.serverPort) << 16 ^ UInt64(rule) << 32)
        refusalKey ^= UInt64(recognised.application.rawValue) << 1 | (recognised.hasCredentials ? 1 : 0)
    }

    /// What is shown of it, each text cut at `limit` bytes.
    package func summary(limit: Int = .max) -> TransferSummary {
        TransferSummary(host: text(host, limit), path: text(path, limit), rule: ruleName)
    }

    private func text(_ range: ByteRange, _ limit: Int) -> String {
        transfer.request.withUnsafeBytes { String(decoding: range.of($0).prefix(limit), as: UTF8.self) }
    }
}

/// What an operator sees of a request.
package struct TransferSummary: Sendable {
    package var host: String
    package var path: String
    package var rule: String
}

/// Every transfer that is not over, by number, by flow, and by place. Bounded by `capacity`.
package struct TransferTable: Sendable {
    package let capacity: Int
    package private(set) var count = 0
    private var records: [TransferRecord] = []
    private var freeSlots: [Int] = []
    private var byTransaction = PlaceIndex()
    private var byHandle = PlaceIndex()

    package init(capacity: Int) { self.capacity = capacity }

    package var isFull: Bool { count >= capacity }

    package mutating func insert(_ record: consuming TransferRecord) -> Int {
        let slot: Int
        let key = TransferKey(proxy: record.proxy, transfer: record.transaction)
        let (handle, isObserving) = (record.handle, record.machine.state == .observing)
        if let free = freeSlots.popLast() {
            slot = free
            records[slot] = record
        } else {
            slot = records.count
            records.append(record)
        }
        byTransaction.insert(slot, hash: key.hash)
        if !isObserving { byHandle.insert(slot, hash: handle.hash) }
        count += 1
        return slot
    }

    /// The flow's events are another transfer's from now on.
    package mutating func releaseHandle(at slot: Int) { byHandle.remove(slot, hash: records[slot].handle.hash) }

    /// The flow's events are this transfer's from now on. Nobody else may have them.
    package mutating func claimHandle(at slot: Int) { byHandle.insert(slot, hash: records[slot].handle.hash) }

    package mutating func remove(at slot: Int) {
        guard contains(slot: slot) else { return }
        let key = TransferKey(proxy: records[slot].proxy, transfer: records[slot].transaction)
        byTransaction.remove(slot, hash: key.hash)
        byHandle.remove(slot, hash: records[slot].handle.hash)
        records[slot].isInUse = false
        records[slot].request = nil
        freeSlots.append(slot)
        count -= 1
    }

    /// The record in a slot that is in use.
    package subscript(slot: Int) -> TransferRecord {
        get { records[slot] }
        _modify { yield &records[slot] }
    }

    package func contains(slot: Int) -> Bool { records[slot].isInUse }

    package func slot(proxy: Int, transaction: UInt32) -> Int? {
        byTransaction.place(hash: TransferKey(proxy: proxy, transfer: transaction).hash) {
            records[$0].transaction == transaction && records[$0].proxy == proxy
        }
    }

    package func slot(handle: FlowHandle) -> Int? {
        byHandle.place(hash: handle.hash) { records[$0].handle == handle }
    }

    package var slotsInUse: some Sequence<Int> { records.indices.lazy.filter { records[$0].isInUse } }
}

/// The last transfers that ended, newest last; a ring of fixed size.
package struct TransferHistory: Sendable {
    package struct Entry: Sendable {
        package var transaction: UInt32
        /// Index of the proxy, and its name once it has gone.
        package var proxy: Int
        package var formerProxy: String?
        package var key: FlowKey
        package var request: TransferRequest?
        package var outcome: TransferOutcome
        /// Another proxy was asked then: another entry says how the request ended.
        package var isPassedOn = false
        package var tookMicroseconds: UInt64
        package var endedAt: UInt64
        package var answeredAt: UInt64?
    }

    /// Bytes of a text that are shown.
    package static var textLimit: Int { 128 }

    package let capacity: Int
    private var entries: [Entry] = []
    private var next = 0

    package init(capacity: Int) { self.capacity = capacity }

    package mutating func append(_ entry: Entry) {
        var entry = entry
        // Up to a mebibyte that nobody asks for.
        entry.request?.blob = nil
        if entries.count < capacity {
            entries.append(entry)
        } else {
            entries[next] = entry
        }
        next = (next + 1) % capacity
    }

    /// A proxy's place will be another's.
    package mutating func forget(proxy: Int, name: String) {
        for index in entries.indices where entries[index].proxy == proxy && entries[index].formerProxy == nil {
            entries[index].formerProxy = name
        }
    }

    package var newestFirst: some Sequence<Entry> {
        (0..<entries.count).lazy.map { entries[(next - 1 - $0 + 2 * entries.count) % entries.count] }
    }
}
