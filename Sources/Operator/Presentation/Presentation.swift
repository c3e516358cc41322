package import Control
import StrictYAML

/// What the control socket answers, as text for people. Programs take `--json`.
package enum Presentation {
    package static func status(_ status: DirectorStatus, _ style: PrintStyle) -> String {
        var lines = [
            "director    \(printable(status.name)) (\(printable(status.version))), up \(duration(status.uptimeSeconds))",
            "transfers   \(status.pendingTransfers) pending\(counts(status.transfers, separator: ", ", lead: ", "))",
            "proxies     \(status.proxiesUp) of \(status.proxiesConfigured) up",
            "algorithm   \(printable(status.algorithm))",
            "crtp        \(counts(status.crtp, separator: ", ", lead: "", empty: "no frames yet"))",
        ]
        if !status.origins.isEmpty {
            lines.append("origins     \(status.origins.count { $0.up }) of \(status.origins.count) up")
        }
        if status.bypass { lines.append("bypass      on: nothing is held, every request goes to the origin") }
        if status.recovering { lines.append("recovery    under way: agents announce their connections") }
        for worker in status.workers { lines += [""] + self.worker(worker, style) }
        return lines.joined(separator: "\n")
    }

    /// Counters that are 0 are left out: there are many.
    private static func worker(_ worker: WorkerStatus, _ style: PrintStyle) -> [String] {
        var table = Table([.text("worker \(worker.index) (lcore \(worker.lcore))"), .number("value")])
        for (name, value) in worker.gauges.sorted(by: { $0.key < $1.key }) { table.add([name, String(value)]) }
        for (name, value) in worker.counters.sorted(by: { $0.key < $1.key }) where value > 0 {
            table.add([name, String(value)])
        }
        return table.lines(style)
    }

    package static func proxies(_ proxies: [ProxyStatus], _ style: PrintStyle) -> String {
        var table = Table([
            .text("PROXY", mayShrink: true), .text("ADDRESS"), .text("STATE"), .text("SET"), .text("MAC"),
            .number("CONNS"),
            .number("FLOWS"),
            .number("PENDING"), .number("ACK"), .number("NACK"), .number("TIMEOUT"), .number("LATE"),
            .number("PASSED ON"), .number("SRTT"), .number("TO"),
        ])
        for proxy in proxies {
            let address = proxy.transport == "udp" ? proxy.address : "\(proxy.address) \(proxy.transport)"
            table.add([
                proxy.name, address, proxy.state, proxy.administrative.rawValue, proxy.mac,
                "\(proxy.connections)", "\(proxy.committedFlows)",
                "\(proxy.pendingTransfers)", "\(proxy.acks)", "\(proxy.nacks)", "\(proxy.timeouts)",
                "\(proxy.lateACKs)", "\(proxy.passedOn)", milliseconds(proxy.srttMicroseconds),
                milliseconds(Double(proxy.timeoutMicroseconds)),
            ])
        }
        return rows(table, proxies.isEmpty ? "no proxies are configured" : nil, style)
    }

    /// A page of flows; `widths` as in `Table.lines`.
    package static func flows(_ flows: [FlowStatus], _ style: PrintStyle, widths: inout [Int]) -> [String] {
        var table = Table([
            .text("FLOW", mayShrink: true), .text("PROTOCOL"), .number("WORKER"), .text("STATE"),
            .text("PROXY", mayShrink: true), .number("IDLE"),
        ])
        for flow in flows {
            table.add([
                flow.flow, flow.protocol, "\(flow.worker)", flow.state, flow.proxy,
                duration(Double(flow.idleMilliseconds) / 1_000),
            ])
        }
        return table.lines(style, widths: &widths)
    }

    package static func flowCounts(_ census: FlowCensus, _ style: PrintStyle) -> String {
        var table = Table([.text("STATE"), .text("PROXY", mayShrink: true), .number("FLOWS")])
        for count in census.counts { table.add([count.state, count.proxy, "\(count.flows)"]) }
        table.add(["all", "", "\(census.flows)"])
        return rows(table, census.counts.isEmpty ? "no such flows" : nil, style)
    }

    package static func transfers(_ transfers: [TransferStatus], _ style: PrintStyle) -> String {
        var table = Table([
            .number("TRANSFER"), .text("STATE"), .text("REASON"), .text("RULE", mayShrink: true),
            .text("PROXY", mayShrink: true),
            .number("TOOK"), .text("FLOW", mayShrink: true), .text("HOST", mayShrink: true),
            .text("PATH", mayShrink: true),
        ])
        for transfer in transfers {
            table.add([
                "\(transfer.transfer)", transfer.state, transfer.reason, transfer.rule, transfer.proxy,
                milliseconds(Double(transfer.tookMicroseconds)), transfer.flow, transfer.host, transfer.path,
            ])
        }
        return rows(table, transfers.isEmpty ? "no transfers yet" : nil, style)
    }

    package static func bypass(_ status: BypassStatus) -> String {
        status.bypass
            ? "bypass is on: nothing is held, every request goes to the origin"
            : "bypass is off: candidates are held and asked for"
    }

    package static func proxy(_ status: ProxyStatus) -> String {
        let name = printable(status.name)
        let left = "\(status.committedFlows) flows, \(status.pendingTransfers) pending"
        switch status.administrative {
        case .up: return "\(name) is asked (state \(printable(status.state)))"
        case .drain: return "\(name) drains: it gets no new connections and keeps those that it has (\(left))"
        case .evacuate: return "\(name) is being emptied: others go on with what it has (\(left))"
        case .down: return "\(name) is down: its channel is ended; it keeps the connections that it has (\(left))"
        }
    }

    package static func keys(_ status: KeysStatus, _ style: PrintStyle) -> String {
        var keys = Table([
            .number("KEY"), .text("ROLE"), .text("NOT BEFORE"), .text("NOT AFTER"), .text("FILE", mayShrink: true),
        ])
        for key in status.keys {
            keys.add([
                "\(key.key)", key.role, key.notBefore.map(timestampText) ?? "", key.notAfter.map(timestampText) ?? "",
                key.file,
            ])
        }
        var channels = Table([.text("CHANNEL", mayShrink: true), .text("STATE"), .number("KEY"), .text("AGENT HOLDS")])
        for channel in status.channels {
            let used = channel.key.map(String.init) ?? ""
            let key = channel.sought.map { $0 == channel.key ? used : "\(used) → \($0)" } ?? used
            channels.add([channel.proxy, channel.state, key, channel.held.map(String.init).joined(separator: ", ")])
        }
        if status.keys.isEmpty { return "no keys are configured" }
        return (keys.lines(style) + [""] + channels.lines(style)).joined(separator: "\n")
    }

    package static func reload(_ status: ReloadStatus, _ style: PrintStyle) -> String {
        var lines = status.warnings.map(printable)
        var table = Table([
            .text("CHANGE"), .text("KEY", mayShrink: true), .text("FROM", mayShrink: true),
            .text("TO", mayShrink: true),
        ])
        for change in status.changes {
            let kind = change.needsRestart ? "\(change.kind.rawValue) (restart)" : change.kind.rawValue
            table.add([kind, change.key, change.from ?? "", change.to ?? ""])
        }
        if !status.changes.isEmpty { lines += table.lines(style) + [""] }
        let count = "\(status.changes.count) change\(status.changes.count == 1 ? "" : "s")"
        let file = printable(status.file)
        if let refusal = status.refusal {
            lines.append("\(file) cannot be taken: \(printable(refusal))")
        } else if status.changes.isEmpty {
            lines.append("\(file) says what is in force already")
        } else {
            lines.append(
                status.applied ? "\(file): \(count) in force" : "\(file): \(count) would be made; nothing was changed")
        }
        return lines.joined(separator: "\n")
    }

    package static func algorithm(_ status: AlgorithmStatus, _ style: PrintStyle) -> String {
        var table = Table([.text("RULE", mayShrink: true), .text("ALGORITHM")])
        for (rule, algorithm) in status.rules.sorted(by: { $0.key < $1.key }) { table.add([rule, algorithm]) }
        return rows(table, status.rules.isEmpty ? "no rules; algorithm \(printable(status.algorithm))" : nil, style)
    }

    package static func version(_ status: VersionStatus, client: String) -> String {
        "batonctl \(client)\nbatond   \(printable(status.version)) (\(printable(status.name)), process "
            + "\(status.processIdentifier), CRTP \(status.protocolVersion))"
    }

    // MARK: Pieces

    private static func rows(_ table: Table, _ empty: String?, _ style: PrintStyle) -> String {
        empty ?? table.lines(style).joined(separator: "\n")
    }

    private static func counts(
        _ counts: [String: UInt64], separator: String, lead: String, empty: String = ""
    ) -> String {
        let shown = counts.filter { $0.value > 0 }.sorted { $0.key < $1.key }
        if shown.isEmpty { return empty }
        return lead + shown.map { "\($0.value) \(printable($0.key))" }.joined(separator: separator)
    }

    /// `1.23ms`; nothing for 0, which means that nothing was measured.
    private static func milliseconds(_ microseconds: Double) -> String {
        microseconds <= 0 ? "" : "\((microseconds / 10).rounded() / 100)ms"
    }

    /// `3d 4h`, `5min 6s`, `1.2s`
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "" }
        if seconds < 10 { return "\((seconds * 10).rounded() / 10)s" }
        let whole = Int(seconds)
        if whole < 60 { return "\(whole)s" }
        if whole < 3_600 { return "\(whole / 60)min \(whole % 60)s" }
        if whole < 86_400 { return "\(whole / 3_600)h \(whole % 3_600 / 60)min" }
        return "\(whole / 86_400)d \(whole % 86_400 / 3_600)h"
    }
}
