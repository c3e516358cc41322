import Foundation
import Synchronization

/// Where log lines go, in bounds: at most `burst` lines at once and `linesPerSecond` in the long run, none longer than
/// a pipe takes in one piece, and never waiting for a reader. What is left out is counted, and the count is the next
/// line: `suppressed 17 lines`.
public final class LogSink: Sendable {
    private struct Bucket {
        var tokens: Double
        var filledAt: UInt64
        var suppressed: UInt64 = 0
    }

    private let bucket: Mutex<Bucket>
    private let burst: Double
    private let linesPerSecond: Double
    private let now: @Sendable () -> UInt64
    private let output: @Sendable (String) -> Bool

    /// PIPE_BUF, less the line's frame.
    private static var textLimit: Int { 4_000 }

    /// Lines to standard error; five seconds' worth may come at once.
    public convenience init(linesPerSecond: Int = 100) {
        self.init(
            burst: 5 * linesPerSecond, linesPerSecond: Double(linesPerSecond),
            now: { clockMicroseconds(CLOCK_REALTIME) },
            output: LogSink.writeToStandardError)
    }

    /// `now`: microseconds since 1970. `output` gives false for a line that it could not take.
    package init(
        burst: Int, linesPerSecond: Double, now: @escaping @Sendable () -> UInt64,
        output: @escaping @Sendable (String) -> Bool
    ) {
        self.burst = Double(burst)
        self.linesPerSecond = linesPerSecond
        self.now = now
        self.output = output
        bucket = Mutex(Bucket(tokens: Double(burst), filledAt: now()))
    }

    func write(level: String, _ text: String) {
        let time = now()
        bucket.withLock { bucket in
            let elapsed = time > bucket.filledAt ? Double(time - bucket.filledAt) / 1e6 : 0
            bucket.tokens = min(burst, bucket.tokens + elapsed * linesPerSecond)
            bucket.filledAt = time
            guard bucket.tokens >= 1 else {
                bucket.suppressed += 1
                return
            }
            let stamp = timestamp(time)
            if bucket.suppressed > 0 {
                guard output("\(stamp) warning suppressed \(bucket.suppressed) lines\n") else {
                    bucket.suppressed += 1
                    return
                }
                bucket.suppressed = 0
            }
            bucket.tokens -= 1
            let cut = text.utf8.count > Self.textLimit ? shortened(text) : text
            if !output("\(stamp) \(level) \(cut)\n") { bucket.suppressed += 1 }
        }
    }

    private func shortened(_ text: String) -> String {
        // Four bytes at most make a character of what is left.
        String(decoding: text.utf8.prefix(Self.textLimit - 4), as: UTF8.self) + "…"
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
