internal import CRTP
internal import InterCore
internal import Wire

/// A key of the file with its value as text.
struct DescribedSetting {
    let key: String
    let text: String
    var needsRestart = false

    init(_ key: String, _ value: some Any, needsRestart: Bool = false) {
        self.key = key
        text = "\(value)"
        self.needsRestart = needsRestart
    }
}

/// An entry of `proxies`, `virtual-servers`, `rules` or `routes`.
struct DescribedEntry {
    let name: String
    let settings: [DescribedSetting]

    var summary: String {
        settings.filter { !$0.text.isEmpty }.map { "\($0.key) \($0.text)" }.joined(separator: ", ")
    }
}

extension DirectorConfiguration {
    /// Every key of the file that changes are told of, for entries of lists that are there.
    package var describedKeys: Set<String> {
        let lists = [
            ("proxies", proxies.map(\.described)), ("classifiers", classifiers.map(\.described)),
            ("virtual-servers", virtualServers.map(\.described)),
            ("rules", describedRules), ("routes", routes.map(\.described)),
        ]
        let entries = lists.flatMap { list, entries in
            entries.flatMap { entry in entry.settings.map { "\(list).\($0.key)" } }
        }
        return Set(settings.map(\.key) + entries)
    }

    /// All keys outside of lists, in the file's order and always the same ones.
    var settings: [DescribedSetting] {
        [
            DescribedSetting("name", name), DescribedSetting("role", role.rawValue, needsRestart: true),
            DescribedSetting("log", logLevel),
            DescribedSetting("log-format", logFormat, needsRestart: true),
            DescribedSetting("log-lines-per-second", logLinesPerSecond),
            DescribedSetting("ports.client", list(ports.client), needsRestart: true),
            DescribedSetting("ports.server", list(ports.server), needsRestart: true),
            DescribedSetting("ports.queues", ports.queues, needsRestart: true),
            DescribedSetting("host.agent", host?.agent ?? "", needsRestart: true),
            DescribedSetting("tunnel-address", list(tunnelAddresses.map { "\($0)" }), needsRestart: true),
            DescribedSetting("forwarders.kind", forwarders.map { "\($0.kind)" } ?? "", needsRestart: true),
            DescribedSetting(
                "forwarders.vni", forwarders.map { $0.kind == .vxlan ? "\($0.network)" : "" } ?? "", needsRestart: true),
            DescribedSetting(
                "forwarders.addresses", list(forwarders?.addresses.map { "\($0)" } ?? []), needsRestart: true),
            DescribedSetting("forwarders.gateway", forwarders.map { "\($0.gateway)" } ?? "", needsRestart: true),
            DescribedSetting("forwarders.mtu", forwarders.map { "\($0.mtu)" } ?? "", needsRestart: true),
        ] + workers.settings + crtp.settings + timeout.settings + [
            DescribedSetting("control.socket", control.path, needsRestart: true),
            DescribedSetting("control.group", control.group ?? "", needsRestart: true),
            DescribedSetting("metrics.listen", metrics.listen.map { "\($0)" } ?? "", needsRestart: true),
            DescribedSetting("page.listen", page.listen.map { "\($0)" } ?? "", needsRestart: true),
        ]
    }

    /// The file's entries: one that comes to several combinations of ports and prefixes is one here.
    var describedRules: [DescribedEntry] {
        var names: [String] = []
        for rule in rules where names.last != rule.name { names.append(rule.name) }
        return names.map { name in
            let combinations = rules.filter { $0.name == name }
            return combinations[0].described(with: combinations.map(\.match))
        }
    }
}

extension DirectorConfiguration.Workers {
    /// Tables, buffers and rings are made once; the times live in the workers' memory.
    fileprivate var settings: [DescribedSetting] {
        let values: [(String, String)] = [
            ("count", "\(count)"), ("flows", "\(flowCapacity)"), ("flows-ipv6", "\(flowCapacityIPv6)"),
            ("udp-flows", "\(datagramFlowCapacity)"),
            ("held-packets", "\(heldPackets)"), ("held-flows", "\(heldFlows)"), ("head-limit", "\(headLimit)"),
            ("incomplete-head", duration(incompleteHeadMicroseconds)), ("idle", "\(idle)"),
            ("transmit-delay", duration(transmitDelayMicroseconds)), ("mbufs", "\(mbufs)"),
            ("maximum-segment", "\(maximumSegment)"), ("recovery", duration(recoveryMicroseconds)),
            ("lifetimes.syn-only", duration(synOnlyMicroseconds)), ("lifetimes.idle", duration(idleMicroseconds)),
            ("lifetimes.committed", duration(committedIdleMicroseconds)),
            ("lifetimes.closed", duration(closedMicroseconds)),
            ("lifetimes.udp", duration(datagramIdleMicroseconds)),
        ]
        return values.map { DescribedSetting("workers.\($0)", $1, needsRestart: true) }
    }
}

