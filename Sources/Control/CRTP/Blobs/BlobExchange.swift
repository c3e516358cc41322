/// The blobs of one end: those that its peers bring, and those that it brings them, each in the session with that peer.
/// Frames and time in, actions out; times are microseconds of any monotonic clock.
package struct BlobExchange<Peer: Hashable & Sendable>: Sendable {
    package var arriving = BlobReceiver()
    private var leaving: [Peer: BlobSender] = [:]
    /// What is to be done for which peer, in order; the caller carries it out and empties the list.
    package var actions: [(peer: Peer, action: BlobSender.Action)] = []

    /// Peers as `arriving` knows them.
    private var numbers: [Peer: Int] = [:]
    private var nextNumber = 0
    /// Of senders whose session has ended.
    private var former: [String: UInt64] = [:]
    private let initiateBytes: Int

    /// `initiateBytes`: the length of the INITs that the peers' paths are known to carry.
    package init(initiateBytes: Int = ChannelConfiguration().initiateBytes) { self.initiateBytes = initiateBytes }

    package var nextDeadline: UInt64? {
        ([arriving.nextDeadline] + leaving.values.map(\.nextDeadline)).compactMap { $0 }.min()
    }

    /// What became of fragments and blobs of all peers, by way and by name.
    package var counts: [String: UInt64] {
        var sent = former
        for sender in leaving.values { for (name, value) in sender.counters.named { sent[name, default: 0] += value } }
        var counts = Dictionary(uniqueKeysWithValues: sent.map { ("sent_\($0)", $1) })
        for (name, value) in arriving.counters.named { counts["received_\(name)"] = value }
        return counts
    }

    // MARK: blobs that go

    package func hasRoom(for bytes: Int, to peer: Peer) -> Bool { leaving[peer]?.hasRoom(for: bytes) ?? true }

    /// As `BlobSender.send`.
    package mutating func send(_ bytes: [UInt8], identifier: UInt64, to peer: Peer, now: UInt64) -> Bool {
        drive(peer, orNew: true) { $0.send(bytes, identifier: identifier, now: now) } ?? false
    }

    package mutating func cancel(_ identifier: UInt64, to peer: Peer, now: UInt64) {
        drive(peer) { $0.cancel(identifier, now: now) }
    }

    /// The session with that peer has ended: what was on its way to it is given up, and nobody hears of it. What has come
    /// from it stays for as long as it would have, and counts against the peer if it comes again.
    package mutating func forget(_ peer: Peer) {
        numbers = numbers.filter { arriving.holdsSomething(of: $0.value) }
        guard let sender = leaving.removeValue(forKey: peer) else { return }
        for (name, value) in sender.counters.named { former[name, default: 0] += value }
    }

    // MARK: frames and time

    /// What is to be answered to BLOB; nil when no answer is due.
    package mutating func receive(
        _ fragment: BlobFragment, _ frame: Frame, from peer: Peer, now: UInt64
    ) -> Frame? {
        let receipt = arriving.receive(fragment, attempt: frame.attempt, from: number(of: peer), now: now)
        return receipt.map { Frame(.blobReceipt($0), transaction: frame.transaction, attempt: frame.attempt) }
    }

    package mutating func receive(_ receipt: BlobReceipt, _ frame: Frame, from peer: Peer, now: UInt64) {
        drive(peer) { $0.receive(receipt, attempt: frame.attempt, now: now) }
    }

    package mutating func advance(to now: UInt64) {
        arriving.advance(to: now)
        for peer in Array(leaving.keys) where leaving[peer]?.nextDeadline.map({ $0 <= now }) == true {
            drive(peer) { $0.advance(to: now) }
        }
    }

    /// Has a sender do something, and takes what it wants done. nil where nothing goes to that peer.
    @discardableResult
    private mutating func drive<Result>(
        _ peer: Peer, orNew: Bool = false, _ change: (inout BlobSender) -> Result
    ) -> Result? {
        guard
            var sender = leaving.removeValue(forKey: peer)
                ?? (orNew ? BlobSender(initiateBytes: initiateBytes) : nil)
        else { return nil }
        let result = change(&sender)
        for action in sender.actions { actions.append((peer, action)) }
        sender.actions.removeAll(keepingCapacity: true)
        leaving[peer] = sender
        return result
    }

    private mutating func number(of peer: Peer) -> Int {
        if let number = numbers[peer] { return number }
        defer { nextNumber += 1 }
        numbers[peer] = nextNumber
        return nextNumber
    }
}
