/// How a value is read: what it expects, in words, and how it comes from a node. Kinds are put together:
/// `.list(of: .integer(in: 1...65_535))`.
public struct YAMLKind<Value> {
    /// For messages: `an integer between 1 and 65535`.
    public let expected: String
    let decode: (YAMLNode, YAMLPlace) -> Value?

    /// `decode` reports by itself what is wrong, and gives nil then.
    init(expected: String, decode: @escaping (YAMLNode, YAMLPlace) -> Value?) {
        self.expected = expected
        self.decode = decode
    }

    /// A kind of one's own, from a scalar's text: `.text("an IP address such as 10.0.0.1") { IPAddress($0) }`.
    public static func text(_ expected: String, _ parse: @escaping (String) -> Value?) -> YAMLKind {
        YAMLKind(expected: expected) { node, place in
            guard case .scalar(let text, _, _) = node, !node.isNull, let value = parse(text) else {
                place.mismatch(expected, node)
                return nil
            }
            return value
        }
    }

    /// The value with the place where it stands.
    public var marked: YAMLKind<Marked<Value>> {
        YAMLKind<Marked<Value>>(expected: expected) { node, place in
            decode(node, place).map { Marked($0, at: node.mark) }
        }
    }

    /// The value in another form; nil is a mismatch.
    public func map<Other>(_ transform: @escaping (Value) -> Other?) -> YAMLKind<Other> {
        YAMLKind<Other>(expected: expected) { node, place in
            guard let value = decode(node, place) else { return nil }
            guard let other = transform(value) else {
                place.mismatch(expected, node)
                return nil
            }
            return other
        }
    }

    /// For scalars without quotes, where quotes mean text.
    static func plain(_ expected: String, remedy: String, _ parse: @escaping (String) -> Value?) -> YAMLKind {
        YAMLKind(expected: expected) { node, place in
            guard case .scalar(let text, let isPlain, _) = node, !node.isNull else {
                place.mismatch(expected, node, remedy: remedy)
                return nil
            }
            guard let value = parse(text) else {
                place.mismatch(expected, node, remedy: remedy)
                return nil
            }
            guard isPlain else {
                place.mismatch(expected, node, found: "text in quotes", remedy: "remove the quotes")
                return nil
            }
            return value
        }
    }
}

/// Where a value stands and where its problems go.
struct YAMLPlace {
    /// What messages call the value: `'port'`.
    var label: String
    let log: ProblemLog

    func mismatch(_ expected: String, _ node: YAMLNode, found: String? = nil, remedy: String = "") {
        let found = found ?? node.summary
        log.report(.error, "\(label) expects \(expected), but \(found) stands here", remedy: remedy, at: node.mark)
    }
}

// MARK: Scalars

extension YAMLKind<String> {
    /// Text, with or without quotes, not empty.
    public static var string: YAMLKind {
        YAMLKind(expected: "text") { node, place in
            guard case .scalar(let text, _, _) = node, !node.isNull, !text.isEmpty else {
                place.mismatch("text", node, remedy: "write one value")
                return nil
            }
            return text
        }
    }
}

extension YAMLKind<Bool> {
    /// `true` or `false`; `yes`, `no`, `on` and `off` mean the same.
    public static var bool: YAMLKind {
        .plain("true or false", remedy: "write true or false") { text in
            switch text.lowercased() {
            case "true", "yes", "on": true
            case "false", "no", "off": false
            default: nil
            }
        }
    }
}

extension YAMLKind where Value: FixedWidthInteger {
    /// A decimal integer, `65536` or `65_536`.
    public static func integer(in range: ClosedRange<Value>) -> YAMLKind {
        .plain("an integer between \(range.lowerBound) and \(range.upperBound)", remedy: "write a number in that range")
        {
            decimal($0).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// Digits without a leading zero (other programs would read it as octal), with `_` between them at will.
    static func decimal(_ text: String) -> Value? {
        let digits = text.replacing("_", with: "")
        let isPadded = digits.count > 1 && digits.hasPrefix("0")
        if isPadded || text.hasPrefix("_") || text.hasPrefix("+") { return nil }
        return Value(digits)
    }
}

extension YAMLKind<Double> {
    public static func number(in range: ClosedRange<Double>) -> YAMLKind {
        .plain("a number between \(range.lowerBound) and \(range.upperBound)", remedy: "write a number in that range") {
            Double($0).flatMap { range.contains($0) ? $0 : nil }
        }
    }
}

// MARK: Choices and lists

extension YAMLKind {
    /// One of some words.
    public static func choice(_ words: KeyValuePairs<String, Value>) -> YAMLKind {
        let names = words.map(\.key)
        let expected = "one of \(names.joined(separator: ", "))"
        return YAMLKind(expected: expected) { node, place in
            guard case .scalar(let text, _, _) = node else {
                place.mismatch(expected, node)
                return nil
            }
            if let match = words.first(where: { $0.key == text }) { return match.value }
            place.mismatch(
                expected, node, remedy: nearest(to: text, among: names).map { "did you mean '\($0)'?" } ?? "")
            return nil
        }
    }

    /// Any number of values of a kind, at least `minimum`.
    public static func list<Element>(of kind: YAMLKind<Element>, minimum: Int = 0) -> YAMLKind
    where Value == [Element] {
        YAMLKind(expected: "a list, each \(kind.expected)") { node, place in
            guard case .list(let nodes, _) = node else {
                place.mismatch("a list", node, remedy: "write [a, b], each \(kind.expected)")
                return nil
            }
            if nodes.count < minimum {
                place.mismatch(
                    "at least \(minimum == 1 ? "one value" : "\(minimum) values")", node, remedy: "write [a, b]")
                return nil
            }
            let entryPlace = YAMLPlace(label: "an entry of \(place.label)", log: place.log)
            return nodes.compactMap { kind.decode($0, entryPlace) }
        }
    }
}

extension YAMLKind where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of an enumeration's raw values.
    public static var choice: YAMLKind { choice(of: Value.self) }

    private static func choice(of type: Value.Type) -> YAMLKind {
        let names = type.allCases.map(\.rawValue)
        let expected = "one of \(names.joined(separator: ", "))"
        return YAMLKind(expected: expected) { node, place in
            if case .scalar(let text, _, _) = node {
                if let value = Value(rawValue: text) { return value }
                let guess = nearest(to: text, among: names).map { "did you mean '\($0)'?" } ?? ""
                place.mismatch(expected, node, remedy: guess)
            } else {
                place.mismatch(expected, node)
            }
            return nil
        }
    }
}
