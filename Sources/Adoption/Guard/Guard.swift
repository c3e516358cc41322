/// The rules in force. They are installed at start and replaced by the next start; a crash leaves them, which is
/// meant: they keep the kernel silent about sockets that died with the agent.
public struct Guard: Sendable {
    public let rules: GuardRules

    /// Installs the rules, or replaces those of a former run.
    public static func install(_ rules: GuardRules) throws -> Guard {
        try Command.run(["nft", "-f", "-"], input: rules.installation)
        for arguments in rules.routes where !(arguments.contains("-6") && !hasIPv6) { try Command.run(arguments) }
        for isV4 in [true, false] where isV4 || hasIPv6 {
            do {
                try Command.run(rules.rule("add", isV4: isV4))
            } catch let failure as Command.Failure where failure.output.contains("File exists") {
                continue
            }
        }
        return Guard(rules: rules)
    }

    /// Takes the rules away. To be called only when no uncommitted socket is left.
    public func remove() {
        Guard.remove(rules)
    }

    public static func remove(_ rules: GuardRules) {
        for isV4 in [true, false] { removeRule(rules, isV4: isV4) }
        for arguments in rules.routes {
            _ = try? Command.run(arguments.map { $0 == "replace" ? "del" : $0 })
        }
        _ = try? Command.run(["nft", "-f", "-"], input: rules.removal)
    }

    /// A host without IPv6 has no table for it.
    private static var hasIPv6: Bool {
        (try? Command.run(["ip", "-6", "rule", "show"]))?.isEmpty == false
    }

    private static func removeRule(_ rules: GuardRules, isV4: Bool) {
        // More than one only if something else added the same rule; bounded.
        for _ in 0..<8 {
            guard (try? Command.run(rules.rule("del", isV4: isV4))) != nil else { return }
        }
    }
}
