package import Control

extension Presentation {
    /// The sentence first, then what led to it.
    package static func explanation(_ explanation: Explanation, _ style: PrintStyle) -> String {
        var lines = [printable(explanation.summary)]
        if explanation.recovering {
            lines.append("recovery is under way: connections without a known state are withheld")
        }
        if let flow = explanation.flow {
            lines.append(
                "flow        \(printable(flow.flow)): \(flow.state)\(flow.proxy.isEmpty ? "" : ", \(printable(flow.proxy))")"
                    + ", worker \(flow.worker), last packet \(duration(Double(flow.idleMilliseconds) / 1_000)) ago")
        }
        if let transfer = explanation.transfer {
            lines.append("transfer    \(transfer.transfer): \(transfer.state), \(printable(transfer.proxy))")
        }
        lines += verdicts("ROUTE", explanation.routes, style) + verdicts("RULE", explanation.rules, style)
        if !explanation.proxies.isEmpty {
            var table = Table([.text("PROXY", mayShrink: true), .text("ELIGIBLE"), .text("REASON"), .text("CHOICE")])
            for proxy in explanation.proxies {
                table.add([
                    proxy.proxy, proxy.eligible ? "yes" : "no", proxy.reason,
                    proxy.chosen ? explanation.algorithm ?? "" : "",
                ])
            }
            lines += [""] + table.lines(style)
        }
        return lines.joined(separator: "\n")
    }

    private static func verdicts(_ title: String, _ verdicts: [Explanation.Verdict], _ style: PrintStyle) -> [String] {
        if verdicts.isEmpty { return [] }
        var table = Table([.text(title, mayShrink: true), .text("VERDICT"), .text("REASON", mayShrink: true)])
        for verdict in verdicts { table.add([verdict.name, verdict.verdict, verdict.reason]) }
        return [""] + table.lines(style)
    }
}
