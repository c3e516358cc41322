import Foundation

/// How log lines are written: for people, or for programs.
public enum LogFormat: String, Equatable, Sendable, CaseIterable {
    /// `2026-01-01T00:00:00.000Z info transfer committed transfer=17 proxy=p1`
    case text
    /// One JSON object a line: `time`, `level`, `event`, and the fields as strings.
    case json
}

/// One event, before it is written.
struct LogLine {
    var level: String
    /// What happened, in a few words; also the cause by which lines are limited.
    var event: String
    var fields: [(name: String, value: String)]

    /// PIPE_BUF, less the line's end: what a pipe takes in one piece.
    private static var limit: Int { 4_090 }

    func rendered(_ format: LogFormat, time: String) -> String {
        switch format {
        case .text: text(time)
        case .json: json(time)
        }
    }

    private func text(_ time: String) -> String {
        let parts = [time, level, printable(event)] + fields.map { logField($0.name, $0.value) }
        let line = parts.joined(separator: " ")
        // Four bytes at most make a character of what is left.
        return line.utf8.count <= Self.limit
            ? line : String(decoding: line.utf8.prefix(Self.limit - 4), as: UTF8.self) + "…"
    }

    /// Values are cut, never the object: each line can be read.
    private func json(_ time: String) -> String {
        var object = #"{"time":\#(quoted(time)),"level":\#(quoted(level)),"event":\#(quoted(cut(event)))"#
        var names: Set = ["time", "level", "event"]
        for field in fields {
            // A name of the line's own, or one that is there already, stands apart.
            var name = field.name
            while !names.insert(name).inserted { name += "_" }
            let member = ",\(quoted(name)):\(quoted(cut(field.value)))"
            guard object.utf8.count + member.utf8.count < Self.limit - 12 else {
                object += #","cut":true"#
                break
            }
            object += member
        }
        return object + "}"
    }

    private func cut(_ value: String) -> String {
        value.utf8.count <= 1_000 ? value : String(decoding: value.utf8.prefix(1_000), as: UTF8.self) + "…"
    }

    private func quoted(_ text: String) -> String { String(decoding: jsonLine(text), as: UTF8.self) }
}

/// `name=value`, the value in quotes when it has blanks, quotes or an equals sign, or is empty.
func logField(_ name: String, _ value: String) -> String {
    let clean = printable(value)
    let needsQuotes = clean.isEmpty || clean.contains { $0 == " " || $0 == "\"" || $0 == "=" }
    guard needsQuotes else { return "\(name)=\(clean)" }
    let escaped = clean.replacing("\"", with: "\\\"")
    return "\(name)=\"\(escaped)\""
}
