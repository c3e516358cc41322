import Control
import Foundation

extension OperatorConsole {
    /// Shows what is known of a target, and, when told to follow, what comes, until the program ends. In JSON a line for
    /// each event.
    public func trace(
        _ target: String, isFollowing: Bool, _ show: (String) -> Void
    ) throws(ControlClientProblem) {
        var text = TraceText(style)
        var last: UInt64 = 0
        var dropped: UInt64 = 0
        while true {
            let status = try client.call(
                TraceStatus.self, "trace", ["target": .string(target), "after": .integer(Int(last))])
            last = status.last
            if isJSON {
                for event in status.events { show(Self.line(event)) }
            } else {
                for line in text.lines(status, realtimeMicroseconds: Self.realtimeMicroseconds()) { show(line) }
            }
            if status.dropped > dropped {
                Self.complain("\(status.dropped - dropped) events are missing: too many at once")
            }
            dropped = max(dropped, status.dropped)
            if !status.events.isEmpty { continue }
            guard isFollowing else { break }
            fflush(nil)
            usleep(100_000)
        }
        if last == 0, !isJSON {
            Self.complain("nothing yet: \(target) is followed for a minute from now on; --follow waits for what comes")
        }
    }

    static func realtimeMicroseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
    }
}
