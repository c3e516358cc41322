import CRTP
import Control
import InterCore
import StrictYAML
import Wire

/// An entry of `rules` or `routes` with the place where it stands. One entry with several ports or prefixes is several
/// values that share its name.
struct MarkedEntry<Value> {
    var name: String
    var mark: YAMLMark
    var values: [Value]
}

extension ConfigurationReader {
    /// Rules and routes, in this order: routes are checked against nothing but routes, rules against both.
    mutating func readRules(_ file: YAMLSection) {
        let rules = file.sections("rules") { rule($0) }
        let routes = file.sections("routes") { route($0) }
        configuration.rules = rules.flatMap(\.values)
        configuration.routes = routes.flatMap(\.values)
        for (index, rule) in rules.enumerated() {
            if let first = rules[..<index].first(where: { $0.name == rule.name }) {
                file.report(
                    "rule '\(rule.name)' stands here again; the first is in line \(first.mark.line)",
                    remedy: "give it another name", at: rule.mark)
            }
        }
        if configuration.rules.count > Self.ruleLimit {
            file.report(
                "the rules come to \(configuration.rules.count) combinations of ports and prefixes; at most "
                    + "\(Self.ruleLimit) are possible",
                remedy: "use port ranges, wider prefixes, or fewer rules", at: "rules")
        }
        // Overlaps are for people to read; beyond the limit there is a larger problem already.
        guard configuration.rules.count <= 8 * Self.ruleLimit, configuration.routes.count <= 4_096 else { return }
        checkShadows(rules: rules, routes: routes, file)
    }

    /// A rule's index is its bit in `HeldRequest.rules`.
    static var ruleLimit: Int { 64 }

    private func rule(_ section: YAMLSection) -> MarkedEntry<DirectorConfiguration.Rule>? {
        let name = section.required("name", .name)
        let ports = section.required("ports", .list(of: .ports, minimum: 1)) ?? [0...65_535]
        let servers = prefixes(section, "servers")
        let clients = prefixes(section, "clients")
        var rule = DirectorConfiguration.Rule(name: name ?? "?")
        let applications = section.value("application", .list(of: .application, minimum: 1), default: [.httpGet])
        rule.match.applications = applications.reduce(Application(rawValue: 0)) { $0.union($1) }
        rule.hosts = section.value("hosts", .list(of: .host, minimum: 1), default: [])
        rule.paths = section.value("paths", .list(of: .path, minimum: 1), default: [])
        rule.match.isPublic = section.value("public", .bool, default: false)
        rule.match.mode = section.value("mode", .mode, default: .on)
        rule.match.isAsymmetric = section.value("asymmetric", .bool, default: false)
        rule.proxies = section.value("proxies", .list(of: YAMLKind<String>.string.marked, minimum: 1), default: []).map
        {
            checkProxy($0, section)
            return $0.value
        }
        rule.laterRequests = section.value(
            "later-requests", YAMLKind<DirectorConfiguration.LaterRequests>.choice, default: rule.laterRequests)
        rule.match.followsOrigin = section.value("follow-origin", .bool, default: false)
        checkFollowing(rule, section)
        rule.resetBy = section.value("reset-by", YAMLKind<DirectorConfiguration.ResetBy>.choice, default: rule.resetBy)
        let alpn: ALPN = rule.match.applications.contains(.quic) ? .http3 : rule.alpn
        rule.alpn = section.value("alpn", .list(of: .alpn, minimum: 1), default: [alpn]).reduce([]) {
            $0.union($1)
        }
        rule.algorithm = section.optional("algorithm", .algorithm)
        checkMulticast(rule, section)
        rule.handOff = section.value("handoff", YAMLKind<DirectorConfiguration.HandOff>.choice, default: rule.handOff)
        rule.priority = section.value("priority", .integer(in: 0...1_000), default: rule.priority)
        rule.requirements = section.section("requirements", Self.requirements)
        checkHandOff(rule, section)
        checkApplications(rule, section)
        guard name != nil else { return nil }
        let values = combinations(ports, servers, clients).map { ports, server, client in
            var value = rule
            (value.match.firstPort, value.match.lastPort) = (ports.lowerBound, ports.upperBound)
            (value.match.server, value.match.client) = (server, client)
            return value
        }
        return MarkedEntry(name: rule.name, mark: section.mark, values: values)
    }

    private static func requirements(_ section: YAMLSection) -> Requirements {
        Requirements(
            bandwidth: section.value("bandwidth", .bitRate, default: 0),
            delay: UInt32(section.value("delay", .duration(in: 0...60_000_000), default: 0)),
            trafficClass: section.optional("class", .integer(in: 0...63)))
    }

    /// Answers that do not pass here cannot be followed, nor can a proxy be kept from resetting what is another's.
    private func checkFollowing(_ rule: DirectorConfiguration.Rule, _ section: YAMLSection) {
        if rule.laterRequests == .move, rule.match.isAsymmetric {
            section.report(
                "'later-requests: move' needs the proxies' answers, and with 'asymmetric' they go another way",
                remedy: "remove one of the two", at: "later-requests")
        }
        guard rule.match.followsOrigin else { return }
        if rule.match.isAsymmetric {
            section.report(
                "'follow-origin' needs the origin's answers, and with 'asymmetric' they go another way",
                remedy: "remove one of the two", at: "follow-origin")
        } else if !rule.match.applications.contains(.httpGet) {
            section.report(
                "'follow-origin' is about HTTP, and this rule is not",
                remedy: "remove it, or add http-get to 'application'", at: "follow-origin")
        }
    }

