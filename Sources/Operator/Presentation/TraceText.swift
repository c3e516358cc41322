package import Control
import Foundation

/// A trace's events as lines for people: each with its time of day and how long after the connection's request it came.
/// The connection stands above its events, again whenever another one's came between.
package struct TraceText {
    private var shownFlow = ""
    /// When each connection's latest request came.
    private var begun: [String: UInt64] = [:]
    private let style: PrintStyle

    package init(_ style: PrintStyle) { self.style = style }

    /// - Parameter realtimeMicroseconds: now, since 1970: the director's own clock begins anywhere.
    package mutating func lines(_ status: TraceStatus, realtimeMicroseconds: UInt64) -> [String] {
        var lines: [String] = []
        for event in status.events {
            let age = status.nowMicroseconds - min(event.atMicroseconds, status.nowMicroseconds)
            let time = timeOfDay(realtimeMicroseconds - min(age, realtimeMicroseconds))
            if event.flow != shownFlow {
                shownFlow = event.flow
                lines.append(style.emphasised(printable(event.flow)))
            }
            lines.append("\(time)  \(since(event))  \(what(event))")
        }
        return lines
    }

    private mutating func since(_ event: TraceStatus.Event) -> String {
        let begins = ["held", "observed", "asked"].contains(event.event)
        if begins || begun[event.flow] == nil {
            if begun.count >= 10_000 { begun = [:] }
            begun[event.flow] = event.atMicroseconds
        }
        let elapsed = event.atMicroseconds - min(begun[event.flow] ?? 0, event.atMicroseconds)
        return pad("+\(elapsed)us", to: 10, before: true)
    }

    private func what(_ event: TraceStatus.Event) -> String {
        let transfer = event.transfer.map { "\($0)" } ?? ""
        let line =
            "\(pad(transfer, to: 10, before: true))  \(pad(printable(event.proxy), to: 6))  "
            + "\(pad(printable(event.event), to: 18))  \(printable(event.detail))"
        return String(line[..<(line.lastIndex { $0 != " " }.map(line.index(after:)) ?? line.endIndex)])
    }

    private func pad(_ text: String, to width: Int, before: Bool = false) -> String {
        let blanks = String(repeating: " ", count: max(0, width - text.count))
        return before ? blanks + text : text + blanks
    }

    private func timeOfDay(_ microseconds: UInt64) -> String {
        var seconds = time_t(microseconds / 1_000_000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let fraction = String(1_000_000 + microseconds % 1_000_000).dropFirst()
        return "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(fraction)"
    }
}
