import CRTP
import Testing

/// Senders on channels of their own, one receiver, and a relay in virtual time that loses, doubles, delays and reorders
/// what they say to each other. A frame that is damaged on its way fails its tag, and so is one that is lost.
struct BlobRelay {
    struct Impairment {
        /// Of each way, and of each copy.
        var lossPercent = 0
        var duplicatePercent = 0
        /// Microseconds each way; what overtakes is reordering.
        var delay: ClosedRange<UInt64> = 1_000...1_000
    }

    private enum Cargo {
        case fragment(Frame)
        case receipt(Frame)
    }

    private struct Packet {
        var at: UInt64
        var number: Int
        var channel: Int
        var cargo: Cargo
    }

    var senders: [BlobSender]
    var receiver: BlobReceiver
    var impairment = Impairment()
    /// True for a fragment's or receipt's number (counted from 0, in the order of sending) that is to be lost.
    var losesFragment: (Int, BlobFragment) -> Bool = { _, _ in false }
    var losesReceipt: (Int, BlobReceipt) -> Bool = { _, _ in false }
    /// True for the number of a fragment that arrives and is to be another behind its tag: in the memory of whoever
    /// carries it.
    var spoils: (Int) -> Bool = { _ in false }
    /// A channel that carries nothing.
    var deadChannels: Set<Int> = []
    /// Whole blobs are taken out as soon as they are there.
    var takes = true
    var now: UInt64 = 1_000_000
    var random: SeededGenerator

    private(set) var fragments: [(at: UInt64, channel: Int, fragment: BlobFragment, attempt: UInt8)] = []
    private(set) var receipts: [(at: UInt64, receipt: BlobReceipt)] = []
    private(set) var fragmentsLost = 0
    private(set) var receiptsLost = 0
    /// Blob and index of each fragment that arrived.
    private(set) var arrived: [(blob: UInt64, index: Int)] = []
    private(set) var outcomes: [BlobSender.Action] = []
    /// What was taken out, in that order.
    private(set) var taken: [(identifier: UInt64, bytes: [UInt8])] = []
    private var packets: [Packet] = []
    private var nextNumber = 0

    init(seed: UInt64 = 1, channels: Int = 1, limits: BlobReceiver.Limits = BlobReceiver.Limits()) {
        random = SeededGenerator(seed)
        senders = (0..<channels).map { _ in BlobSender() }
        receiver = BlobReceiver(limits: limits)
    }

    mutating func send(
        _ bytes: [UInt8], identifier: UInt64, channel: Int = 0, mayBeThere: Bool = false
    ) -> Bool {
        let isAccepted = senders[channel].send(bytes, identifier: identifier, mayBeThere: mayBeThere, now: now)
        collect()
        return isAccepted
    }

    // MARK: the way

    /// As the other end reads it.
    private func reread(_ message: Message) -> Message? {
        guard case .message(let read, _) = MessageCodecTests.decode(message) else { return nil }
        return read
    }

    private mutating func carry(_ cargo: Cargo, _ channel: Int, isLost: Bool) {
        let copies = random.chance(impairment.duplicatePercent) ? 2 : 1
        for _ in 0..<copies {
            guard !isLost, !deadChannels.contains(channel), !random.chance(impairment.lossPercent) else {
                switch cargo {
                case .fragment: fragmentsLost += 1
                case .receipt: receiptsLost += 1
                }
                continue
            }
            let arrival = now + UInt64.random(in: impairment.delay, using: &random)
            packets.append(Packet(at: arrival, number: nextNumber, channel: channel, cargo: cargo))
            nextNumber += 1
        }
    }

    mutating func collect() {
        for channel in senders.indices {
            let actions = senders[channel].actions
            senders[channel].actions = []
            for action in actions {
                guard case .send(let frame) = action else {
                    outcomes.append(action)
                    continue
                }
                guard case .blob(let fragment) = frame.message else {
                    Issue.record("a sender of blobs sends something else")
                    continue
                }
                let isLost = losesFragment(fragments.count, fragment)
                fragments.append((now, channel, fragment, frame.attempt))
                carry(.fragment(frame), channel, isLost: isLost)
            }
        }
    }