extension DirectorConfiguration.CRTPSettings {
    fileprivate var settings: [DescribedSetting] {
        [
            DescribedSetting("crtp.listen", listen, needsRestart: true),
            DescribedSetting("crtp.via", via.rawValue, needsRestart: true),
            DescribedSetting("crtp.vlan", vlan.isTagged ? "\(vlan.value)" : "", needsRestart: true),
            DescribedSetting("crtp.keys", list(keyFiles.sorted { $0.key < $1.key }.map(text))),
            DescribedSetting("crtp.current-key", currentKey), DescribedSetting("crtp.protection", channel.protection),
            DescribedSetting("crtp.algorithm", algorithm.name),
            DescribedSetting("crtp.keepalive", duration(channel.keepaliveMicroseconds)),
            DescribedSetting("crtp.detect-multiplier", channel.detectMultiplier),
            DescribedSetting("crtp.retry", duration(channel.initiateRetryMicroseconds)),
            DescribedSetting("crtp.tries", choice.tries),
            DescribedSetting("crtp.set-aside-after", choice.setAsideAfter),
            DescribedSetting("crtp.probe", duration(choice.probeMicroseconds)),
            DescribedSetting("crtp.refusal-lifetime", duration(choice.refusalLifetimeMicroseconds)),
            DescribedSetting("crtp.refusals", choice.refusals), DescribedSetting("crtp.queue", queue.requests),
            DescribedSetting("crtp.queue-time", duration(queue.patienceMicroseconds)),
            DescribedSetting("crtp.multicast.group", multicast.map { "\($0.group)" } ?? "", needsRestart: true),
            DescribedSetting("crtp.multicast.interface", multicast?.interface ?? "", needsRestart: true),
            DescribedSetting("crtp.multicast.hops", multicast.map { "\($0.hops)" } ?? "", needsRestart: true),
            DescribedSetting("crtp.tls.ca", tls.authority ?? ""),
            DescribedSetting("crtp.tls.certificate", tls.certificate ?? ""),
            DescribedSetting("crtp.tls.key", tls.key ?? ""),
        ]
    }

    private func text(_ id: UInt8, _ file: KeyFile) -> String {
        let times = [("not-before", file.notBefore), ("not-after", file.notAfter)].compactMap { name, time in
            time.map { " \(name) \($0)" }
        }
        return "\(id): \(file.path)\(times.joined())"
    }
}

extension DirectorConfiguration.TimeoutSettings {
    fileprivate var settings: [DescribedSetting] {
        [
            DescribedSetting("timeout.k", k),
            DescribedSetting("timeout.granularity", duration(granularityMicroseconds)),
            DescribedSetting("timeout.floor", duration(floorMicroseconds)),
            DescribedSetting("timeout.ceiling", duration(ceilingMicroseconds)),
            DescribedSetting("timeout.initial", duration(initialMicroseconds)),
        ]
    }
}

extension DirectorConfiguration.Proxy {
    var described: DescribedEntry {
        DescribedEntry(
            name: name,
            settings: [
                DescribedSetting("address", address), DescribedSetting("weight", weight),
                DescribedSetting("mac", mac.map { "\($0)" } ?? ""),
                DescribedSetting("transport", transport.rawValue), DescribedSetting("server-name", serverName ?? ""),
            ] + DirectorConfiguration.EncapsulationSettings.described(encapsulation))
    }
}

extension DirectorConfiguration.Classifier {
    var described: DescribedEntry {
        DescribedEntry(
            name: name,
            settings: DirectorConfiguration.EncapsulationSettings.described(encapsulation) + [
                DescribedSetting("health", health.map { "\($0)" } ?? ""),
                DescribedSetting("mac", mac.map { "\($0)" } ?? ""),
            ] + check.settings)
    }
}

