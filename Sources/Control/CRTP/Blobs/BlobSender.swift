/// Brings blobs to one peer, one behind the other as long as none is silent, by frames that the caller sends in its session with that peer. Only
/// what did not arrive is sent again. Pure: receipts and time in, actions out. Times are microseconds of any monotonic
/// clock.
///
/// ```
///              some are left          all are there
/// send ─► new ─────────────► under way ────────────► delivered
///          │                  │  ▲  └── refused (if damaged: once anew), or no progress: failed
///          └─ resumed: one fragment, and the first receipt says which are left ─┘
/// ```
package struct BlobSender: Sendable {
    package enum Action: Equatable, Sendable {
        case send(Frame)
        /// All of it is there, and the receiver has checked it.
        case delivered(UInt64)
        case failed(UInt64, Failure)
    }

    package enum Failure: Equatable, Sendable {
        case refused(BlobRefusal)
        /// Nothing more of it was received for as long as the sender waits.
        case unanswered
    }

    package struct Limits: Equatable, Sendable {
        /// Blobs at once, and their bytes; more are not accepted.
        package var blobs = 64
        package var bytes = 16 << 20
        /// Longer blobs are not accepted; bytes.
        package var longest = ConnectionBlob.longest
        /// When nothing of any blob is received for so long, all have failed; a single one has when nothing of it is
        /// received for three times as long although it was tried.
        package var patienceMicroseconds: UInt64 = 10_000_000

        package init() {}
    }

    /// A copy of a fragment that is under way.
    struct Flight: Sendable {
        let blob: UInt64
        let index: Int
        let attempt: UInt8
        /// Counts all copies to this peer.
        let order: UInt64
        let sentAt: UInt64
    }

    package let limits: Limits
    /// What is to be done, in order; the caller carries it out and empties the list.
    package var actions: [Action] = []
    package internal(set) var counters = BlobSenderCounters()

    /// In the order in which they are brought: as they were given, but who was silent comes last.
    var blobs: [OutgoingBlob] = []
    var bytesUnderWay = 0
    /// Copies under way, in the order in which they were sent.
    var flights: [Flight] = []
    /// The latest of those that counted as lost: an answer to one of them is late, and says how long the round trip is.
    var givenUp: [Flight] = []
    var nextOrder: UInt64 = 1
    /// Of all blobs.
    var arrivals = Arrivals()
    var timer = RetransmissionTimer()
    var window = SendingWindow()
    /// Nothing came in time: one copy at a time, until something does.
    var isProbing = false
    /// When the last receipt came that was worth something.
    var heardAt: UInt64 = 0
    /// When something was last received that had not been before, of any blob.
    var lastProgress: UInt64 = 0
    let fragmentBytes: Int

    /// `initiateBytes`: the length of the INIT that this path is known to carry; no frame is longer. A blob goes on by
    /// another path only with fragments of the same length: where that path carries less, it needs a new identifier.
    package init(
        initiateBytes: Int = ChannelConfiguration().initiateBytes, limits: Limits = Limits()
    ) {
        fragmentBytes = Self.fragmentBytes(initiateBytes: initiateBytes)
        self.limits = limits
    }

    /// Bytes of a blob in a frame of at most `initiateBytes`, a multiple of four: 1,216 for 1,292 and more.
    package static func fragmentBytes(initiateBytes: Int) -> Int {
        let around = FrameHeader.byteCount + FrameHeader.tagByteCount + 24 + TypeLengthValue.encodedLength(0)
        return max(4, min(initiateBytes - around, BlobFragment.maximumBytes) & ~3)
    }

    /// Blobs that are not delivered yet, in the order in which they are brought.
    package var identifiers: [UInt64] { blobs.map(\.identifier) }

    // MARK: blobs

    /// A blob of so many bytes would be accepted now.
    package func hasRoom(for count: Int) -> Bool {
        blobs.count < limits.blobs && bytesUnderWay + count <= limits.bytes && count <= limits.longest
    }

    /// Begins to bring `bytes` to the peer. False when that would be too much at once, when the blob is too long, or
    /// when one with that identifier is under way. `mayBeThere`: the peer may have some of it already, from this or
    /// another channel, so one fragment asks it first.
    package mutating func send(
        _ bytes: [UInt8], identifier: UInt64, mayBeThere: Bool = false, now: UInt64
    ) -> Bool {
        guard hasRoom(for: bytes.count),
            BlobFragment.count(length: bytes.count, fragmentBytes: fragmentBytes) <= BlobFragment.maximumCount,
            !blobs.contains(where: { $0.identifier == identifier })
        else {
            counters.notAccepted += 1
            return false
        }
        counters.begun += 1
        bytesUnderWay += bytes.count
        var blob = OutgoingBlob(bytes, identifier: identifier, fragmentBytes: fragmentBytes, now: now)
        blob.isAsking = mayBeThere
        blobs.append(blob)
        pump(now)
        return true
    }

    /// Stops bringing that blob. The peer is told nothing, and forgets what it has of it. Returns its bytes, for who
    /// wants to bring them by another channel; nil when it is not under way.
    @discardableResult
    package mutating func cancel(_ identifier: UInt64, now: UInt64) -> [UInt8]? {
        guard let blob = remove(identifier) else { return nil }
        counters.cancelled += 1
        pump(now)
        return blob.bytes
    }

    /// It is under way no more.
    @discardableResult
    mutating func remove(_ identifier: UInt64) -> OutgoingBlob? {
        guard let index = blobs.firstIndex(where: { $0.identifier == identifier }) else { return nil }
        flights.removeAll { $0.blob == identifier }
        givenUp.removeAll { $0.blob == identifier }
        let blob = blobs.remove(at: index)
        bytesUnderWay -= blob.bytes.count
        return blob
    }

    // MARK: time

    package var nextDeadline: UInt64? {
        let failing = blobs.indices.lazy.map { failsAt($0) }.min()
        guard let again = againAt else { return failing }
        return min(again, failing ?? again)
    }

    /// When what is under way counts as lost: not while receipts come (RFC 6298, 5.3).
    private var againAt: UInt64? {
        flights.first.map { max($0.sentAt, heardAt) + timer.microseconds }
    }

    /// Blobs wait for each other: as long as any of them gets on, another one may take longer.
    private func failsAt(_ index: Int) -> UInt64 {
        let alone = max(blobs[index].lastProgress, lastProgress) + limits.patienceMicroseconds
        return min(alone, blobs[index].triedSince.map { $0 + 3 * limits.patienceMicroseconds } ?? alone)
    }

    /// Gives up what has failed, and sends again what nobody answered.
    package mutating func advance(to now: UInt64) {
        for index in blobs.indices.reversed() where failsAt(index) <= now {
            counters.unanswered += 1
            actions.append(.failed(blobs[index].identifier, .unanswered))
            remove(blobs[index].identifier)
        }
        if let due = againAt, due <= now {
            counters.timeouts += 1
            let isDue = { [wait = timer.microseconds] (flight: Flight) in flight.sentAt + wait <= now }
            for flight in flights where isDue(flight) { giveUp(flight) }
            flights.removeAll(where: isDue)
            window.timedOut(next: nextOrder)
            timer.backOff()
            isProbing = true
            // The receiver may be silent about one blob only.
            blobs.append(blobs.removeFirst())
            transmitNext(now)
        }
        pump(now)
    }

    /// That copy did not arrive.
    mutating func giveUp(_ flight: Flight) {
        if givenUp.count >= SendingWindow.most { givenUp.removeFirst() }
        givenUp.append(flight)
        guard let index = blobs.firstIndex(where: { $0.identifier == flight.blob }) else { return }
        blobs[index].lost(flight.index)
    }

    // MARK: fragments

    /// As many as the window allows.
    mutating func pump(_ now: UInt64) {
        while flights.count < (isProbing ? 1 : window.fragments), transmitNext(now) {}
    }

    /// False when there is nothing to send.
    @discardableResult
    mutating func transmitNext(_ now: UInt64) -> Bool {
        let probe = isProbing ? blobs.firstIndex(where: \.hasProbe) : nil
        guard let index = probe ?? blobs.firstIndex(where: \.hasSomethingToSend),
            let next = blobs[index].takeNext(isProbe: isProbing)
        else { return false }
        if blobs[index].triedSince == nil { blobs[index].triedSince = now }
        counters.fragments += 1
        if next.isAgain { counters.fragmentsAgain += 1 }
        let fragment = blobs[index].fragment(next.index)
        // Nobody looks a blob up by it: the identifier says which one it is.
        let transaction = UInt32(truncatingIfNeeded: fragment.blob)
        actions.append(.send(Frame(.blob(fragment), transaction: transaction, attempt: next.attempt)))
        flights.append(
            Flight(blob: fragment.blob, index: next.index, attempt: next.attempt, order: nextOrder, sentAt: now))
        blobs[index].lastOrder = nextOrder
        nextOrder += 1
        return true
    }
}
