/// Puts blobs together, whoever brings their fragments: a blob is known by its identifier, and may begin by one peer and
/// go on by another. Pure: fragments and time in, receipts out. Times are microseconds of any monotonic clock.
///
/// ```
///            fragment           the last one, checksum right        take
/// (nothing) ─────────► held ───────────────────────────────► whole ──────► remembered: `complete` for 30 s
///                       │  └─ checksum wrong: dropped; the second time remembered as refused
///                       └──── 30 s without a fragment, whole or not: dropped
/// ```
package struct BlobReceiver: Sendable {
    /// What it keeps at most. Beyond that blobs are refused as `busy`, and no memory is taken for them.
    package struct Limits: Equatable, Sendable {
        /// A longer blob is refused as `tooBig`; bytes.
        package var longest = ConnectionBlob.longest
        /// Blobs held for one peer, the one whose fragment of it came first.
        package var blobsPerPeer = 64
        package var bytesPerPeer = 16 << 20
        /// Of all peers.
        package var blobs = 1_024
        package var bytes = 64 << 20
        /// How long a blob is kept without a new fragment, or without being taken.
        package var silenceMicroseconds: UInt64 = 30_000_000
        /// How long what became of a blob is remembered.
        package var memoryMicroseconds: UInt64 = 30_000_000
        /// Of how many blobs; the oldest are forgotten first.
        package var memories = 4_096

        package init() {}
    }

    /// One that is being put together, or is whole and was not taken.
    struct Held: Sendable {
        let length: UInt32
        let checksum: UInt32
        let count: UInt16
        let fragmentBytes: UInt16
        /// Whose share it counts against.
        let peer: Int
        var bytes: [UInt8]
        /// As BLOB_RECEIPT has it.
        var bitmap: [UInt8]
        var missing: Int
        /// The highest fragment that came; -1 before the first.
        var highest = -1
        var sinceReceipt = 0
        /// Who brought the last fragment.
        var lastPeer: Int
        var expires: UInt64
        /// It came whole before, and damaged.
        var isSecondTry: Bool

        var isWhole: Bool { missing == 0 }
    }

    /// What became of a blob that is not held any more.
    struct Memory: Sendable {
        enum Fate: Equatable, Sendable {
            case taken
            case refused(BlobRefusal)
            /// The next fragment begins it anew, for the last time.
            case damagedOnce
        }
        let length: UInt32
        let checksum: UInt32
        var fate: Fate
        let expires: UInt64
    }

    /// A receipt is due when so many fragments have come in order since the last one.
    static var fragmentsPerReceipt: Int { 4 }

    package let limits: Limits
    package internal(set) var counters = BlobReceiverCounters()
    /// Blobs that have become whole, in that order; the caller empties the list.
    package var completed: [UInt64] = []

    var held: [UInt64: Held] = [:]
    var shares: [Int: (blobs: Int, bytes: Int)] = [:]
    package internal(set) var bytesHeld = 0
    var memories: [UInt64: Memory] = [:]
    /// Keys of `memories`, oldest first.
    var memoryOrder: [UInt64] = []
    /// No held blob expires earlier; those that have got fragments since do later.
    private var earliestHeld: UInt64?

    package init(limits: Limits = Limits()) { self.limits = limits }

    package var blobsHeld: Int { held.count }
    func holdsSomething(of peer: Int) -> Bool { shares[peer] != nil }
    package var nextDeadline: UInt64? {
        let memory = memoryOrder.first.flatMap { memories[$0]?.expires }
        guard let earliestHeld, let memory else { return earliestHeld ?? memory }
        return min(earliestHeld, memory)
    }

    // MARK: what is whole

    /// The bytes of a whole blob, which stays; nil while something is missing.
    package func peek(_ identifier: UInt64) -> [UInt8]? {
        guard let blob = held[identifier], blob.isWhole else { return nil }
        return blob.bytes
    }

    /// True for a whole blob that is what TRANSFER names.
    package func has(_ reference: BlobReference) -> Bool {
        guard let blob = held[reference.identifier], blob.isWhole else { return false }
        return blob.length == reference.length && blob.checksum == reference.checksum
    }

    /// The bytes of a whole blob, which is gone from here; nil while something is missing, and the second time.
    package mutating func take(_ identifier: UInt64, now: UInt64) -> [UInt8]? {
        guard let blob = held[identifier], blob.isWhole else { return nil }
        counters.delivered += 1
        drop(identifier)
        remember(identifier, blob, .taken, now: now)
        return blob.bytes
    }

    /// Nobody here wants that blob, or nobody can read it: what is held of it is dropped, and fragments of it are
    /// answered so for 30 s. Without effect on a blob of which nothing is held.
    package mutating func refuse(_ identifier: UInt64, _ reason: BlobRefusal, now: UInt64) {
        guard let blob = held[identifier] else { return }
        counters.dropped += 1
        drop(identifier)
        remember(identifier, blob, .refused(reason), now: now)
    }

    // MARK: time

    /// Drops what has expired.
    package mutating func advance(to now: UInt64) {
        while let oldest = memoryOrder.first, memories[oldest].map({ $0.expires <= now }) ?? true { forgetOldest() }
        guard let due = earliestHeld, due <= now else { return }
        for (identifier, blob) in held where blob.expires <= now {
            counters.expired += 1
            drop(identifier)
        }
        earliestHeld = held.values.lazy.map(\.expires).min()
    }

    /// When a blob expires that has got a fragment now.
    mutating func nextExpiry(_ now: UInt64) -> UInt64 {
        let time = now + limits.silenceMicroseconds
        earliestHeld = min(earliestHeld ?? time, time)
        return time
    }

    // MARK: what is held and remembered

    mutating func drop(_ identifier: UInt64) {
        guard let blob = held.removeValue(forKey: identifier) else { return }
        bytesHeld -= blob.bytes.count
        if held.isEmpty { earliestHeld = nil }
        guard var share = shares[blob.peer] else { return }
        share.blobs -= 1
        share.bytes -= blob.bytes.count
        shares[blob.peer] = share.blobs == 0 ? nil : share
    }

    mutating func remember(_ identifier: UInt64, _ blob: Held, _ fate: Memory.Fate, now: UInt64) {
        if memories.removeValue(forKey: identifier) != nil { memoryOrder.removeAll { $0 == identifier } }
        while memoryOrder.count >= max(1, limits.memories) { forgetOldest() }
        memories[identifier] = Memory(
            length: blob.length, checksum: blob.checksum, fate: fate,
            expires: now + limits.memoryMicroseconds)
        memoryOrder.append(identifier)
    }

    private mutating func forgetOldest() { memories[memoryOrder.removeFirst()] = nil }
}
