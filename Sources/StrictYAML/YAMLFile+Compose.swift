import Yams

extension YAMLFile {
    /// Aliases may multiply a small file; this is where it ends.
    private static var nodeLimit: Int { 100_000 }

    static func compose(_ text: String, name: String) throws(ConfigurationProblem) -> YAMLNode {
        // The parser keeps a pointer to the text, which is only stable for texts that are not stored in the string
        // value itself (15 bytes or fewer): hence the blank lines.
        let padded = text + String(repeating: "\n", count: 16)
        let document: Node?
        do {
            document = try Yams.compose(yaml: padded, .basic, .default, .utf8)
        } catch {
            throw problem(from: error, text: text, name: name)
        }
        guard let document else { return .mapping([], YAMLMark(line: 1, column: 1)) }
        var conversion = Conversion(file: name, remaining: nodeLimit)
        return try conversion.convert(document)
    }

    private static func problem(from error: any Error, text: String, name: String) -> ConfigurationProblem {
        guard let error = error as? YamlError else {
            return ConfigurationProblem(file: name, message: "cannot be parsed", remedy: "\(error)")
        }
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let place = context.map { " (\($0.text), from line \($0.mark.line))" } ?? ""
            return ConfigurationProblem(
                file: name, mark: YAMLMark(line: mark.line, column: mark.column),
                message: "not valid YAML: \(problem)\(place)", remedy: remedy(for: problem))
        case .reader(let problem, let offset, _, _):
            let before = text.prefix(offset ?? 0)
            let line = before.count { $0.isNewline } + 1
            return ConfigurationProblem(
                file: name, mark: YAMLMark(line: line, column: 1), message: "not valid YAML: \(problem)",
                remedy: "remove the character")
        case .duplicatedKeysInMapping(let duplicates, let context):
            let key = duplicates.first ?? ""
            let first = YAMLMark(line: context.mark.line, column: context.mark.column)
            return ConfigurationProblem(
                file: name, mark: repetition(of: key, after: first, in: text) ?? first,
                message: "key '\(key)' stands here again; the first is in line \(first.line)",
                remedy: "keep one of them")
        default:
            return ConfigurationProblem(file: name, message: "not valid YAML", remedy: "\(error)")
        }
    }

    private static func remedy(for problem: String) -> String {
        if problem.contains("tab") || problem.contains("cannot start any token") {
            return "indent with spaces, and quote values that begin with a special character"
        }
        if problem.contains("mapping values are not allowed") {
            return "quote values that contain ': ', and check the indentation of the line"
        }
        if problem.contains("undefined alias") {
            return "define it above with &name, or quote a value that begins with *"
        }
        if problem.contains("another document") { return "remove the line '---'" }
        return "check indentation, brackets and quotes on this line and the one before it"
    }

    /// The parser says where a repeated key stood first; people look for where it stands again.
    private static func repetition(of key: String, after first: YAMLMark, in text: String) -> YAMLMark? {
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        guard first.line >= 1, first.line <= lines.count else { return nil }
        for (index, line) in lines.enumerated() where index >= first.line {
            let body = line.drop { $0 == " " || $0 == "-" }
            let column = line.count - body.count + 1
            if column == first.column, body.hasPrefix(key), body.dropFirst(key.count).first == ":" {
                return YAMLMark(line: index + 1, column: column)
            }
        }
        return nil
    }
}

/// From the parser's nodes to ours: scalars as text, merge keys resolved, growth by aliases bounded.
private struct Conversion {
    let file: String
    var remaining: Int

    mutating func convert(_ node: Node) throws(ConfigurationProblem) -> YAMLNode {
        let mark = node.mark.map { YAMLMark(line: $0.line, column: $0.column) } ?? .none
        remaining -= 1
        guard remaining > 0 else {
            throw ConfigurationProblem(
                file: file, mark: mark, message: "the document has too many values", remedy: "use fewer aliases")
        }
        switch node {
        case .scalar(let scalar):
            return .scalar(scalar.string, isPlain: scalar.style == .plain || scalar.style == .any, mark)
        case .sequence(let sequence):
            var list: [YAMLNode] = []
            for child in sequence { list.append(try convert(child)) }
            return .list(list, mark)
        case .mapping(let mapping):
            return .mapping(try entries(of: mapping), mark)
        case .alias(let alias):
            throw ConfigurationProblem(
                file: file, mark: mark, message: "alias '\(alias.anchor.rawValue)' cannot be followed",
                remedy: "write the value itself")
        }
    }

    private mutating func entries(of mapping: Node.Mapping) throws(ConfigurationProblem) -> [YAMLEntry] {
        var own: [YAMLEntry] = []
        var merged: [YAMLEntry] = []
        for (keyNode, valueNode) in mapping {
            let key = try convert(keyNode)
            let value = try convert(valueNode)
            guard case .scalar(let name, let isPlain, let mark) = key else {
                throw ConfigurationProblem(
                    file: file, mark: key.mark, message: "a key must be a word, but \(key.summary) stands here",
                    remedy: "write 'key: value'")
            }
            if name == "<<", isPlain {
                merged += try mergedEntries(value)
            } else {
                own.append(YAMLEntry(key: name, mark: mark, value: value))
            }
        }
        var known = Set(own.map(\.key))
        for entry in merged where known.insert(entry.key).inserted { own.append(entry) }
        return own
    }

    /// `<<: *defaults` or `<<: [*a, *b]`: what the mapping does not have itself.
    private func mergedEntries(_ value: YAMLNode) throws(ConfigurationProblem) -> [YAMLEntry] {
        switch value {
        case .mapping(let entries, _): return entries
        case .list(let values, _):
            var entries: [YAMLEntry] = []
            for value in values { entries += try mergedEntries(value) }
            return entries
        case .scalar:
            throw ConfigurationProblem(
                file: file, mark: value.mark, message: "'<<' expects a mapping, but \(value.summary) stands here",
                remedy: "write '<<: *name' where &name marks a mapping")
        }
    }
}
