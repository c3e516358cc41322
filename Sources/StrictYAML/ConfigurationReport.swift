import Foundation

/// What `--check-config` prints. Good for every program that reads its file with StrictYAML.
public struct ConfigurationReport: Codable, Sendable, Equatable {
    public var file: String
    public var valid: Bool
    public var problems: [ConfigurationProblem]

    public init(file: String, problems: [ConfigurationProblem]) {
        self.file = file
        valid = !problems.contains(where: \.isError)
        self.problems = problems
    }

    /// 0 when the file can be used, warnings or not; 1 otherwise.
    public var exitCode: Int32 { valid ? 0 : 1 }

    /// One problem a line, and a closing line.
    public var text: String {
        let errors = problems.count(where: \.isError)
        let warnings = problems.count - errors
        func counted(_ count: Int, _ what: String) -> String { "\(count) \(what)\(count == 1 ? "" : "s")" }
        let verdict =
            switch (errors, warnings) {
            case (0, 0): "valid"
            case (0, _): "valid, \(counted(warnings, "warning"))"
            case (_, 0): "not valid, \(counted(errors, "error"))"
            default: "not valid, \(counted(errors, "error")), \(counted(warnings, "warning"))"
            }
        return (problems.map(\.description) + ["\(file): \(verdict)"]).joined(separator: "\n")
    }

    /// One line of JSON.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}
