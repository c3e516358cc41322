/// A mapping of the file while it is read. Every key that is asked for becomes a known key; when the section's reader
/// returns, the keys that nobody asked for are reported with the nearest known one. Keys that begin with `x-` are the
/// user's own (a place for anchors).
///
/// Wrong values are reported as well and read as if they were absent, so that one run tells all problems.
public final class YAMLSection {
    /// What messages call this section: `rules[2]`; empty for the whole file.
    public let label: String
    /// Where the section begins.
    public let mark: YAMLMark
    private let entries: [YAMLEntry]
    private var known: [String] = []
    private let log: ProblemLog

    init(label: String, mark: YAMLMark, entries: [YAMLEntry], log: ProblemLog) {
        self.label = label
        self.mark = mark
        self.entries = entries
        self.log = log
    }

    /// The whole file; a file without any value is an empty section.
    convenience init(root: YAMLNode, log: ProblemLog) {
        self.init(
            label: "", mark: root.mark, entries: YAMLSection.entries(of: root, label: "the file", log) ?? [], log: log)
    }

    /// The name of the file.
    public var file: String { log.file }

    /// Every key that the file has in this section, in order.
    public var keys: [String] { entries.map(\.key) }

    /// Whether the file has the key. Asking makes it a known key.
    public func has(_ key: String) -> Bool { find(key) != nil }

    /// Where the key's value stands; the section's own place when it is absent.
    public func mark(of key: String) -> YAMLMark {
        entries.first { $0.key == key }?.value.mark ?? mark
    }

    // MARK: Values

    /// The key's value, or `fallback` when it is absent.
    public func value<Value>(_ key: String, _ kind: YAMLKind<Value>, default fallback: Value) -> Value {
        optional(key, kind) ?? fallback
    }

    /// The key's value, or nil when it is absent.
    public func optional<Value>(_ key: String, _ kind: YAMLKind<Value>) -> Value? {
        guard let entry = find(key) else { return nil }
        return kind.decode(entry.value, YAMLPlace(label: "'\(key)'", log: log))
    }

    /// The key's value; its absence is a problem. nil when there is a problem.
    public func required<Value>(_ key: String, _ kind: YAMLKind<Value>) -> Value? {
        guard has(key) else {
            let place = label.isEmpty ? "this file" : "'\(label)'"
            report("required key '\(key)' is missing in \(place)", remedy: "add '\(key)': \(kind.expected)", at: mark)
            return nil
        }
        return optional(key, kind)
    }

    // MARK: Sections

    /// A nested section. An absent one is read as an empty one, so that defaults have one home.
    public func section<Value>(_ key: String, _ body: (YAMLSection) -> Value) -> Value {
        optionalSection(key, body) ?? read([], at: mark, label: nested(key), body)
    }

    /// A nested section; nil when it is absent or not a mapping.
    public func optionalSection<Value>(_ key: String, _ body: (YAMLSection) -> Value) -> Value? {
        guard let entry = find(key) else { return nil }
        guard let entries = YAMLSection.entries(of: entry.value, label: "'\(key)'", log) else { return nil }
        return read(entries, at: entry.value.mark, label: nested(key), body)
    }

    /// A list of sections. Those for which `body` gives nil are left out.
    public func sections<Value>(_ key: String, _ body: (YAMLSection) -> Value?) -> [Value] {
        guard let entry = find(key), !entry.value.isNull else { return [] }
        guard case .list(let nodes, _) = entry.value else {
            report(
                "'\(key)' expects a list of mappings, but \(entry.value.summary) stands here",
                remedy: "begin each entry with '- '", at: entry.value.mark)
            return []
        }
        var values: [Value] = []
        for (index, node) in nodes.enumerated() {
            let label = "\(nested(key))[\(index)]"
            guard let entries = YAMLSection.entries(of: node, label: "an entry of '\(key)'", log) else { continue }
            if let value = read(entries, at: node.mark, label: label, body) { values.append(value) }
        }
        return values
    }

