extension YAMLFile {
    /// The file with the values that environment variables give instead of its own. `BATOND_CRTP__LISTEN` is
    /// `crtp.listen`, `BATOND_WORKERS__HELD_PACKETS` is `workers.held-packets`: the prefix, then the keys in upper case,
    /// `_` for `-` and `__` between a section and its key. A value is text as it would stand in the file, or a list or a
    /// mapping in brackets or braces. Keys that nobody knows are problems as they are in the file.
    public func overridden(
        by environment: [String: String], prefix: String
    ) throws(ConfigurationProblem) -> YAMLFile {
        let names = prefix.isEmpty ? [] : environment.keys.filter { $0.hasPrefix(prefix) }.sorted()
        guard !names.isEmpty else { return self }
        var root = root
        for (index, name) in names.enumerated() {
            let words = Self.words(of: name.dropFirst(prefix.count))
            guard words.allSatisfy({ !$0.isEmpty }) else {
                throw ConfigurationProblem(
                    file: name, message: "names no key",
                    remedy: "write \(prefix)KEY, or \(prefix)SECTION__KEY with two underscores")
            }
            let value = Self.node(environment[name] ?? "", origin: index + 1)
            if let stop = Self.put(value, at: words[...], in: &root) {
                throw ConfigurationProblem(
                    file: name, message: "'\(stop)' is no section of the file",
                    remedy: "give the whole of it, as in \(prefix)\(Self.name(of: words, upTo: stop))='[…]'")
            }
        }
        return YAMLFile(name: self.name, root: root, variables: names)
    }

    /// `CRTP__DETECT_MULTIPLIER` to `crtp`, `detect-multiplier`.
    private static func words(of name: Substring) -> [String] {
        var words = [""]
        var rest = name[...]
        while let first = rest.first {
            if rest.hasPrefix("__") {
                words.append("")
                rest = rest.dropFirst(2)
            } else {
                words[words.count - 1] += first == "_" ? "-" : first.lowercased()
                rest = rest.dropFirst()
            }
        }
        return words
    }

    private static func name(of words: [String], upTo last: String) -> String {
        let shown = words.prefix((words.firstIndex(of: last) ?? words.count - 1) + 1)
        return shown.map { $0.uppercased().replacing("-", with: "_") }.joined(separator: "__")
    }

    private static func node(_ text: String, origin: Int) -> YAMLNode {
        var mark = YAMLMark.none
        mark.origin = origin
        let isCollection = text.hasPrefix("[") || text.hasPrefix("{")
        guard isCollection, let parsed = try? compose(text, name: "") else {
            return .scalar(text, isPlain: true, mark)
        }
        return parsed.marked(mark)
    }

    /// nil when the value has its place; otherwise the key that stands in the way.
    private static func put(_ value: YAMLNode, at words: ArraySlice<String>, in node: inout YAMLNode) -> String? {
        guard let key = words.first else {
            node = value
            return nil
        }
        if node.isNull { node = .mapping([], node.mark) }
        guard case .mapping(var entries, let mark) = node else { return words.first }
        let place = entries.firstIndex { $0.key == key }
        var inner = place.map { entries[$0].value } ?? .mapping([], value.mark)
        if words.count > 1, case .list = inner { return key }
        if let stop = put(value, at: words.dropFirst(), in: &inner) { return stop }
        if let place {
            entries[place].value = inner
        } else {
            entries.append(YAMLEntry(key: key, mark: value.mark, value: inner))
        }
        node = .mapping(entries, mark)
        return nil
    }
}

extension YAMLNode {
    /// The same with one mark everywhere.
    fileprivate func marked(_ mark: YAMLMark) -> YAMLNode {
        switch self {
        case .scalar(let text, let isPlain, _): .scalar(text, isPlain: isPlain, mark)
        case .list(let nodes, _): .list(nodes.map { $0.marked(mark) }, mark)
        case .mapping(let entries, _):
            .mapping(entries.map { YAMLEntry(key: $0.key, mark: mark, value: $0.value.marked(mark)) }, mark)
        }
    }
}
