/// A place in a file: line and column from 1.
public struct YAMLMark: Equatable, Hashable, Sendable {
    public var line: Int
    public var column: Int
    /// 0 for the file; n for the n-th environment variable that stands in for a part of it.
    var origin = 0

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// No place in particular.
    public static let none = YAMLMark(line: 0, column: 0)
}

/// A value with the place where it stands.
public struct Marked<Value> {
    public var value: Value
    public var mark: YAMLMark

    public init(_ value: Value, at mark: YAMLMark) {
        self.value = value
        self.mark = mark
    }
}

extension Marked: Sendable where Value: Sendable {}
extension Marked: Equatable where Value: Equatable {}

/// A node of the document. Scalars stay text until somebody asks for a type, so `on`, `0x10` or `1:20` mean what the
/// key's reader says and nothing that YAML guesses.
public indirect enum YAMLNode: Equatable, Sendable {
    /// `isPlain`: written without quotes.
    case scalar(String, isPlain: Bool, YAMLMark)
    case list([YAMLNode], YAMLMark)
    case mapping([YAMLEntry], YAMLMark)

    public var mark: YAMLMark {
        switch self {
        case .scalar(_, _, let mark), .list(_, let mark), .mapping(_, let mark): mark
        }
    }

    /// Nothing was written: `key:` alone, `~` or `null`.
    public var isNull: Bool {
        guard case .scalar(let text, isPlain: true, _) = self else { return false }
        return text.isEmpty || text == "~" || text == "null"
    }

    /// What stands here, for a message: `'canry'`, `a list`, `nothing`.
    public var summary: String {
        switch self {
        case .scalar(let text, _, _):
            if isNull { return "nothing" }
            return text.count > 60 ? "'\(text.prefix(60))…'" : "'\(text)'"
        case .list: return "a list"
        case .mapping: return "a mapping"
        }
    }
}

/// A key of a mapping with its value.
public struct YAMLEntry: Equatable, Sendable {
    public var key: String
    public var mark: YAMLMark
    public var value: YAMLNode
}