    /// A mapping whose keys are the user's: `keys: { 1: /etc/baton/key1 }`. In the file's order.
    public func dictionary<Key, Value>(
        _ key: String, keys keyKind: YAMLKind<Key>, values valueKind: YAMLKind<Value>
    ) -> [(key: Marked<Key>, value: Marked<Value>)] {
        keyed(key, keyKind) { entry, label in
            valueKind.decode(entry.value, YAMLPlace(label: "'\(label)'", log: log)).map {
                Marked($0, at: entry.value.mark)
            }
        }
    }

    /// The same where a value may be a mapping of its own: `keys: { 1: FILE, 2: { file: FILE, … } }`.
    func mixed<Key, Text, Value>(
        _ key: String, keys keyKind: YAMLKind<Key>, text kind: YAMLKind<Text>, _ body: (MixedEntry<Text>) -> Value
    ) -> [(key: Marked<Key>, value: Value)] {
        keyed(key, keyKind) { entry, label in
            if case .mapping(let inner, _) = entry.value {
                return read(inner, at: entry.value.mark, label: nested(label)) { body(.section($0)) }
            }
            return kind.decode(entry.value, YAMLPlace(label: "'\(label)'", log: log)).map { body(.text($0)) }
        }
    }

    private func keyed<Key, Value>(
        _ key: String, _ keyKind: YAMLKind<Key>, _ decode: (YAMLEntry, String) -> Value?
    ) -> [(key: Marked<Key>, value: Value)] {
        guard let entry = find(key) else { return [] }
        guard let entries = YAMLSection.entries(of: entry.value, label: "'\(key)'", log) else { return [] }
        return entries.compactMap { entry in
            let keyNode = YAMLNode.scalar(entry.key, isPlain: true, entry.mark)
            let keyValue = keyKind.decode(keyNode, YAMLPlace(label: "a key of '\(key)'", log: log))
            let value = decode(entry, "\(key).\(entry.key)")
            guard let keyValue, let value else { return nil }
            return (Marked(keyValue, at: entry.mark), value)
        }
    }

    // MARK: Problems

    /// Reports a problem of meaning at a place of the file.
    public func report(
        _ message: String, remedy: String, at mark: YAMLMark, severity: ConfigurationProblem.Severity = .error
    ) {
        log.report(severity, message, remedy: remedy, at: mark)
    }

    /// Reports a problem of meaning at a key's value.
    public func report(
        _ message: String, remedy: String, at key: String, severity: ConfigurationProblem.Severity = .error
    ) {
        log.report(severity, message, remedy: remedy, at: mark(of: key))
    }

    func finish() {
        for entry in entries where !known.contains(entry.key) && !entry.key.hasPrefix("x-") {
            let all = known.joined(separator: ", ")
            let guess = nearest(to: entry.key, among: known).map { "did you mean '\($0)'? " } ?? ""
            log.report(
                .error, "unknown key '\(entry.key)'", remedy: "\(guess)(known keys here: \(all))", at: entry.mark)
        }
    }

    private func find(_ key: String) -> YAMLEntry? {
        if !known.contains(key) { known.append(key) }
        return entries.first { $0.key == key }
    }

    private func nested(_ key: String) -> String { label.isEmpty ? key : "\(label).\(key)" }

    private func read<Value>(
        _ entries: [YAMLEntry], at mark: YAMLMark, label: String, _ body: (YAMLSection) -> Value
    ) -> Value {
        let section = YAMLSection(label: label, mark: mark, entries: entries, log: log)
        let value = body(section)
        section.finish()
        return value
    }

    /// nil, with a report, when the node is no mapping. Nothing at all counts as an empty mapping.
    private static func entries(of node: YAMLNode, label: String, _ log: ProblemLog) -> [YAMLEntry]? {
        if case .mapping(let entries, _) = node { return entries }
        if node.isNull { return [] }
        log.report(
            .error, "\(label) expects a mapping, but \(node.summary) stands here", remedy: "write 'key: value' lines",
            at: node.mark)
        return nil
    }
}

/// An entry of a mapping that is one value or a mapping itself.
enum MixedEntry<Text> {
    case text(Text)
    case section(YAMLSection)
}
