/// How long the sender of blobs waits for a receipt: SRTT + max(G, 4 x RTTVAR), doubled with each silence (RFC 6298
/// sections 2 and 5), from 5 ms to 1 s. Receipts name the copy that they answer, so each is a sample (section 3).
struct RetransmissionTimer: Equatable, Sendable {
    static var floorMicroseconds: UInt64 { 5_000 }
    static var ceilingMicroseconds: UInt64 { 1_000_000 }
    /// Before the first sample. RFC 6298 says 1 s for paths of which nothing is known; here a handshake has passed.
    static var initialMicroseconds: UInt64 { 100_000 }
    /// G, the clock's granularity.
    private static var granularityMicroseconds: Double { 1_000 }

    private var smoothed: Double?
    private var variation: Double = 0
    private(set) var doublings = 0

    /// An answer came after this long.
    mutating func sample(_ microseconds: UInt64) {
        let measured = Double(microseconds)
        guard let former = smoothed else {
            smoothed = measured
            variation = measured / 2
            return
        }
        // The variation first: it uses the former mean (RFC 6298, 2.3).
        variation = 0.75 * variation + 0.25 * (former - measured).magnitude
        smoothed = 0.875 * former + 0.125 * measured
    }

    /// Something new has been received.
    mutating func settle() { doublings = 0 }
    mutating func backOff() { doublings = min(doublings + 1, 16) }

    var microseconds: UInt64 {
        let base = smoothed.map { $0 + max(Self.granularityMicroseconds, 4 * variation) }
        let undoubled = base.map { UInt64($0.rounded(.up)) } ?? Self.initialMicroseconds
        return min(max(undoubled, Self.floorMicroseconds) << UInt64(doublings), Self.ceilingMicroseconds)
    }
}
