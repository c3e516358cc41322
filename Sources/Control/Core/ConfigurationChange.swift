/// One difference between the configuration in force and another one, in the words of the file.
public struct ConfigurationChange: Codable, Equatable, Sendable {
    public enum Kind: String, Codable, Sendable { case added, removed, changed, moved }

    public var kind: Kind
    /// `timeout.floor`, `proxies.p3`, `rules.web.hosts`.
    public var key: String
    /// Absent for what is added.
    public var from: String?
    /// Absent for what is removed.
    public var to: String?
    /// Only a restart can bring it: it refuses the whole reload.
    public var needsRestart = false

    public init(_ kind: Kind, _ key: String, from: String? = nil, to: String? = nil, needsRestart: Bool = false) {
        self.kind = kind
        self.key = key
        self.from = from
        self.to = to
        self.needsRestart = needsRestart
    }
}

extension DirectorConfiguration {
    /// What changes from this configuration to `other`, in the file's order.
    public func changes(to other: DirectorConfiguration) -> [ConfigurationChange] {
        var changes: [ConfigurationChange] = []
        for (before, after) in zip(settings, other.settings) where before.text != after.text {
            changes.append(
                ConfigurationChange(
                    .changed, before.key, from: before.text, to: after.text, needsRestart: before.needsRestart))
        }
        changes += Self.changes("proxies", proxies.map(\.described), other.proxies.map(\.described), isOrdered: false)
        let placed =
            Self.changes(
                "classifiers", classifiers.map(\.described), other.classifiers.map(\.described), isOrdered: true)
            + Self.changes(
                "virtual-servers", virtualServers.map(\.described), other.virtualServers.map(\.described),
                isOrdered: true)
        changes += placed.map { change in
            // Their places are in the workers' memory, and in connections.
            var change = change
            change.needsRestart = true
            return change
        }
        changes += Self.changes("rules", describedRules, other.describedRules, isOrdered: true)
        changes += Self.changes(
            "routes", routes.map(\.described), other.routes.map(\.described), isOrdered: true)
        return changes
    }

    private static func changes(
        _ list: String, _ before: [DescribedEntry], _ after: [DescribedEntry], isOrdered: Bool
    ) -> [ConfigurationChange] {
        var changes: [ConfigurationChange] = []
        for entry in before where !after.contains(where: { $0.name == entry.name }) {
            changes.append(ConfigurationChange(.removed, "\(list).\(entry.name)", from: entry.summary))
        }
        for entry in after {
            guard let former = before.first(where: { $0.name == entry.name }) else {
                changes.append(ConfigurationChange(.added, "\(list).\(entry.name)", to: entry.summary))
                continue
            }
            for (one, other) in zip(former.settings, entry.settings) where one.text != other.text {
                changes.append(
                    ConfigurationChange(
                        .changed, "\(list).\(entry.name).\(one.key)", from: one.text, to: other.text,
                        needsRestart: one.needsRestart))
            }
        }
        let kept = before.map(\.name).filter { name in after.contains { $0.name == name } }
        let order = after.map(\.name).filter { name in before.contains { $0.name == name } }
        if isOrdered, kept != order {
            changes.append(
                ConfigurationChange(
                    .moved, list, from: kept.joined(separator: ", "), to: order.joined(separator: ", ")))
        }
        return changes
    }
}
