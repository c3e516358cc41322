import Control
import InterCore
import StrictYAML
import Wire

/// Entries that an earlier one makes useless. Precedence is the file's order, and a reader of a rule that never
/// matches deserves to be told.
extension ConfigurationReader {
    func checkShadows(
        rules: [MarkedEntry<DirectorConfiguration.Rule>], routes: [MarkedEntry<DirectorConfiguration.Route>],
        _ file: YAMLSection
    ) {
        for (index, route) in routes.enumerated() {
            let earlier = routes[..<index]
            let shadows = route.values.map { value in
                earlier.first { $0.values.contains { Self.covers($0.match, value.match) } }.map { Shadow(route: $0) }
            }
            report(shadows, "the route \(route.name)", at: route.mark, file)
        }
        for (index, rule) in rules.enumerated() where rule.values.first?.match.mode != .off {
            let earlier = rules[..<index]
            let shadows = rule.values.map { value -> Shadow? in
                if let route = routes.first(where: { $0.values.contains { Self.covers($0.match, value.match) } }) {
                    return Shadow(route: route)
                }
                let shadow = earlier.first { $0.name != rule.name && $0.values.contains { Self.covers($0, value) } }
                return shadow.map { Shadow(rule: $0) }
            }
            report(shadows, "rule '\(rule.name)'", at: rule.mark, file)
        }
    }

    /// What comes first and takes all.
    private struct Shadow {
        var what: String
        var remedy: String

        init(rule: MarkedEntry<DirectorConfiguration.Rule>) {
            what = "rule '\(rule.name)' in line \(rule.mark.line)"
            remedy = "move it above line \(rule.mark.line), or narrow '\(rule.name)'"
        }

        init(route: MarkedEntry<DirectorConfiguration.Route>) {
            what = "the route in line \(route.mark.line)"
            remedy = "remove it, or narrow the route in line \(route.mark.line)"
        }
    }

    /// All of an entry shadowed is an error; a part of it, a warning.
    private func report(_ shadows: [Shadow?], _ entry: String, at mark: YAMLMark, _ file: YAMLSection) {
        guard let first = shadows.lazy.compactMap({ $0 }).first else { return }
        let count = shadows.count { $0 != nil }
        if count == shadows.count {
            file.report(
                "\(entry) can never match: \(first.what) takes everything that it would", remedy: first.remedy, at: mark
            )
        } else {
            file.report(
                "\(count) of \(shadows.count) combinations of ports and prefixes of \(entry) can never match: "
                    + "\(first.what) takes them",
                remedy: first.remedy, at: mark, severity: .warning)
        }
    }

    private static func covers(_ left: RouteRule, _ right: RouteRule) -> Bool {
        left.client.covers(right.client) && left.server.covers(right.server) && left.firstPort <= right.firstPort
            && left.lastPort >= right.lastPort
    }

    private static func covers(_ left: RouteRule, _ right: CandidateRule) -> Bool {
        left.client.covers(right.client) && left.server.covers(right.server) && left.firstPort <= right.firstPort
            && left.lastPort >= right.lastPort
    }

    private static func covers(_ left: DirectorConfiguration.Rule, _ right: DirectorConfiguration.Rule) -> Bool {
        left.match.mode != .off
            && left.match.client.covers(right.match.client) && left.match.server.covers(right.match.server)
            && left.match.firstPort <= right.match.firstPort && left.match.lastPort >= right.match.lastPort
            && left.match.applications.isSuperset(of: right.match.applications)
            && (left.match.isPublic || !right.match.isPublic)
            && (right.match.applications.isDisjoint(with: [.tls, .quic]) || left.alpn.isSuperset(of: right.alpn))
            && covers(left.hosts, right.hosts, hostCovers) && covers(left.paths, right.paths, pathCovers)
    }

    /// No pattern at all matches everything.
    private static func covers(
        _ left: [String], _ right: [String], _ patternCovers: (String, String) -> Bool
    ) -> Bool {
        if left.isEmpty { return true }
        return !right.isEmpty && right.allSatisfy { pattern in left.contains { patternCovers($0, pattern) } }
    }

    private static func hostCovers(_ left: String, _ right: String) -> Bool {
        left == right || left.hasPrefix("*.") && right.hasSuffix(left.dropFirst())
    }

    private static func pathCovers(_ left: String, _ right: String) -> Bool {
        left == right || left.hasSuffix("*") && right.hasPrefix(left.dropLast())
    }
}
