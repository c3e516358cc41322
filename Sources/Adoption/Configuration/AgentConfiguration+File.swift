internal import CRTP
public import Foundation
internal import Streams
public import StrictYAML
internal import Wire

extension AgentConfiguration {
    /// Reads the file at `path`, what the environment gives instead of parts of it, and the key files. nil when a problem
    /// is an error.
    public static func load(
        _ path: String, environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> (value: AgentConfiguration?, problems: [ConfigurationProblem]) {
        YAMLFile.decode(path: path, environment: environment, prefix: "BATON_AGENT_", read)
    }

    package static func read(_ file: YAMLSection) -> AgentConfiguration? {
        let name = file.required("name", .string)
        let interface = file.required("interface", .string)
        let channel = file.section("crtp", readChannel)
        let sites = file.sections("catalogue", Site.read)
        if sites.isEmpty {
            file.report(
                "the catalogue is empty: every TRANSFER would be refused", remedy: "add an entry to 'catalogue'",
                at: "catalogue", severity: .warning)
        }
        let extra = file.value("extra-interfaces", .list(of: .string), default: [])
        let vlan = file.optional("vlan", .integer(in: UInt16(0)...4_095))
        let encapsulation =
            file.has("encapsulation") ? file.section("encapsulation", DecapsulationSettings.read) : nil
        let adoption = file.section("adoption", AdoptionSettings.read)
        let capacity = file.section("capacity", Capacity.read)
        let replay = file.section("replay", ReplaySettings.read)
        checkReplays(sites, file)
        let serving = file.section("serving", ServingSettings.read)
        let accessLog = file.optional("access-log", .string)
        let user = file.optional("user", .user)
        let log = file.section("log", LogSettings.read)
        guard let name, let interface, let channel else { return nil }
        if name.utf8.count > 63 {
            file.report("'name' is longer than 63 bytes", remedy: "shorten it", at: "name")
        }
        var configuration = AgentConfiguration(name: name, channel: channel, interface: interface, sites: sites)
        configuration.extraInterfaces = extra
        configuration.vlan = vlan.map { VLAN($0) } ?? .untagged
        configuration.encapsulation = encapsulation
        configuration.adoption = adoption
        configuration.capacity = capacity
        configuration.replay = replay
        configuration.serving = serving
        configuration.accessLog = accessLog
        configuration.user = user
        configuration.log = log
        return configuration
    }

    private static func readChannel(_ section: YAMLSection) -> ControlChannelSettings? {
        let listen = section.required("listen", .list(of: .endpoint, minimum: 1))
        let directors = section.required("directors", .list(of: .prefix, minimum: 1))
        let (secrets, current) = section.numberedSecrets()
        if secrets.isEmpty {
            section.report(
                "no key: 'keys' is missing or empty", remedy: "add 'keys: { 1: /etc/baton/key1 }'", at: section.mark)
        }
        let keys = KeyRing(keys: secrets.compactMapValues(\.bytes), current: current)
        let protection = section.value(
            "protection", .choice(["sealed": Protection.sealed, "authenticated": .authenticated]), default: .sealed)
        let keepalive = section.value("keepalive", .duration(in: 50_000...60_000_000), default: 1_000_000)
        let groups = section.value("groups", .list(of: .group), default: [])
        let groupInterface = section.optional("group-interface", .string)
        let streams = section.value("tcp", .list(of: .endpoint), default: [])
        let exchanges = section.value("http", .list(of: .endpoint), default: [])
        var (secureStreams, tls) = ([Endpoint](), TLSFiles())
        if section.has("tls") { section.section("tls") { (secureStreams, tls) = readTLS($0) } }
        guard let listen, let directors else { return nil }
        var settings = ControlChannelSettings(
            listen: listen, keys: keys, directors: directors)
        settings.protection = protection
        settings.keepaliveMicroseconds = keepalive
        settings.groups = groups
        settings.groupInterface = groupInterface
        settings.streams = streams
        settings.secureStreams = secureStreams
        settings.exchanges = exchanges
        settings.tls = tls
        return settings
    }

    private static func readTLS(_ section: YAMLSection) -> (listen: [Endpoint], files: TLSFiles) {
        let listen = section.required("listen", .list(of: .endpoint, minimum: 1)) ?? []
        var files = TLSFiles()
        files.certificate = section.required("certificate", .string).map(section.resolve)
        files.key = section.required("key", .string).map(section.resolve)
        files.authority = section.optional("client-ca", .string).map(section.resolve)
        if let key = files.key { section.requirePrivate(key, at: "key") }
        if let failure = files.check() {
            let keys: [TLSFiles.Failure.Part: String] = [
                .authority: "client-ca", .certificate: "certificate", .key: "key",
            ]
            section.report(
                "\(failure)", remedy: failure.remedy, at: keys[failure.part] ?? "certificate")
        }
        return (listen, files)
    }
}

extension YAMLKind<Endpoint> {
    static var endpoint: YAMLKind {
        .text("an address and a port, such as 10.0.0.1:7200 or [2001:db8::1]:7200") { Endpoint($0) }
    }
}

extension YAMLKind<Endpoint> {
    static var group: YAMLKind {
        .text("a multicast address and a port, such as 239.192.0.1:7270 or [ff15::1]:7270") { text in
            Endpoint(text).flatMap { $0.address.isMulticast && $0.port > 0 ? $0 : nil }
        }
    }
}

extension YAMLKind<AddressPrefix> {
    static var prefix: YAMLKind { .text("an address or a prefix, such as 10.0.0.0/24") { AddressPrefix($0) } }
}

extension AdoptionSettings {
    static func read(_ section: YAMLSection) -> AdoptionSettings {
        var settings = AdoptionSettings()
        settings.credits = section.value("credits", .integer(in: 1...1_000_000), default: settings.credits)
        settings.connections = section.value("connections", .integer(in: 1...10_000_000), default: settings.connections)
        settings.uncommittedLifetimeMicroseconds = section.value(
            "uncommitted-lifetime", .duration(in: 1_000_000...3_600_000_000),
            default: settings.uncommittedLifetimeMicroseconds)
        if settings.uncommittedLifetimeMicroseconds < 120_000_000 {
            section.report(
                "an adoption may need up to 120s for its request's retransmission",
                remedy: "use 120s outside of trials",
                at: "uncommitted-lifetime", severity: .warning)
        }
        settings.uncommittedMark = section.value("uncommitted-mark", .mark, default: settings.uncommittedMark)
        settings.deliveryMark = section.value("delivery-mark", .mark, default: settings.deliveryMark)
        settings.suspendedMark = section.value("suspended-mark", .mark, default: settings.suspendedMark)
        settings.committedMark = section.value("committed-mark", .mark, default: settings.committedMark)
        settings.routingTable = section.value(
            "routing-table", .integer(in: 256...0x7FFF_FFFF), default: settings.routingTable)
        settings.installsGuard = section.value("install-guard", .bool, default: settings.installsGuard)
        let marks = [settings.uncommittedMark, settings.deliveryMark, settings.suspendedMark]
        if marks.contains(0) || Set(marks).count < marks.count || marks.contains(settings.committedMark) {
            section.report(
                "'uncommitted-mark', 'delivery-mark', 'suspended-mark' and 'committed-mark' must differ, and the first three not be 0",
                remedy: "leave them out for the defaults", at: section.mark)
        }
        return settings
    }
}

extension ReplaySettings {
    public static func read(_ section: YAMLSection) -> ReplaySettings {
        var settings = ReplaySettings()
        settings.socket = section.value("socket", .string, default: settings.socket)
        settings.port = section.optional("port", .string)
        settings.device = section.value("device", .device, default: settings.device)
        if settings.socket.utf8.count > ReplaySocket.longestPath {
            section.report(
                "'socket' is longer than \(ReplaySocket.longestPath) bytes", remedy: "shorten it", at: "socket")
        }
        return settings
    }
}

/// What only several entries of the catalogue together can get wrong.
private func checkReplays(_ sites: [Site], _ file: YAMLSection) {
    for (first, second) in Catalogue.ambiguousReplays(sites) {
        file.report(
            "connections with \(first.origin) and with \(second.origin) would reach the same server "
                + "(\(first.server)) by the same addresses, or the same origin two servers",
            remedy: "give each origin one server, with an address or a port of its own", at: "catalogue")
    }
    let count = Catalogue.replays(sites).count
    if count > ReplaySettings.longestList {
        file.report(
            "\(count) origins have a server by replay; at most \(ReplaySettings.longestList) are possible",
            remedy: "remove some", at: "catalogue")
    }
}

extension Capacity {
    static func read(_ section: YAMLSection) -> Capacity {
        var capacity = Capacity()
        capacity.bandwidth = section.value("bandwidth", .bitRate, default: capacity.bandwidth)
        capacity.delay = UInt32(section.value("delay", .duration(in: 0...60_000_000), default: 0))
        capacity.classes = section.optional("classes", .list(of: .integer(in: UInt8(0)...63), minimum: 1)).map(Set.init)
        return capacity
    }
}

extension ServingSettings {
    static func read(_ section: YAMLSection) -> ServingSettings {
        var settings = ServingSettings()
        settings.threads = section.value("threads", .integer(in: 1...256), default: settings.threads)
        settings.idleMicroseconds = section.value(
            "idle", .duration(in: 1_000_000...86_400_000_000), default: settings.idleMicroseconds)
        settings.upstreamConnections = section.value(
            "upstream-connections", .integer(in: 1...1_000_000), default: settings.upstreamConnections)
        settings.connectTimeoutMicroseconds = section.value(
            "connect-timeout", .duration(in: 10_000...120_000_000), default: settings.connectTimeoutMicroseconds)
        settings.drainMicroseconds = section.value(
            "drain", .duration(in: 0...86_400_000_000), default: settings.drainMicroseconds)
        for entry in section.sections("origins", readOrigin) {
            if settings.originServers.updateValue(entry.server, forKey: entry.dialled) != nil {
                section.report("\(entry.dialled) stands twice", remedy: "remove one entry", at: "origins")
            }
        }
        return settings
    }

