public import Logging
import Synchronization

/// Passes at most so many lines a second; what is more is counted, and told with the next second's first line.
public struct BoundedLogHandler: LogHandler {
    private final class Budget: Sendable {
        let limit: Int
        let state = Mutex((second: UInt64(0), used: 0, suppressed: 0))
        init(limit: Int) { self.limit = limit }

        /// nil when the line is one too many; otherwise how many were before it.
        func take(_ now: UInt64) -> Int? {
            state.withLock { state in
                if state.second != now {
                    let suppressed = state.suppressed
                    state = (now, 1, 0)
                    return suppressed
                }
                state.used += 1
                if state.used > limit { state.suppressed += 1 }
                return state.used > limit ? nil : 0
            }
        }
    }

    private var inner: any LogHandler
    private let budget: Budget

    public init(_ inner: any LogHandler, linesPerSecond: Int) {
        self.inner = inner
        budget = Budget(limit: linesPerSecond)
    }

    public var logLevel: Logger.Level {
        get { inner.logLevel }
        set { inner.logLevel = newValue }
    }

    public var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue }
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue }
    }

    public func log(event: LogEvent) {
        guard let suppressed = budget.take(monotonicMicroseconds() / 1_000_000) else { return }
        guard suppressed > 0 else { return inner.log(event: event) }
        var told = event
        told.metadata = (event.metadata ?? [:]).merging(["suppressed-lines": "\(suppressed)"]) { old, _ in old }
        inner.log(event: told)
    }
}
