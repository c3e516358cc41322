/// A report laid out for a terminal of any size: what does not fit is cut, never wrapped.
package struct TopScreen: Equatable, Sendable {
    /// Column of the proxies' table that they are sorted by, 0 for the configuration's order.
    package private(set) var sortColumn = 0
    package private(set) var isReversed = false
    /// Lines of the tables that are scrolled out at the top.
    package private(set) var scrolled = 0

    package init() {}

    package enum Key: Equatable, Sendable { case left, right, up, down, reverse, quit, other }

    /// False: the user wants to leave.
    package mutating func press(_ key: Key) -> Bool {
        switch key {
        case .left: sortColumn = (sortColumn + Self.columns.count - 1) % Self.columns.count
        case .right: sortColumn = (sortColumn + 1) % Self.columns.count
        case .up: scrolled = max(0, scrolled - 1)
        case .down: scrolled += 1
        case .reverse: isReversed.toggle()
        case .quit: return false
        case .other: break
        }
        return true
    }

    /// - Parameters:
    ///   - height: rows of the terminal; nil for as many lines as there are.
    ///   - problem: shown in the place of the keys.
    package mutating func lines(
        _ report: TopReport, _ style: PrintStyle, height: Int?, problem: String? = nil
    ) -> [String] {
        let head = Self.head(report)
        var body: [String] = []
        for table in [ports(report), workers(report), proxies(report)] { body += [""] + table.lines(style) }
        guard let height else { return (head + body).map { fitted($0, style) } }
        let foot =
            problem
            ?? "q quit   left/right sort by \(Self.columns[sortColumn].title.lowercased())   r reverse   up/down scroll"
        let room = max(0, height - head.count - 1)
        scrolled = max(0, min(scrolled, body.count - room))
        let shown = body.dropFirst(scrolled).prefix(room)
        let blanks = Array(repeating: "", count: room - shown.count)
        return Array((head + shown + blanks).map { fitted($0, style) }.prefix(max(0, height - 1)))
            + (height > 0 ? [fitted(foot, style)] : [])
    }

    // MARK: parts

    private static func head(_ report: TopReport) -> [String] {
        var first =
            "\(printable(report.director)) \(printable(report.version))  up \(Presentation.duration(report.uptimeSeconds))"
            + "  \(report.algorithm)  proxies \(report.proxiesUp)/\(report.proxiesConfigured) up"
            + "  flows \(report.flows)"
        if report.bypass { first += "  BYPASS" }
        if report.recovering { first += "  RECOVERY" }
        let outcomes = report.transfersPerSecond.filter { $0.value > 0 }.sorted { $0.key < $1.key }
            .map { "\(printable($0.key)) \(figure($0.value))/s" }
        let hold = report.hold
        let times = [("p50", hold.p50), ("p90", hold.p90), ("p99", hold.p99)].compactMap { name, value in
            value.map { "\(name) \(milliseconds($0))" }
        }
        return [
            first,
            "transfers  \(report.pendingTransfers) pending, \(report.heldFlows) held"
                + (outcomes.isEmpty ? "" : "  " + outcomes.joined(separator: "  ")),
            "hold time  " + (times.isEmpty ? "-" : times.joined(separator: "  ") + "  of \(hold.count)"),
        ]
    }

    private func ports(_ report: TopReport) -> Table {
        var table = Table([
            .text("PORT", mayShrink: true), .text("SIDE"), .text("LINK"), .number("RX/s"), .number("RX bit/s"),
            .number("TX/s"), .number("TX bit/s"), .number("MISSED/s"), .number("ERRORS/s"),
        ])
        for port in report.ports {
            table.add([
                port.name, port.side, port.link ? "up" : "down", Self.figure(port.receivedPerSecond),
                Self.figure(port.receivedBitsPerSecond), Self.figure(port.transmittedPerSecond),
                Self.figure(port.transmittedBitsPerSecond), Self.figure(port.missedPerSecond),
                Self.figure(port.errorsPerSecond),
            ])
        }
        return table
    }

    private func workers(_ report: TopReport) -> Table {
        var table = Table([
            .number("WORKER"), .number("LCORE"), .number("BUSY"), .number("CYCLES/PKT"), .number("RX/s"),
            .number("TX/s"), .number("DROP/s"), .number("FLOWS"), .number("COMMITTED"), .number("HELD"),
        ])
        for worker in report.workers {
            table.add([
                "\(worker.worker)", "\(worker.lcore)", Self.percent(worker.busyShare),
                worker.cyclesPerPacket.map { "\(Int($0.rounded()))" } ?? "",
                Self.figure(worker.receivedPerSecond), Self.figure(worker.transmittedPerSecond),
                Self.figure(worker.droppedPerSecond), "\(worker.flows)", "\(worker.committedFlows)",
                "\(worker.heldFlows)",
            ])
        }
        return table
    }

    private typealias Proxy = TopReport.ProxyRates

    /// How each column of the proxies' table looks, and by what it is sorted.
    private struct Column: Sendable {
        let title: String
        var isNumber = true
        let text: @Sendable (Proxy) -> String
        let value: @Sendable (Proxy) -> Double
    }

    private static let columns: [Column] = [
        Column(title: "PROXY", isNumber: false, text: \.proxy) { _ in 0 },
        Column(title: "STATE", isNumber: false, text: \.state) { $0.state == "up" ? 1 : 0 },
        Column(title: "CONNS", text: { "\($0.connections)" }, value: { Double($0.connections) }),
        Column(title: "FLOWS", text: { "\($0.flows)" }, value: { Double($0.flows) }),
        Column(title: "PENDING", text: { "\($0.pending)" }, value: { Double($0.pending) }),
        Column(title: "ACK/s", text: { figure($0.acksPerSecond) }, value: { $0.acksPerSecond }),
        Column(title: "NACK/s", text: { figure($0.nacksPerSecond) }, value: { $0.nacksPerSecond }),
        Column(title: "TIMEOUT/s", text: { figure($0.timeoutsPerSecond) }, value: { $0.timeoutsPerSecond }),
        Column(title: "SRTT", text: { milliseconds($0.srttMicroseconds) }, value: { $0.srttMicroseconds }),
        Column(title: "RTTVAR", text: { milliseconds($0.rttvarMicroseconds) }, value: { $0.rttvarMicroseconds }),
        Column(
            title: "TO", text: { milliseconds(Double($0.timeoutMicroseconds)) },
            value: { Double($0.timeoutMicroseconds) }),
        Column(title: "LOAD", text: { percent(Double($0.load) / 1_000) }, value: { Double($0.load) }),
    ]

    private func proxies(_ report: TopReport) -> Table {
        var table = Table(
            Self.columns.enumerated().map { index, column in
                let title = index == sortColumn && index > 0 ? column.title + (isReversed ? "+" : "-") : column.title
                return column.isNumber ? .number(title) : .text(title, mayShrink: index == 0)
            })
        // The largest first; in the configuration's order among equals.
        let value = Self.columns[sortColumn].value
        var rows = report.proxies.enumerated().sorted { left, right in
            let (mine, its) = (value(left.element), value(right.element))
            return mine == its ? left.offset < right.offset : mine > its
        }.map(\.element)
        if isReversed { rows.reverse() }
        for row in rows { table.add(Self.columns.map { $0.text(row) }) }
        return table
    }

    // MARK: figures

    /// `0`, `12.3`, `456`, `7.89k`, `1.23M`, `4.5G`
    package static func figure(_ value: Double) -> String {
        if value < 0.05 { return "0" }
        if value < 99.95 { return "\((value * 10).rounded() / 10)" }
        if value < 999.5 { return "\(Int(value.rounded()))" }
        for (unit, scale) in [("k", 1e3), ("M", 1e6), ("G", 1e9)] where value < 999.5 * scale {
            let scaled = value / scale
            let factor: Double = scaled < 10 ? 100 : scaled < 100 ? 10 : 1
            return "\((scaled * factor).rounded() / factor)\(unit)"
        }
        return "\((value / 1e12 * 100).rounded() / 100)T"
    }

    private static func percent(_ share: Double) -> String { "\((share * 1_000).rounded() / 10)%" }

    private static func milliseconds(_ microseconds: Double) -> String {
        "\((microseconds / 10).rounded() / 100)ms"
    }

    /// Cut to the terminal's width; escape sequences do not count.
    private func fitted(_ line: String, _ style: PrintStyle) -> String {
        guard let width = style.width else { return line }
        var visible = 0
        var isEscape = false
        var result = ""
        for character in line {
            if character == "\u{1B}" { isEscape = true }
            if isEscape {
                result.append(character)
                if character.isLetter { isEscape = false }
            } else if visible < width {
                result.append(character)
                visible += 1
            }
        }
        return result
    }
}