extension DirectorConfiguration.Check {
    fileprivate var settings: [DescribedSetting] {
        [
            DescribedSetting("check.interval", duration(intervalMicroseconds)),
            DescribedSetting("check.timeout", duration(timeoutMicroseconds)),
            DescribedSetting("check.rise", rise), DescribedSetting("check.fall", fall),
        ]
    }
}

extension DirectorConfiguration.VirtualServer {
    var described: DescribedEntry {
        DescribedEntry(
            name: name,
            settings: [
                DescribedSetting("address", address), DescribedSetting("origins.name", list(origins.map(\.name))),
                DescribedSetting("origins.address", list(origins.map { "\($0.address)" })),
                DescribedSetting("origins.mac", list(origins.map { $0.mac.map { "\($0)" } ?? "" })),
                DescribedSetting("window", window), DescribedSetting("maximum-segment", maximumSegment),
                DescribedSetting("options", list(options.names)),
            ] + check.settings)
    }
}

extension DirectorConfiguration.Rule {
    fileprivate func described(with matches: [CandidateRule]) -> DescribedEntry {
        func unique(_ texts: [String]) -> String {
            list(texts.reduce(into: []) { if !$0.contains($1) { $0.append($1) } })
        }
        return DescribedEntry(
            name: name,
            settings: [
                DescribedSetting("ports", unique(matches.map { ports($0.firstPort, $0.lastPort) })),
                DescribedSetting("servers", unique(matches.map { "\($0.server)" })),
                DescribedSetting("clients", unique(matches.map { "\($0.client)" })),
                DescribedSetting("application", match.applications.text),
                DescribedSetting("hosts", list(hosts)), DescribedSetting("paths", list(paths)),
                DescribedSetting("public", match.isPublic), DescribedSetting("mode", match.mode.text),
                DescribedSetting("asymmetric", match.isAsymmetric), DescribedSetting("proxies", list(proxies)),
                DescribedSetting("later-requests", laterRequests.rawValue),
                DescribedSetting("handoff", handOff.rawValue),
                DescribedSetting("follow-origin", match.followsOrigin),
                DescribedSetting("reset-by", resetBy.rawValue),
                DescribedSetting("algorithm", algorithm?.name ?? ""),
                DescribedSetting("alpn", alpn.text), DescribedSetting("priority", priority),
                DescribedSetting("requirements.bandwidth", requirements.bandwidth),
                DescribedSetting("requirements.delay", duration(UInt64(requirements.delay))),
                DescribedSetting("requirements.class", requirements.trafficClass.map(String.init) ?? ""),
            ])
    }
}

extension DirectorConfiguration.Route {
    /// Routes have no names: what they are about is one.
    var described: DescribedEntry {
        DescribedEntry(
            name: "\(match.client) > \(match.server):\(ports(match.firstPort, match.lastPort))",
            settings: [DescribedSetting("to", proxy ?? "origin")])
    }
}

// MARK: Values as the file has them

private func list(_ texts: [String]) -> String { texts.isEmpty ? "" : "[\(texts.joined(separator: ", "))]" }

private func ports(_ first: UInt16, _ last: UInt16) -> String { first == last ? "\(first)" : "\(first)-\(last)" }

/// `20ms`, `1.5s`: the largest unit in which three digits behind the point say it all.
private func duration(_ microseconds: UInt64) -> String {
    for (unit, size) in [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)]
        as [(String, UInt64)]
    {
        if microseconds >= size, microseconds.isMultiple(of: size) { return "\(microseconds / size)\(unit)" }
    }
    return microseconds == 0 ? "0s" : "\(microseconds)us"
}

extension DirectorConfiguration.TCPOptions {
    fileprivate var names: [String] {
        let known: [(Self, String)] = [(.windowScale, "window-scale"), (.sack, "sack"), (.timestamps, "timestamps")]
        return known.filter { contains($0.0) }.map(\.1)
    }
}

extension RuleMode {
    fileprivate var text: String {
        if case .canary(let percent) = self { return "canary \(percent)%" }
        return "\(self)"
    }
}

extension Application {
    fileprivate var text: String {
        var words: [String] = []
        if contains([.httpGet, .httpOther]) {
            words.append("http-any")
        } else if contains(.httpGet) {
            words.append("http-get")
        }
        if contains(.tls) { words.append("tls") }
        if contains(.smtp) { words.append("smtp") }
        return list(words)
    }
}

extension ALPN {
    fileprivate var text: String {
        list([(ALPN.http11, "http/1.1"), (.http2, "h2")].filter { contains($0.0) }.map(\.1))
    }
}