    /// A group cannot be asked in part.
    private func checkMulticast(_ rule: DirectorConfiguration.Rule, _ section: YAMLSection) {
        guard rule.algorithm ?? configuration.crtp.algorithm == .multicast else { return }
        let place = section.has("algorithm") ? "algorithm" : "name"
        if configuration.crtp.multicast == nil {
            section.report(
                "the algorithm is 'multicast', but there is no group",
                remedy: "add crtp: { multicast: { group: \"239.192.0.1:7443\" } }", at: place)
        }
        if !rule.proxies.isEmpty {
            section.report(
                "'proxies' has no meaning with the algorithm 'multicast': the whole group is asked",
                remedy: "remove 'proxies', or choose another algorithm", at: "proxies")
        }
    }

    private func route(_ section: YAMLSection) -> MarkedEntry<DirectorConfiguration.Route>? {
        let ports = section.value("ports", .list(of: .ports, minimum: 1), default: [0...65_535])
        let servers = prefixes(section, "servers")
        let clients = prefixes(section, "clients")
        guard let to = section.required("to", YAMLKind<String>.string.marked) else { return nil }
        var route = DirectorConfiguration.Route()
        if to.value != "origin" {
            checkProxy(to, section, orOrigin: true)
            route.proxy = to.value
            let index = configuration.proxies.firstIndex { $0.name == to.value }
            route.match.proxy = index.flatMap { UInt8(exactly: $0) }.map { ProxyIndex($0) } ?? .none
        }
        let values = combinations(ports, servers, clients).map { ports, server, client in
            var value = route
            (value.match.firstPort, value.match.lastPort) = (ports.lowerBound, ports.upperBound)
            (value.match.server, value.match.client) = (server, client)
            return value
        }
        return MarkedEntry(name: "to \(to.value)", mark: section.mark, values: values)
    }

    private func prefixes(_ section: YAMLSection, _ key: String) -> [AddressPrefix] {
        let prefixes = section.optional(key, .list(of: YAMLKind<AddressPrefix>.prefix.marked, minimum: 1))
        guard let prefixes else { return [.any] }
        for prefix in prefixes where prefix.value.network != prefix.value {
            section.report(
                "\(prefix.value) has bits behind its length", remedy: "write \(prefix.value.network)", at: prefix.mark,
                severity: .warning)
        }
        return prefixes.map(\.value.network)
    }

    private func combinations(
        _ ports: [ClosedRange<UInt16>], _ servers: [AddressPrefix], _ clients: [AddressPrefix]
    ) -> [(ClosedRange<UInt16>, AddressPrefix, AddressPrefix)] {
        // A hostile file is stopped before it becomes a large one: the limit's own check sees the excess.
        let all = servers.lazy.flatMap { server in
            clients.lazy.flatMap { client in ports.lazy.map { ($0, server, client) } }
        }
        return Array(all.prefix(16_384))
    }

    private func checkProxy(_ name: Marked<String>, _ section: YAMLSection, orOrigin: Bool = false) {
        let names = configuration.proxies.map(\.name)
        guard !names.contains(name.value) else { return }
        let choices = (orOrigin ? ["origin"] : []) + names
        let guess = nearest(to: name.value, among: choices).map { "did you mean '\($0)'? " } ?? ""
        let known = choices.isEmpty ? "none" : choices.joined(separator: ", ")
        section.report("unknown proxy '\(name.value)'", remedy: "\(guess)(known proxies: \(known))", at: name.mark)
    }

    private func checkApplications(_ rule: DirectorConfiguration.Rule, _ section: YAMLSection) {
        let http: Application = [.httpGet, .httpOther]
        if section.has("paths"), rule.match.applications.isDisjoint(with: http) {
            section.report(
                "'paths' has no meaning for a rule without HTTP",
                remedy: "remove 'paths', or add http-get to 'application'",
                at: "paths")
        }
        if section.has("alpn"), rule.match.applications.isDisjoint(with: [.tls, .quic]) {
            section.report(
                "'alpn' has no meaning for a rule without TLS", remedy: "remove 'alpn', or add tls to 'application'",
                at: "alpn")
        }
        if rule.match.applications.isOverUDP { checkDatagrams(rule, section) }
    }

    /// A rule is about TCP or about UDP, and what belongs to connections has no meaning for datagrams.
    private func checkDatagrams(_ rule: DirectorConfiguration.Rule, _ section: YAMLSection) {
        if !rule.match.applications.isSubset(of: .overUDP) {
            section.report(
                "dns and quic are over UDP, the other applications over TCP", remedy: "make a rule of each",
                at: "application")
        }
        for key in ["public", "asymmetric", "reset-by", "requirements", "handoff"] where section.has(key) {
            section.report("'\(key)' has no meaning for UDP", remedy: "remove it", at: key)
        }
    }
}

extension AddressPrefix {
    /// The prefix with the bits behind its length cleared.
    var network: AddressPrefix {
        let high = length >= 64 ? address.high : length == 0 ? 0 : address.high & ~(~UInt64(0) >> UInt64(length))
        let low = length == 128 ? address.low : length <= 64 ? 0 : address.low & ~(~UInt64(0) >> UInt64(length - 64))
        return AddressPrefix(IPAddress(high: high, low: low), length: length)
    }

    /// Every address of `other` is in this prefix too.
    func covers(_ other: AddressPrefix) -> Bool { length <= other.length && contains(other.address) }
}
