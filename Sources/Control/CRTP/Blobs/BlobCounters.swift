/// What a receiver of blobs has met. Every fragment is in exactly one of
/// `fragments = kept + duplicates + contradictions + malformed + refusedBusy + refusedTooBig + refusedAgain`,
/// and every blob that was begun, unless it is still held, in exactly one of
/// `begun = delivered + dropped + checksumFailures + expired + held`.
package struct BlobReceiverCounters: Equatable, Sendable {
    package var fragments: UInt64 = 0
    /// New, and part of what is held.
    package var kept: UInt64 = 0
    /// There already.
    package var duplicates: UInt64 = 0
    /// They say something else of their blob than the first fragment did. Never answered.
    package var contradictions: UInt64 = 0
    /// They contradict themselves, which a decoder lets nobody do. Never answered.
    package var malformed: UInt64 = 0
    /// Of a blob that was not begun: as many, or as many bytes, are held as may be.
    package var refusedBusy: UInt64 = 0
    /// Of a blob longer than is taken.
    package var refusedTooBig: UInt64 = 0
    /// Of a blob that was refused before.
    package var refusedAgain: UInt64 = 0

    /// Blobs of which a fragment was kept.
    package var begun: UInt64 = 0
    /// Blobs that were taken out whole.
    package var delivered: UInt64 = 0
    /// Blobs whose owner here refused them.
    package var dropped: UInt64 = 0
    /// Blobs that came whole and were not what their checksum says.
    package var checksumFailures: UInt64 = 0
    /// Blobs of which no fragment came for too long, or that nobody took.
    package var expired: UInt64 = 0

    package init() {}

    /// For metrics.
    package var named: [(name: String, value: UInt64)] {
        [
            ("fragments", fragments), ("kept", kept), ("duplicates", duplicates), ("refused_again", refusedAgain),
            ("begun", begun), ("delivered", delivered),
        ] + faults
    }

    /// What was not taken, by reason.
    package var faults: [(name: String, value: UInt64)] {
        [
            ("contradictions", contradictions), ("malformed", malformed), ("refused_busy", refusedBusy),
            ("refused_too_big", refusedTooBig), ("dropped", dropped), ("checksum_failures", checksumFailures),
            ("expired", expired),
        ]
    }
}

/// What a sender of blobs has done. Every blob that it accepted is, unless it is still under way, in exactly one of
/// `begun = delivered + refused + unanswered + cancelled + underWay`; every receipt in exactly one of
/// `receipts = used + unknownReceipts + staleReceipts`.
package struct BlobSenderCounters: Equatable, Sendable {
    package var begun: UInt64 = 0
    package var delivered: UInt64 = 0
    /// Their receiver would not have them.
    package var refused: UInt64 = 0
    /// Nothing of them was received for as long as the sender waits.
    package var unanswered: UInt64 = 0
    package var cancelled: UInt64 = 0
    /// Never accepted: too many, too many bytes, or too long.
    package var notAccepted: UInt64 = 0

    /// Copies of fragments.
    package var fragments: UInt64 = 0
    /// Of them, copies of fragments that had been sent before.
    package var fragmentsAgain: UInt64 = 0
    /// Copies that counted as lost because later ones had arrived.
    package var overtaken: UInt64 = 0
    /// Times that nothing came in time.
    package var timeouts: UInt64 = 0
    /// Blobs that were begun anew: damaged on their way, or forgotten by their receiver.
    package var restarts: UInt64 = 0

    package var receipts: UInt64 = 0
    package var used: UInt64 = 0
    /// Of blobs that are not under way: late ones, mostly.
    package var unknownReceipts: UInt64 = 0
    /// In answer to a copy that was never sent, or was sent before the blob was begun anew.
    package var staleReceipts: UInt64 = 0

    package init() {}

    /// For metrics.
    package var named: [(name: String, value: UInt64)] {
        [
            ("begun", begun), ("delivered", delivered), ("refused", refused), ("unanswered", unanswered),
            ("cancelled", cancelled), ("not_accepted", notAccepted), ("fragments", fragments),
            ("fragments_again", fragmentsAgain), ("overtaken", overtaken), ("timeouts", timeouts),
            ("restarts", restarts), ("receipts", receipts), ("used", used), ("unknown_receipts", unknownReceipts),
            ("stale_receipts", staleReceipts),
        ]
    }
}
