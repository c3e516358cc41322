import CRTP
import Control
import Streams
import StrictYAML
import Wire

extension ConfigurationReader {
    struct CRTPSection {
        var settings = DirectorConfiguration.CRTPSettings()
        var keys: KeyRing?
        /// Keys are named, good or not.
        var hasKeys = false
        var isListenGiven = false
    }

    static func crtp(_ section: YAMLSection) -> CRTPSection {
        var crtp = CRTPSection()
        crtp.isListenGiven = section.has("listen")
        crtp.settings.listen = section.value("listen", .endpoint, default: crtp.settings.listen)
        way(section, &crtp.settings)
        crtp.settings.algorithm = section.value("algorithm", .algorithm, default: crtp.settings.algorithm)
        crtp.settings.choice = choice(section)
        crtp.settings.queue.requests = section.value(
            "queue", .integer(in: 0...65_536), default: crtp.settings.queue.requests)
        crtp.settings.queue.patienceMicroseconds = section.value(
            "queue-time", .duration(in: 100...50_000), default: crtp.settings.queue.patienceMicroseconds)
        if section.has("multicast") {
            section.section("multicast") { crtp.settings.multicast = multicast($0, listen: crtp.settings.listen) }
        }
        crtp.settings.channel = channel(section)
        section.section("tls") { crtp.settings.tls = tls($0) }
        crtp.hasKeys = section.has("keys")
        let (secrets, current) = section.numberedSecrets(current: crtp.settings.currentKey)
        crtp.settings.keyFiles = secrets.mapValues { secret in
            KeyFile(path: secret.path, notBefore: secret.notBefore, notAfter: secret.notAfter)
        }
        crtp.settings.currentKey = current
        crtp.keys = KeyRing(keys: secrets.compactMapValues(\.bytes), current: current)
        return crtp
    }

    private static func tls(_ section: YAMLSection) -> DirectorConfiguration.TLSSettings {
        var tls = DirectorConfiguration.TLSSettings()
        tls.authority = section.optional("ca", .string).map(section.resolve)
        tls.certificate = section.optional("certificate", .string).map(section.resolve)
        tls.key = section.optional("key", .string).map(section.resolve)
        if let key = tls.key { section.requirePrivate(key, at: "key") }
        if (tls.certificate == nil) != (tls.key == nil) {
            section.report(
                "'certificate' and 'key' belong together, and one is missing",
                remedy: "name both, or none to show no certificate", at: tls.key == nil ? "certificate" : "key")
        }
        if let failure = TLSFiles(authority: tls.authority, certificate: tls.certificate, key: tls.key).check() {
            let keys: [TLSFiles.Failure.Part: String] = [.authority: "ca", .certificate: "certificate", .key: "key"]
            section.report("\(failure)", remedy: failure.remedy, at: keys[failure.part] ?? "ca")
        }
        return tls
    }

    /// Without a kernel nobody else says which address is the director's, and by which interface frames leave.
    private static func way(_ section: YAMLSection, _ settings: inout DirectorConfiguration.CRTPSettings) {
        settings.via = section.value("via", .way, default: settings.via)
        let vlan = section.optional("vlan", .integer(in: 1...4_094))
        guard settings.via == .serverPort else { return }
        settings.vlan = vlan.map { VLAN(UInt16($0)) } ?? .untagged
        if settings.listen.address == .unspecified || settings.listen.port == 0 {
            section.report(
                "'via: server-port' needs an address and a port of the director's own",
                remedy: "write listen: \"10.0.0.2:7443\", with an address on the agents' wire that no host has",
                at: section.has("listen") ? "listen" : "via")
        }
    }

    private static func channel(_ section: YAMLSection) -> ChannelConfiguration {
        var channel = ChannelConfiguration()
        channel.keepaliveMicroseconds = section.value(
            "keepalive", .duration(in: 10_000...60_000_000), default: channel.keepaliveMicroseconds)
        channel.detectMultiplier = section.value(
            "detect-multiplier", .integer(in: 1...100), default: channel.detectMultiplier)
        channel.initiateRetryMicroseconds = section.value(
            "retry", .duration(in: 10_000...60_000_000), default: channel.initiateRetryMicroseconds)
        channel.protection = section.value("protection", .protection, default: channel.protection)
        return channel
    }

    private static func multicast(
        _ section: YAMLSection, listen: Endpoint
    ) -> DirectorConfiguration.MulticastSettings? {
        let group = section.required("group", .group)
        let interface = section.optional("interface", .string)
        let hops = section.value("hops", .integer(in: 0...255), default: 1)
        guard let group else { return nil }
        if listen.address != .unspecified, listen.address.isV4 != group.address.isV4 {
            section.report(
                "the group \(group) and 'crtp.listen' (\(listen)) are of different families",
                remedy: "listen on [::]:0, or choose a group of the other family", at: "group")
        }
        var settings = DirectorConfiguration.MulticastSettings(group: group)
        settings.interface = interface
        settings.hops = hops
        return settings
    }

    private static func choice(_ section: YAMLSection) -> DirectorConfiguration.ChoiceSettings {
        var choice = DirectorConfiguration.ChoiceSettings()
        choice.tries = section.value("tries", .integer(in: 1...2), default: choice.tries)
        choice.setAsideAfter = section.value("set-aside-after", .integer(in: 0...1_000), default: choice.setAsideAfter)
        choice.probeMicroseconds = section.value(
            "probe", .duration(in: 100_000...60_000_000), default: choice.probeMicroseconds)
        choice.refusalLifetimeMicroseconds = section.value(
            "refusal-lifetime", .duration(in: 0...60_000_000), default: choice.refusalLifetimeMicroseconds)
        choice.refusals = section.value("refusals", .integer(in: 1...1_048_576), default: choice.refusals)
        return choice
    }

    static func proxy(_ section: YAMLSection) -> (proxy: DirectorConfiguration.Proxy, mark: YAMLMark)? {
        let name = section.required("name", .name)
        let address = section.required("address", .endpoint)
        let weight = section.value("weight", .integer(in: 1...1_000), default: 1)
        let mac = section.optional("mac", .mac)
        let transport = section.value("transport", .transport, default: .udp)
        let serverName = section.optional("server-name", .serverName)
        if serverName != nil, transport != .tls {
            section.report(
                "'server-name' is the name in a certificate, and 'transport' is not tls",
                remedy: "add transport: tls, or take 'server-name' away", at: "server-name")
        }
        if let address, address.port == 0 {
            section.report(
                "the agent's port is 0", remedy: "write the port that the agent listens on, such as 10.9.0.11:7443",
                at: "address")
        }
        let encapsulation = section.has("encapsulation") ? section.section("encapsulation", Self.encapsulation) : nil
        if encapsulation != nil, mac == nil {
            section.report(
                "the proxy is beyond layer 2, and nothing says where its packets go first",
                remedy:
                    "add mac: with the Ethernet address of the router on the way, as 'ip neigh' shows it on a host of "
                    + "the servers' wire", at: "encapsulation")
        }
        guard let name else { return nil }
        var proxy = DirectorConfiguration.Proxy(name: name, address: address ?? Endpoint(.unspecified, port: 0))
        proxy.weight = weight
        proxy.mac = mac
        proxy.transport = transport
        proxy.serverName = serverName
        proxy.encapsulation = encapsulation
        return (proxy, section.mark)
    }
}
