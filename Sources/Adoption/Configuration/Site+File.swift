internal import StrictYAML
internal import Wire

extension Site {
    /// One entry of `catalogue`: origins, hosts, and exactly one of `root`, `cache`, `relay`, `replay` and `udp-server`.
    static func read(_ section: YAMLSection) -> Site? {
        let origins = section.required("origins", .list(of: .service, minimum: 1))
        let hosts = section.value("hosts", .list(of: .host, minimum: 1), default: [HostPattern("*")!])
        let isPublic = section.value("public", .bool, default: false)
        let content = readContent(section)
        guard let origins, let content else { return nil }
        if case .datagrams(let datagrams) = content {
            let isV4 = datagrams.server.address.isV4
            if !origins.contains(where: { $0.isOf(isV4: isV4) }) {
                section.report(
                    "'udp-server' (\(datagrams.server)) and 'origins' are of different families",
                    remedy: "give IPv4 origins an IPv4 server and IPv6 origins an IPv6 one", at: "udp-server")
            }
            if section.has("public") {
                section.report("'public' has no meaning beside 'udp-server'", remedy: "remove it", at: "public")
            }
        }
        if case .replay(let replay) = content, !origins.allSatisfy({ $0.isReplayable(by: replay.server) }) {
            section.report(
                "a replayed connection's origin is one address, of the family of its server (\(replay.server))",
                remedy: "list each address by itself: 10.0.0.80:80", at: "origins")
        }
        var site = Site(origins: origins, hosts: hosts, content: content)
        site.isPublic = isPublic
        return site
    }

    private static func readContent(_ section: YAMLSection) -> SiteContent? {
        let root = section.optional("root", .string)
        let cache = section.optional("cache", .cache)
        let relay = section.optional("relay", .relayTarget)
        let server = section.optional("udp-server", .endpoint)
        let replay = section.optional("replay", .endpoint)
        let index = section.optional("index", .string)
        let ignoresQuery = section.optional("ignore-query", .bool)
        let entries = section.optional("index-entries", .integer(in: 1...100_000_000))
        let announcesClient = section.optional("proxy-protocol", .bool)
        let isTLS = section.optional("tls", .bool)
        let given = ["root", "cache", "relay", "replay", "udp-server"].filter(section.has)
        guard given.count == 1 else {
            section.report(
                "an entry has exactly one of 'root', 'cache', 'relay', 'replay' and 'udp-server'",
                remedy: given.isEmpty ? "add one" : "make an entry of each", at: section.mark)
            return nil
        }
        reportForeign(section, ["index", "ignore-query", "index-entries"], owner: "root", given[0])
        reportForeign(section, ["proxy-protocol"], owner: "relay", given[0])
        if given[0] != "replay" { reportForeign(section, ["tls"], owner: "relay", given[0]) }
        if let root {
            guard root.hasPrefix("/") else {
                section.report("'root' is not an absolute path", remedy: "begin it with /", at: "root")
                return nil
            }
            var site = DirectorySite(root: root)
            site.index = index ?? site.index
            site.ignoresQuery = ignoresQuery ?? false
            site.indexEntries = entries ?? site.indexEntries
            return .directory(site)
        }
        if let cache { return .cache(CacheSite(address: cache)) }
        if let server { return .datagrams(DatagramSite(server: server)) }
        if let replay {
            var site = ReplaySite(server: replay)
            site.isTLS = isTLS ?? false
            return .replay(site)
        }
        guard let relay else { return nil }
        var site = RelaySite(target: relay)
        site.announcesClient = announcesClient ?? false
        site.isTLS = isTLS ?? false
        return .relay(site)
    }

    private static func reportForeign(_ section: YAMLSection, _ keys: [String], owner: String, _ given: String) {
        guard given != owner else { return }
        for key in keys where section.has(key) {
            section.report("'\(key)' has no meaning beside '\(given)'", remedy: "remove it", at: key)
        }
    }
}

extension ServicePrefix {
    fileprivate func isReplayable(by server: Endpoint) -> Bool {
        addresses.address.isV4 == server.address.isV4 && addresses.length == 128
    }
}

extension YAMLKind<ServicePrefix> {
    static var service: YAMLKind {
        .text("an origin's address and port, such as 10.0.0.80:80, 10.0.0.0/24:80, [2001:db8::80]:80 or any:80") {
            ServicePrefix($0)
        }
    }
}

extension YAMLKind<HostPattern> {
    static var host: YAMLKind { .text("a host name, *.example.com or *") { HostPattern($0) } }
}

extension YAMLKind<Endpoint> {
    static var cache: YAMLKind {
        .text("the URL of a cache by address, such as http://127.0.0.1:3128") { text in
            guard text.hasPrefix("http://") else { return nil }
            let rest = text.dropFirst("http://".count)
            return Endpoint(rest.hasSuffix("/") ? rest.dropLast() : rest)
        }
    }
}

extension YAMLKind<RelaySite.Target> {
    static var relayTarget: YAMLKind {
        .text("127.0.0.1:8443, [::1]:8443 or unix:/run/server.sock") { text in
            if text.hasPrefix("unix:/") { return .unix(String(text.dropFirst("unix:".count))) }
            return Endpoint(text).map { .address($0) }
        }
    }
}