    private static func readOrigin(_ section: YAMLSection) -> (dialled: Endpoint, server: Endpoint)? {
        let dialled = section.required("address", .endpoint)
        let server = section.required("server", .endpoint)
        guard let dialled, let server else { return nil }
        return (dialled, server)
    }
}

extension LogSettings {
    static func read(_ section: YAMLSection) -> LogSettings {
        var settings = LogSettings()
        settings.level = section.value(
            "level",
            .choice([
                "trace": "trace", "debug": "debug", "info": "info", "notice": "notice", "warning": "warning",
                "error": "error",
            ]), default: settings.level)
        settings.format = section.value(
            "format", .choice(["text": "text", "json": "json"]), default: settings.format)
        settings.linesPerSecond = section.value(
            "lines-per-second", .integer(in: 1...1_000_000), default: settings.linesPerSecond)
        return settings
    }
}

extension YAMLKind<UInt32> {
    static var mark: YAMLKind {
        .text("a mark, such as 0xba700001 or 17") { text in
            text.hasPrefix("0x") ? UInt32(text.dropFirst(2), radix: 16) : UInt32(text)
        }
    }
}

extension YAMLKind<String> {
    static var user: YAMLKind {
        .text("the name or number of a user that this host has") { Privileges.User($0)?.name }
    }
}
