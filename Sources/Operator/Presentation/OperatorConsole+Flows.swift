import Control
import InterCore
import StrictYAML

// `batonctl flows`: page after page, shown as they come, so that a million rows are never in one place.
extension OperatorConsole {
    /// States that a flow can be in.
    public static var flowStates: [String] { FlowState.names }

    /// `10s`, `200ms`, `5min`; nil for anything else.
    public static func milliseconds(_ text: String) -> Int? {
        parseDuration(text).map { Int(min($0 / 1_000, UInt64(UInt32.max))) }
    }

    /// The other way round.
    public static func text(ofMilliseconds milliseconds: Int) -> String { durationText(UInt64(milliseconds) * 1_000) }

    /// At most `limit` rows, from `cursor` on. In JSON a line for each page, as the director gave it.
    public func flows(
        _ selection: FlowSelection, limit: Int, cursor: String?, _ show: (String) -> Void
    ) throws(ControlClientProblem) {
        var parameters = selection.parameters
        var cursor = cursor
        var shown = 0
        var widths: [Int] = []
        repeat {
            parameters["limit"] = .integer(min(limit - shown, Self.pageLength))
            parameters["cursor"] = cursor.map { .string($0) }
            let answer = try client.call("flows", parameters)
            let page = try client.decode(FlowPage.self, answer)
            // An empty page in the middle of a long search says nothing.
            let isLast = page.next == nil || shown + page.flows.count >= limit
            if isJSON {
                if isLast || !page.flows.isEmpty { show(Self.line(answer)) }
            } else if !page.flows.isEmpty {
                for line in Presentation.flows(page.flows, style, widths: &widths) { show(line) }
            }
            shown += page.flows.count
            cursor = page.next
        } while cursor != nil && shown < limit
        guard !isJSON else { return }
        if shown == 0 { show("no such flows") }
        if let cursor { Self.complain("there may be more: ask for more by --limit, or read on by --cursor \(cursor)") }
    }

    /// How many, by state and proxy. In JSON one line for the whole.
    public func flowCounts(_ selection: FlowSelection) throws(ControlClientProblem) -> String {
        var parameters = selection.parameters
        var whole = FlowCensus()
        repeat {
            let part = try client.call(FlowCensus.self, "flows.count", parameters)
            whole.add(part)
            parameters["cursor"] = part.next.map { .string($0) }
        } while whole.next != nil
        return isJSON ? Self.line(whole) : Presentation.flowCounts(whole, style)
    }

    /// Rows that are asked for at once.
    private static var pageLength: Int { 1_000 }
}

extension FlowCensus {
    /// The next part of the same count.
    mutating func add(_ part: FlowCensus) {
        flows += part.flows
        for count in part.counts {
            if let known = counts.firstIndex(where: { ($0.state, $0.proxy) == (count.state, count.proxy) }) {
                counts[known].flows += count.flows
            } else {
                counts.append(count)
            }
        }
        counts.sort { ($0.state, $0.proxy) < ($1.state, $1.proxy) }
        next = part.next
    }
}