    private mutating func deliver(_ packet: Packet) {
        switch packet.cargo {
        case .fragment(let frame):
            guard case .blob(var fragment)? = reread(frame.message) else {
                Issue.record("a fragment that cannot be read")
                return
            }
            if !fragment.bytes.isEmpty, spoils(arrived.count) {
                fragment.bytes[Int.random(in: fragment.bytes.indices, using: &random)] ^= 0x10
            }
            arrived.append((fragment.blob, Int(fragment.index)))
            let answer = receiver.receive(fragment, attempt: frame.attempt, from: packet.channel, now: now)
            if takes {
                for identifier in receiver.completed {
                    if let bytes = receiver.take(identifier, now: now) { taken.append((identifier, bytes)) }
                }
                receiver.completed = []
            }
            guard let answer else { return }
            let isLost = losesReceipt(receipts.count, answer)
            receipts.append((now, answer))
            let receipt = Frame(.blobReceipt(answer), transaction: frame.transaction, attempt: frame.attempt)
            carry(.receipt(receipt), packet.channel, isLost: isLost)
        case .receipt(let frame):
            guard case .blobReceipt(let receipt)? = reread(frame.message) else {
                Issue.record("a receipt that cannot be read")
                return
            }
            senders[packet.channel].receive(receipt, attempt: frame.attempt, now: now)
        }
        collect()
    }

    // MARK: time

    private var nextPacket: Int? {
        packets.indices.min { (packets[$0].at, packets[$0].number) < (packets[$1].at, packets[$1].number) }
    }

    /// Goes from event to event until `isOver`, for at most `microseconds`. The receiver's expiry is no event here.
    mutating func run(for microseconds: UInt64 = 60_000_000, until isOver: (BlobRelay) -> Bool = { _ in false }) {
        let end = now + microseconds
        collect()
        while !isOver(self) {
            let packet = nextPacket
            let deadline = senders.compactMap(\.nextDeadline).min()
            let times = [packet.map { packets[$0].at }, deadline].compactMap { $0 }
            guard let next = times.min(), next <= end else { break }
            now = max(now, next)
            if let packet, packets[packet].at <= now {
                deliver(packets.remove(at: packet))
            } else {
                for channel in senders.indices { senders[channel].advance(to: now) }
                collect()
            }
        }
    }

    /// What is on its way is lost.
    mutating func cut() { packets = [] }

    var isIdle: Bool { senders.allSatisfy { $0.identifiers.isEmpty } }
    var delivered: [UInt64] {
        outcomes.compactMap { if case .delivered(let identifier) = $0 { identifier } else { nil } }
    }
    var again: UInt64 { senders.reduce(0) { $0 + $1.counters.fragmentsAgain } }
}

/// Every fragment, receipt and blob is counted once.
func balances(_ receiver: BlobReceiver) -> Bool {
    let c = receiver.counters
    return c.fragments
        == c.kept + c.duplicates + c.contradictions + c.malformed + c.refusedBusy + c.refusedTooBig + c.refusedAgain
        && c.begun
            == c.delivered + c.dropped + c.checksumFailures + c.expired + UInt64(receiver.blobsHeld)
}

func balances(_ sender: BlobSender) -> Bool {
    let c = sender.counters
    return c.receipts == c.used + c.unknownReceipts + c.staleReceipts
        && c.begun
            == c.delivered + c.refused + c.unanswered + c.cancelled + UInt64(sender.identifiers.count)
}

/// Not all alike, and no two blobs.
func blobBytes(_ count: Int, seed: UInt64 = 9) -> [UInt8] {
    var random = SeededGenerator(seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) } }
    bytes.removeLast(bytes.count - count)
    return bytes
}
