/// How long a proxy takes to answer a TRANSFER, and how long the director waits for it:
/// TO = SRTT + max(G, K x RTTVAR) (RFC 6298 section 2; US 9,338,192, column 10), within a floor and a ceiling.
///
/// Samples run from TRANSFER to its ACK or NACK, late ones too: the echoed attempt number says which copy was answered,
/// so Karn's ambiguity (RFC 6298 section 3) does not arise. KEEPALIVE contains no decision and therefore only seeds.
package struct RoundTripEstimator: Equatable, Sendable {
    package private(set) var srttMicroseconds: Double?
    package private(set) var rttvarMicroseconds: Double = 0
    /// Doublings since the last sample (RFC 6298 section 5.5).
    package private(set) var backoff = 0
    package var settings: DirectorConfiguration.TimeoutSettings
    private var isSeeded = false
    private var lastBackoffAt: UInt64?

    package init(_ settings: DirectorConfiguration.TimeoutSettings) { self.settings = settings }

    /// An answer to a TRANSFER came after this long.
    package mutating func sample(microseconds: UInt64) {
        let measured = Double(microseconds)
        backoff = 0
        lastBackoffAt = nil
        guard let srtt = srttMicroseconds, !isSeeded else {
            isSeeded = false
            setFirst(measured)
            return
        }
        // The variance first: it uses the old SRTT (RFC 6298, 2.3).
        rttvarMicroseconds = 0.75 * rttvarMicroseconds + 0.25 * (srtt - measured).magnitude
        srttMicroseconds = 0.875 * srtt + 0.125 * measured
    }

    /// A KEEPALIVE was answered after this long. It counts until the first TRANSFER is answered, and not at all then.
    package mutating func seed(microseconds: UInt64) {
        guard srttMicroseconds == nil || isSeeded else { return }
        isSeeded = true
        setFirst(Double(microseconds))
    }

    /// A TRANSFER sent at `sentAt` was not answered in time. Transfers overlap: those that were sent before the last
    /// doubling knew nothing of it and do not double again.
    package mutating func timedOut(sentAt: UInt64, now: UInt64) {
        if let last = lastBackoffAt, sentAt < last { return }
        lastBackoffAt = now
        if backedOff < Double(settings.ceilingMicroseconds) { backoff += 1 }
    }

    /// TO.
    package var timeoutMicroseconds: UInt64 {
        clamped(backedOff)
    }

    /// When, within TO, an unanswered TRANSFER is sent once more: SRTT + 2 x RTTVAR; nil when that leaves the second
    /// copy no time to be answered.
    package var retransmissionMicroseconds: UInt64? {
        let timeout = timeoutMicroseconds
        guard let srtt = srttMicroseconds else { return timeout / 2 }
        let variation = max(Double(settings.granularityMicroseconds), 2 * rttvarMicroseconds)
        let due = UInt64((srtt + variation).rounded(.up))
        return due + settings.granularityMicroseconds < timeout ? due : nil
    }

    private var backedOff: Double {
        guard let srtt = srttMicroseconds else { return Double(settings.initialMicroseconds) * multiplier }
        let base = srtt + max(Double(settings.granularityMicroseconds), settings.k * rttvarMicroseconds)
        return max(base, Double(settings.floorMicroseconds)) * multiplier
    }

    private var multiplier: Double { Double(UInt64(1) << min(backoff, 32)) }

    private func clamped(_ microseconds: Double) -> UInt64 {
        let bounded = min(microseconds, Double(settings.ceilingMicroseconds))
        return max(UInt64(bounded.rounded(.up)), min(settings.floorMicroseconds, settings.ceilingMicroseconds))
    }

    private mutating func setFirst(_ microseconds: Double) {
        srttMicroseconds = microseconds
        rttvarMicroseconds = microseconds / 2
    }
}
