/// Something wrong with a configuration file: where it stands, what it is, and what to do about it.
public struct ConfigurationProblem: Error, Equatable, Hashable, Codable, Sendable {
    public enum Severity: String, Codable, Sendable { case error, warning }

    public var severity: Severity
    /// The file's name, as the user gave it.
    public var file: String
    /// From 1; 0 when the problem is the file's as a whole.
    public var line: Int
    /// From 1, in Unicode scalars; 0 when the problem is the file's as a whole.
    public var column: Int
    /// `unknown key 'prot'`
    public var message: String
    /// `did you mean 'port'?`
    public var remedy: String

    public init(
        _ severity: Severity = .error, file: String, mark: YAMLMark = .none, message: String, remedy: String
    ) {
        self.severity = severity
        self.file = file
        line = mark.line
        column = mark.column
        self.message = message
        self.remedy = remedy
    }

    public var isError: Bool { severity == .error }
}

extension ConfigurationProblem: CustomStringConvertible {
    /// `demo.yaml:12:3: unknown key 'prot': did you mean 'port'?`
    public var description: String {
        let place = line > 0 ? "\(file):\(line):\(column)" : file
        let what = severity == .warning ? "warning: \(message)" : message
        return remedy.isEmpty ? "\(place): \(what)" : "\(place): \(what): \(remedy)"
    }
}

/// Problems in the order of their reading; one list for a whole file.
final class ProblemLog {
    let file: String
    private(set) var problems: [ConfigurationProblem] = []
    /// A merged or aliased mapping is read more than once; its problems are told once.
    private var told: Set<ConfigurationProblem> = []
    private var untold = 0

    /// Nobody reads more.
    private static var limit: Int { 200 }

    /// Environment variables, by the origin of their marks less one.
    private let variables: [String]

    init(file: String, variables: [String] = []) {
        self.file = file
        self.variables = variables
    }

    func report(_ severity: ConfigurationProblem.Severity, _ message: String, remedy: String, at mark: YAMLMark) {
        guard problems.count < Self.limit else {
            untold += 1
            return
        }
        let isVariable = (1...max(variables.count, 1)).contains(mark.origin) && !variables.isEmpty
        let problem = ConfigurationProblem(
            severity, file: isVariable ? variables[mark.origin - 1] : file, mark: isVariable ? .none : mark,
            message: visible(message), remedy: visible(remedy))
        if told.insert(problem).inserted { problems.append(problem) }
    }

    /// By line and column; those of the file as a whole first.
    var sorted: [ConfigurationProblem] {
        let sorted = problems.enumerated().sorted { left, right in
            (left.element.line, left.element.column, left.offset)
                < (right.element.line, right.element.column, right.offset)
        }.map(\.element)
        guard untold > 0 else { return sorted }
        let rest = ConfigurationProblem(file: file, message: "\(untold) more problems", remedy: "mend these first")
        return sorted + [rest]
    }
}

/// A problem is one line, whatever the file's values contain.
private func visible(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
    return text.unicodeScalars.map { scalar in
        scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
    }.joined()
}
