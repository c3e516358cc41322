/// One blob that its sender brings to a peer: its bytes, and which fragments are still to be sent.
struct OutgoingBlob: Sendable {
    let identifier: UInt64
    let bytes: [UInt8]
    let checksum: UInt32
    let count: Int
    let fragmentBytes: Int

    /// What the receiver has, as BLOB_RECEIPT has it.
    private(set) var bitmap: [UInt8]
    private(set) var received = 0
    /// The most that the receiver ever had. Less than that is no progress.
    private var mostReceived = 0
    /// How often that has been forgotten.
    private var freshStarts = 0
    /// No fragment behind this one was sent since the blob was begun, or begun anew.
    private var next = 0
    /// Fragments that were lost and are to be sent again, in ascending order.
    private var again: [Int] = []
    /// Copies of each fragment that were sent, at most `numbers`.
    private var copies: [UInt8]
    /// Number of each fragment's first copy. Others were sent before the blob was begun anew.
    private(set) var firstAttempt: UInt8 = 0
    /// The first fragment asks the receiver what it has; until it says so nothing else is sent.
    var isAsking = false
    private var hasAsked = false
    /// The receiver had all of it, damaged.
    private(set) var wasDamaged = false
    /// When the receiver last got something that it had not had before; at first, when the blob was given.
    private(set) var lastProgress: UInt64
    /// When its first copy went since then.
    var triedSince: UInt64?
    var arrivals = Arrivals()
    /// Number of the last copy of any of its fragments.
    var lastOrder: UInt64 = 0

    init(_ bytes: [UInt8], identifier: UInt64, fragmentBytes: Int, now: UInt64) {
        self.bytes = bytes
        self.identifier = identifier
        self.fragmentBytes = fragmentBytes
        checksum = CRC32C.of(bytes)
        count = BlobFragment.count(length: bytes.count, fragmentBytes: fragmentBytes)
        bitmap = [UInt8](repeating: 0, count: (count + 7) / 8)
        copies = [UInt8](repeating: 0, count: count)
        lastProgress = now
    }

    func isReceived(_ index: Int) -> Bool { bitmap[index / 8] & 1 << (index % 8) != 0 }

    // MARK: what is to be sent

    /// What is sent next will be answered if it arrives: the first fragment, or one that was sent before.
    var hasProbe: Bool { isAsking ? !hasAsked : !again.isEmpty || next == 0 }
    /// Every fragment has been sent.
    var isSent: Bool { next == count }
    var hasSomethingToSend: Bool { isAsking ? !hasAsked : !again.isEmpty || next < count }

    /// Which fragment is to be sent now, and which copy of it. `isProbe`: nothing has come in time, and one copy is to bring
    /// an answer. It is the last fragment's, which has not arrived if any has not; of those before it up to three may have
    /// arrived without a receipt (RFC 8985 section 7.3).
    mutating func takeNext(isProbe: Bool) -> (index: Int, attempt: UInt8, isAgain: Bool)? {
        let index: Int
        if isAsking {
            guard !hasAsked else { return nil }
            hasAsked = true
            index = 0
        } else if !again.isEmpty {
            index = isProbe ? again.removeLast() : again.removeFirst()
        } else {
            guard next < count else { return nil }
            index = next
            next += 1
            skipReceived()
        }
        // The last number comes again rather than one from before the blob was begun anew.
        let sent = copies[index]
        copies[index] = min(sent + 1, Self.numbers)
        return (index, firstAttempt &+ min(sent, Self.numbers - 1), sent > 0)
    }

    /// Numbers for the copies of a fragment: half of what a frame's `attempt` has, so that a blob that is begun anew has
    /// others.
    private static var numbers: UInt8 { 128 }

    func fragment(_ index: Int) -> BlobFragment {
        let range = BlobFragment.range(of: index, length: bytes.count, fragmentBytes: fragmentBytes)
        return BlobFragment(
            blob: identifier, length: UInt32(bytes.count), checksum: checksum, index: UInt16(index),
            count: UInt16(count), fragmentBytes: UInt16(fragmentBytes), bytes: Array(bytes[range]))
    }

    private mutating func skipReceived() { while next < count, isReceived(next) { next += 1 } }

    // MARK: what became of it

    /// A copy of that fragment did not arrive.
    mutating func lost(_ index: Int) {
        if isAsking {
            hasAsked = false
        } else if !isReceived(index), !again.contains(index) {
            again.insert(index, at: again.firstIndex { $0 > index } ?? again.count)
        }
    }

    /// True for the number of a copy that was sent, and not before the blob was begun anew.
    func isCopy(_ attempt: UInt8, of index: Int) -> Bool {
        index < count && attempt &- firstAttempt < copies[index]
    }

    /// The receiver has these; in answer to a question, these and no others. Returns how many are news.
    mutating func merge(_ receipt: BlobReceipt, now: UInt64) -> Int {
        if isAsking {
            isAsking = false
            bitmap = [UInt8](repeating: 0, count: bitmap.count)
            received = 0
        }
        let before = received
        for (place, byte) in receipt.bitmap.prefix(bitmap.count).enumerated() where byte & ~bitmap[place] != 0 {
            // Bits behind the last fragment say nothing.
            let fragments = count - place * 8
            let new = byte & ~bitmap[place] & (fragments < 8 ? 1 << UInt8(fragments) - 1 : 0xFF)
            received += new.nonzeroBitCount
            bitmap[place] |= new
        }
        if received > mostReceived {
            mostReceived = received
            lastProgress = now
            triedSince = nil
        }
        again = again.filter { !isReceived($0) }
        skipReceived()
        return received - before
    }

    /// The receiver has nothing of it any more, or something else than it said: it is asked. `isDamaged`: what it had
    /// was not what was sent.
    mutating func beginAnew(isDamaged: Bool, now: UInt64) {
        wasDamaged = wasDamaged || isDamaged
        // Not for ever: a receiver that never has it all gets it once more after damage, and once for its own failure.
        if freshStarts < 2 {
            freshStarts += 1
            mostReceived = 0
            lastProgress = now
            triedSince = nil
        }
        firstAttempt = firstAttempt &+ Self.numbers
        copies = [UInt8](repeating: 0, count: count)
        next = 0
        again = []
        isAsking = true
        hasAsked = false
    }
}
