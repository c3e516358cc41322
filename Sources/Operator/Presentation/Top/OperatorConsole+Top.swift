import Control
import Foundation

// `batonctl top`: looks at the director again and again, and shows what has changed.
extension OperatorConsole {
    /// On a terminal until the user leaves; elsewhere, and `once`, one report after one interval. In JSON a line for each.
    public func top(
        intervalMilliseconds: Int, isOnce: Bool, _ show: (String) -> Void
    ) throws(ControlClientProblem) {
        var screen = TopScreen()
        if isJSON || isOnce { return try report(every: intervalMilliseconds, isOnce: isOnce, &screen, show) }
        let first = try look()
        guard let terminal = Terminal() else {
            return try report(every: intervalMilliseconds, isOnce: true, &screen, show)
        }
        var (old, report) = (first, TopReport(from: first, to: first))
        var due = Self.uptimeMilliseconds() + min(200, intervalMilliseconds)
        var problem: String?
        while !terminal.isEnding {
            let now = Self.uptimeMilliseconds()
            if now >= due {
                do throws(ControlClientProblem) {
                    let new = try look()
                    (report, old, problem) = (TopReport(from: old, to: new), new, nil)
                } catch {
                    // A director that starts anew is found again.
                    problem = "\(error)"
                }
                due = Self.uptimeMilliseconds() + intervalMilliseconds
            }
            _ = terminal.takeResize()
            let (width, height) = terminal.size
            var style = style
            style.width = width
            terminal.show(screen.lines(report, style, height: height, problem: problem))
            let keys = terminal.keys(withinMilliseconds: Int32(clamping: due - Self.uptimeMilliseconds()))
            for key in keys where !screen.press(key) { return }
        }
    }

    private func report(
        every milliseconds: Int, isOnce: Bool, _ screen: inout TopScreen, _ show: (String) -> Void
    ) throws(ControlClientProblem) {
        var old = try look()
        repeat {
            usleep(UInt32(clamping: milliseconds * 1_000))
            let new = try look()
            let report = TopReport(from: old, to: new)
            if isJSON {
                show(Self.line(report))
            } else {
                for line in screen.lines(report, style, height: nil) { show(line) }
            }
            fflush(nil)
            old = new
        } while !isOnce
    }

    private func look() throws(ControlClientProblem) -> TopReport.Look {
        TopReport.Look(
            try client.call(DirectorStatus.self, "status"), try client.call([ProxyStatus].self, "proxies"))
    }

    private static func uptimeMilliseconds() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
    }
}
