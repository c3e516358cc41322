import Foundation

/// A configuration file, read and parsed, with a place for every value.
public struct YAMLFile: Sendable {
    /// The name that problems carry.
    public let name: String
    public let root: YAMLNode
    /// Environment variables whose values stand in `root`.
    let variables: [String]

    init(name: String, root: YAMLNode, variables: [String] = []) {
        self.name = name
        self.root = root
        self.variables = variables
    }

    /// No configuration file is larger than this.
    public static var sizeLimit: Int { 1 << 20 }

    /// Reads and parses the file at `path`.
    public static func load(_ path: String) throws(ConfigurationProblem) -> YAMLFile {
        try parse(text(of: path), name: path)
    }

    /// Parses `text`; problems carry `name`.
    public static func parse(_ text: String, name: String) throws(ConfigurationProblem) -> YAMLFile {
        guard text.utf8.count <= sizeLimit else {
            throw ConfigurationProblem(
                file: name, message: "the file is larger than \(sizeLimit) bytes",
                remedy: "is this a configuration file?")
        }
        return YAMLFile(name: name, root: try compose(text, name: name))
    }

    /// Reads the whole file as one section. `body` picks the keys that it knows; whatever is left over is reported.
    /// All problems come back at once, in the order of their lines; the value is only good when none is an error.
    public func read<Value>(_ body: (YAMLSection) -> Value) -> (value: Value, problems: [ConfigurationProblem]) {
        let log = ProblemLog(file: name, variables: variables)
        let section = YAMLSection(root: root, log: log)
        let value = body(section)
        section.finish()
        return (value, log.sorted)
    }

    /// `load`, `overridden` and `read` in one; nil when any problem is an error.
    public static func decode<Value>(
        path: String, environment: [String: String] = [:], prefix: String = "", _ body: (YAMLSection) -> Value?
    ) -> (value: Value?, problems: [ConfigurationProblem]) {
        do throws(ConfigurationProblem) {
            return try load(path).overridden(by: environment, prefix: prefix).decode(body)
        } catch {
            return (nil, [error])
        }
    }

    /// `read`, with nil for a value that cannot be used since a problem is an error.
    public func decode<Value>(
        _ body: (YAMLSection) -> Value?
    ) -> (value: Value?, problems: [ConfigurationProblem]) {
        let (value, problems) = read(body)
        return (problems.contains(where: \.isError) ? nil : value, problems)
    }

    private static func text(of path: String) throws(ConfigurationProblem) -> String {
        func fail(_ message: String, _ remedy: String, line: Int = 0) -> ConfigurationProblem {
            ConfigurationProblem(
                file: path, mark: line > 0 ? YAMLMark(line: line, column: 1) : .none, message: message, remedy: remedy)
        }
        var data = Data()
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw fail("cannot be opened: \(String(cString: strerror(errno)))", "check the path and its permissions")
        }
        defer { close(descriptor) }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while data.count <= sizeLimit {
            let count = Foundation.read(descriptor, &chunk, chunk.count)
            if count < 0 {
                throw fail("cannot be read: \(String(cString: strerror(errno)))", "is it a plain file?")
            }
            if count == 0 { break }
            data.append(contentsOf: chunk.prefix(count))
        }
        if let text = String(validating: data, as: UTF8.self) { return text }
        let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let line = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
        throw fail("is not UTF-8 text", "save the file as UTF-8", line: line + 1)
    }
}
