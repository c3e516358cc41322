/// Pauses between attempts to connect: they double up to a bound, and each is shortened by a random part of up to a
/// quarter, so that directors who lost the same agent do not come back in step.
public struct BackOff: Sendable {
    public let shortestMicroseconds: UInt64
    public let longestMicroseconds: UInt64
    private var next: UInt64

    public init(shortestMicroseconds: UInt64 = 100_000, longestMicroseconds: UInt64 = 5_000_000) {
        self.shortestMicroseconds = shortestMicroseconds
        self.longestMicroseconds = longestMicroseconds
        next = shortestMicroseconds
    }

    /// How long to wait before the next attempt.
    public mutating func pause(random: inout some RandomNumberGenerator) -> UInt64 {
        let pause = next
        next = min(2 * next, longestMicroseconds)
        return pause - UInt64.random(in: 0...pause / 4, using: &random)
    }

    /// A connection has ended. One that lived as long as the longest pause was good: the next begins with the shortest.
    public mutating func connectionEnded(afterMicroseconds lifetime: UInt64) {
        if lifetime >= longestMicroseconds { next = shortestMicroseconds }
    }
}
