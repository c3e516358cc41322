import Control
import Foundation
public import Logging
import Synchronization

/// Where log lines go, in bounds: at most `burst` lines at once and `linesPerSecond` in the long run, half of that for
/// any one cause, none longer than a pipe takes in one piece, and never waiting for a reader. What is left out is
/// counted, and a line says so: `lines suppressed count=17 most="transfer committed"`.
public final class LogSink: Sendable {
    private let budget: Mutex<LogBudget>
    private let format: LogFormat
    /// Place of the least level that is wanted among all.
    private let leastLevel = Atomic<Int>(Logger.Level.allCases.firstIndex(of: .info) ?? 0)
    private let now: @Sendable () -> UInt64
    private let output: @Sendable (String) -> Bool

    /// Lines to standard error; five seconds' worth may come at once.
    public convenience init(format: LogFormat = .text, linesPerSecond: Int = 100) {
        self.init(
            format: format, burst: 5 * linesPerSecond, linesPerSecond: linesPerSecond,
            now: { clockMicroseconds(CLOCK_REALTIME) },
            output: LogSink.writeToStandardError)
    }

    /// `now`: microseconds since 1970. `output` gives false for a line that it could not take.
    package init(
        format: LogFormat = .text, burst: Int, linesPerSecond: Int, now: @escaping @Sendable () -> UInt64,
        output: @escaping @Sendable (String) -> Bool
    ) {
        self.format = format
        self.now = now
        self.output = output
        budget = Mutex(LogBudget(linesPerSecond: linesPerSecond, burst: burst, now: now()))
    }

    var level: Logger.Level { Logger.Level.allCases[leastLevel.load(ordering: .relaxed)] }

    /// Other bounds from now on. `level` is a configuration's word; one that is unknown counts as `info`.
    public func change(level: String, linesPerSecond: Int? = nil) {
        let wanted = Logger.Level(rawValue: level) ?? .info
        leastLevel.store(Logger.Level.allCases.firstIndex(of: wanted) ?? 0, ordering: .relaxed)
        guard let linesPerSecond else { return }
        budget.withLock { $0.change(linesPerSecond: linesPerSecond) }
    }

    func write(_ line: LogLine) {
        let time = now()
        budget.withLock { budget in
            budget.advance(to: time)
            let stamp = timestamp(time)
            if let suppressed = budget.takeSuppressed() {
                let count = LogLine(level: "warning", event: "lines suppressed", fields: suppressed.fields)
                if !output(count.rendered(format, time: stamp) + "\n") { budget.lose(suppressed) }
            }
            guard budget.take(line.event) else { return }
            if !output(line.rendered(format, time: stamp) + "\n") { budget.lose(line.event) }
        }
    }

    /// A pipe that polls writable takes PIPE_BUF bytes without blocking; a full one loses the line, not the time.
    private static func writeToStandardError(_ line: String) -> Bool {
        var poller = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        guard poll(&poller, 1, 0) == 1, poller.revents & Int16(POLLOUT) != 0 else { return false }
        var line = line
        return line.withUTF8 { Foundation.write(STDERR_FILENO, $0.baseAddress, $0.count) == $0.count }
    }
}

func clockMicroseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
}

/// `2026-01-01T00:00:00.000Z`
func timestamp(_ microseconds: UInt64) -> String {
    var seconds = time_t(microseconds / 1_000_000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func digits(_ value: Int32, _ count: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, count - text.count)) + text
    }
    let date = "\(digits(parts.tm_year + 1900, 4))-\(digits(parts.tm_mon + 1, 2))-\(digits(parts.tm_mday, 2))"
    let clock = "\(digits(parts.tm_hour, 2)):\(digits(parts.tm_min, 2)):\(digits(parts.tm_sec, 2))"
    return "\(date)T\(clock).\(digits(Int32(microseconds / 1_000 % 1_000), 3))Z"
}
