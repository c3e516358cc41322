import Foundation

/// A pre-shared key that a file names by its number.
public struct NumberedSecret: Equatable, Sendable {
    public var path: String
    /// Seconds since 1970 between which sessions may begin with it; nil for no bound.
    public var notBefore: Int64?
    public var notAfter: Int64?
    /// nil when it cannot be read, or its time is over.
    public var bytes: [UInt8]?
}

extension YAMLSection {
    /// `keys` and `current-key`: numbers with files, read now. What is wrong with any of them is reported.
    ///
    ///     keys: { 1: /etc/baton/key1, 2: { file: /etc/baton/key2, not-after: 2027-01-31T00:00:00Z } }
    ///     current-key: 1
    ///
    /// - Parameter fallback: The current key when there are several and none is named; nil for the first.
    public func numberedSecrets(
        current fallback: UInt8? = nil
    ) -> (secrets: [UInt8: NumberedSecret], current: UInt8) {
        let now = Int64(Date().timeIntervalSince1970)
        let entries = mixed(
            "keys", keys: .integer(in: 0...UInt8.max), text: YAMLKind<String>.string.marked, Self.secretFile)
        var secrets: [UInt8: NumberedSecret] = [:]
        for (id, entry) in entries {
            guard let file = entry.path else { continue }
            var secret = NumberedSecret(
                path: resolve(file.value), notBefore: entry.notBefore, notAfter: entry.notAfter,
                bytes: self.secret(at: file))
            if let end = entry.notAfter, end <= now {
                secret.bytes = nil
                report(
                    "key \(id.value) is over since \(timestampText(end)): it is not used",
                    remedy: "take it out of 'keys'", at: id.mark, severity: .warning)
            }
            secrets[id.value] = secret
        }
        let only = entries.count == 1 ? entries[0].key.value : nil
        let current = value(
            "current-key", .integer(in: 0...UInt8.max), default: only ?? fallback ?? entries.first?.key.value ?? 0)
        if !entries.isEmpty { check(current, secrets, now) }
        return (secrets, current)
    }

    private func check(_ current: UInt8, _ secrets: [UInt8: NumberedSecret], _ now: Int64) {
        let place = has("current-key") ? "current-key" : "keys"
        guard let secret = secrets[current] else {
            let known = secrets.keys.sorted().map(String.init).joined(separator: ", ")
            return report(
                "'current-key' is \(current), but 'keys' has no such key", remedy: "name one of \(known)", at: place)
        }
        if let start = secret.notBefore, start > now {
            report(
                "key \(current) is the current one, but may not be used before \(timestampText(start))",
                remedy: "name another key in 'current-key'", at: place)
        }
        if let end = secret.notAfter, end <= now {
            report(
                "key \(current) is the current one, but may not be used after \(timestampText(end))",
                remedy: "make a new key and name it in 'current-key'", at: place)
        }
    }

    private typealias SecretFile = (path: Marked<String>?, notBefore: Int64?, notAfter: Int64?)

    private static func secretFile(_ entry: MixedEntry<Marked<String>>) -> SecretFile {
        switch entry {
        case .text(let path): return (path, nil, nil)
        case .section(let section):
            let file = section.required("file", YAMLKind<String>.string.marked)
            let (start, end) = (section.optional("not-before", .timestamp), section.optional("not-after", .timestamp))
            if let start, let end, end <= start {
                section.report("'not-after' is not later than 'not-before'", remedy: "swap them", at: "not-after")
            }
            return (file, start, end)
        }
    }
}

extension YAMLKind<Int64> {
    /// Seconds since 1970, written as RFC 3339 has it.
    static var timestamp: YAMLKind {
        .text("a time such as 2027-01-31T00:00:00Z") { text in
            (try? Date(text, strategy: .iso8601)).map { Int64($0.timeIntervalSince1970) }
        }
    }
}

/// `2027-01-31T00:00:00Z`
public func timestampText(_ seconds: Int64) -> String {
    Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
}
