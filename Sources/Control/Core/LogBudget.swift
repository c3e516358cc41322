/// How many log lines may still be made: so many a second in all, five seconds' worth at once, and half of that for any
/// one cause, so that what floods the log leaves room for what else happens. What is left out is counted.
package struct LogBudget: Sendable {
    /// Millionths of a line, filled as time goes by.
    private struct Credit {
        var amount: UInt64
        var filledAt: UInt64

        mutating func fill(_ rate: UInt64, most: UInt64, now: UInt64) {
            let elapsed = min(now - min(filledAt, now), 10_000_000)
            filledAt = max(filledAt, now)
            amount = min(amount + elapsed * rate, most)
        }
    }

    /// Lines that were left out.
    package struct Suppressed: Equatable, Sendable {
        package var count: UInt64
        package var causes: Int
        /// The cause of the most of them.
        package var most: String

        package init(count: UInt64, causes: Int, most: String) {
            (self.count, self.causes, self.most) = (count, causes, most)
        }

        /// What a line says of it.
        package var fields: [(name: String, value: String)] {
            [("count", "\(count)"), ("most", most)] + (causes > 1 ? [("causes", "\(causes)")] : [])
        }
    }

    private var rate: UInt64
    private var burst: UInt64
    /// One cause gets the whole divided by this.
    private let share: UInt64
    private var now: UInt64
    private var whole: Credit
    private var causes: [String: Credit] = [:]
    private var suppressed: [String: UInt64] = [:]
    private var toldAt: UInt64?

    /// Causes that are told apart; all others share one.
    private static var causeLimit: Int { 256 }
    private static var line: UInt64 { 1_000_000 }
    private static var second: UInt64 { 1_000_000 }

    /// - Parameters:
    ///   - burst: lines at once; nil for five seconds' worth.
    ///   - share: one cause gets the whole divided by this.
    package init(linesPerSecond: Int, burst: Int? = nil, share: UInt64 = 2, now: UInt64 = 0) {
        self.share = max(1, share)
        rate = UInt64(max(0, linesPerSecond))
        self.burst = UInt64(burst ?? 5 * max(0, linesPerSecond)) * Self.line
        self.now = now
        whole = Credit(amount: self.burst, filledAt: now)
    }

    /// Another bound, and all of it at once from now on. What was left out stays counted.
    package mutating func change(linesPerSecond: Int) {
        guard UInt64(max(0, linesPerSecond)) != rate else { return }
        var changed = LogBudget(linesPerSecond: linesPerSecond, share: share, now: now)
        (changed.suppressed, changed.toldAt) = (suppressed, toldAt)
        self = changed
    }

    /// Microseconds of any clock that does not go back far.
    package mutating func advance(to time: UInt64) { now = time }

    /// False: the line is left out and counted.
    package mutating func take(_ cause: String) -> Bool {
        whole.fill(rate, most: burst, now: now)
        let known = causes[cause] != nil || causes.count < Self.causeLimit
        let name = known ? cause : "others"
        let most = max(burst / share, Self.line)
        var own = causes[name] ?? Credit(amount: most, filledAt: now)
        own.fill(max(rate / share, 1), most: most, now: now)
        let isGranted = whole.amount >= Self.line && own.amount >= Self.line
        if isGranted {
            whole.amount -= Self.line
            own.amount -= Self.line
        } else {
            suppressed[name, default: 0] += 1
        }
        causes[name] = own
        return isGranted
    }

    /// Counts a line that could not be written after all.
    package mutating func lose(_ cause: String) {
        suppressed[causes[cause] == nil ? "others" : cause, default: 0] += 1
    }

    /// The line that says so could not be written either.
    package mutating func lose(_ told: Suppressed) {
        suppressed[told.most, default: 0] += told.count
        toldAt = nil
    }

    /// What was left out since the last time, if there is room for a line that says so; at most once a second.
    package mutating func takeSuppressed() -> Suppressed? {
        guard !suppressed.isEmpty, toldAt.map({ now - min($0, now) >= Self.second }) ?? true else { return nil }
        whole.fill(rate, most: burst, now: now)
        // Two: the count shall not take the place of a line.
        guard whole.amount >= min(2 * Self.line, burst) else { return nil }
        whole.amount -= min(Self.line, whole.amount)
        defer {
            suppressed.removeAll(keepingCapacity: true)
            toldAt = now
        }
        let most = suppressed.max { ($0.value, $1.key) < ($1.value, $0.key) }
        return Suppressed(
            count: suppressed.values.reduce(0, +), causes: suppressed.count, most: most?.key ?? "")
    }
}
