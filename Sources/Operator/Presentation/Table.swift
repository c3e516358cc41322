/// Rows of text in columns, for people. Numbers stand to the right. When the whole is wider than the terminal, the
/// columns that may shrink are cut, the widest first.
package struct Table {
    package struct Column {
        var title: String
        var isNumber = false
        var mayShrink = false

        package static func text(_ title: String, mayShrink: Bool = false) -> Column {
            Column(title: title, mayShrink: mayShrink)
        }
        package static func number(_ title: String) -> Column { Column(title: title, isNumber: true) }
    }

    private static var shortest: Int { 8 }
    private static var gap: Int { 2 }

    private let columns: [Column]
    private var rows: [[String]] = []

    package init(_ columns: [Column]) { self.columns = columns }

    /// An empty cell shows as `-`. Cells that are missing are empty, those without a column are left out.
    package mutating func add(_ cells: [String]) {
        rows.append(
            columns.indices.map { index in
                let cell = index < cells.count ? printable(cells[index]) : ""
                return cell.isEmpty ? "-" : cell
            })
    }

    /// Lines without an end, the header first.
    package func lines(_ style: PrintStyle) -> [String] {
        var widths: [Int] = []
        return lines(style, widths: &widths)
    }

    /// One page of a longer table. `widths`: of the columns so far; while there are none the header comes first.
    package func lines(_ style: PrintStyle, widths: inout [Int]) -> [String] {
        let isFirst = widths.isEmpty
        if isFirst { widths = columns.map(\.title.count) }
        for row in rows {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        if let width = style.width { shrink(&widths, to: width) }
        let header = isFirst ? [style.emphasised(line(columns.map(\.title), widths))] : []
        return header + rows.map { line($0, widths) }
    }

    private func shrink(_ widths: inout [Int], to width: Int) {
        var excess = widths.reduce(0, +) + Self.gap * (widths.count - 1) - width
        while excess > 0 {
            let candidates = columns.indices.filter { columns[$0].mayShrink && widths[$0] > Self.shortest }
            guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { return }
            widths[widest] -= 1
            excess -= 1
        }
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (index, cell) in cells.enumerated() {
            let text = cell.count > widths[index] ? cell.prefix(widths[index] - 1) + "…" : cell[...]
            let padding = String(repeating: " ", count: widths[index] - text.count)
            if index > 0 { line += String(repeating: " ", count: Self.gap) }
            line += columns[index].isNumber ? padding + text : text + padding
        }
        while line.hasSuffix(" ") { line.removeLast() }
        return line
    }
}
