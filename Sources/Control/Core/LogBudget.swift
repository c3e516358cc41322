/// How many log lines may still be made: so many a second, five seconds' worth at once, as `LogSink` bounds what is
/// written.
package struct LogBudget: Sendable {
    private let linesPerSecond: UInt64
    /// Millionths of a line.
    private var credit: UInt64
    private var filledAt: UInt64
    private var suppressed: UInt64 = 0

    package init(linesPerSecond: Int, now: UInt64 = 0) {
        self.linesPerSecond = UInt64(max(0, linesPerSecond))
        credit = 5_000_000 * self.linesPerSecond
        filledAt = now
    }

    /// False: the line is left out and counted.
    package mutating func take() -> Bool {
        guard credit >= 1_000_000 else {
            suppressed += 1
            return false
        }
        credit -= 1_000_000
        return true
    }

    /// Time has gone by. When there is room again after lines were left out: their number, which is a line itself.
    package mutating func refill(now: UInt64) -> UInt64? {
        let elapsed = min(now - min(filledAt, now), 5_000_000)
        filledAt = now
        credit = min(credit + elapsed * linesPerSecond, 5_000_000 * linesPerSecond)
        guard suppressed > 0, credit >= 2_000_000 else { return nil }
        defer { suppressed = 0 }
        credit -= 1_000_000
        return suppressed
    }
}
