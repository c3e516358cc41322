import Control
import InterCore
import StrictYAML
import Wire

/// The parts of a forwarder and of a classifier.
extension ConfigurationReader {
    /// Before the proxies: their tunnels begin there.
    mutating func readRole(_ file: YAMLSection) {
        configuration.role = file.value("role", .role, default: .director)
        let addresses = file.optional("tunnel-address", .list(of: YAMLKind<IPAddress>.address.marked, minimum: 1)) ?? []
        for (index, address) in addresses.enumerated()
        where addresses[..<index].contains(where: { $0.value.isV4 == address.value.isV4 }) {
            file.report(
                "there is another \(address.value.isV4 ? "IPv4" : "IPv6") address already",
                remedy: "give one of each family at most", at: address.mark)
        }
        configuration.tunnelAddresses = addresses.map(\.value)
        let classifiers = file.sections("classifiers") {
            Self.classifier($0).map { Marked($0, at: file.mark(of: "classifiers")) }
        }
        configuration.classifiers = classifiers.map(\.value)
        configuration.forwarders = file.optionalSection("forwarders", Self.forwarders)?.flatMap { $0 }
    }

    private static func classifier(_ section: YAMLSection) -> DirectorConfiguration.Classifier? {
        let name = section.required("name", .name)
        let settings = section.has("encapsulation") ? section.section("encapsulation", Self.encapsulation) : nil
        if !section.has("encapsulation") {
            section.report(
                "required key 'encapsulation' is missing in '\(section.label)'",
                remedy: "add encapsulation: { kind: gue, address: 10.9.0.51 }, the classifier's 'tunnel-address'",
                at: section.mark)
        }
        let health = section.optional("health", .endpoint)
        let mac = section.optional("mac", .mac)
        let check = section.section("check", Self.check)
        if !check.isOff, health == nil {
            section.report(
                "nothing says where it is asked whether this classifier is up",
                remedy: "add 'health': the classifier's 'metrics.listen', or 'mac' and check: { interval: 0 }",
                at: section.mark)
        } else if check.isOff, mac == nil {
            section.report(
                "a classifier that is not checked, so nobody finds its Ethernet address",
                remedy: "add its 'mac', or let 'check.interval' be longer than 0", at: section.mark)
        }
        guard let name, let settings else { return nil }
        var classifier = DirectorConfiguration.Classifier(name: name, encapsulation: settings)
        classifier.health = health
        classifier.mac = mac
        classifier.check = check
        return classifier
    }

    private static func forwarders(_ section: YAMLSection) -> DirectorConfiguration.ForwarderSettings? {
        let kind = section.required("kind", YAMLKind<Encapsulation.Kind>.encapsulation)
        let network = section.optional("vni", .integer(in: UInt32(0)...16_777_215))
        let addresses = section.required("addresses", .list(of: YAMLKind<IPAddress>.address, minimum: 1))
        let gateway = section.required("gateway", .mac)
        let mtu = section.value("mtu", .integer(in: UInt16(1_280)...9_216), default: 1_500)
        guard let kind, let addresses, let gateway else { return nil }
        checkNetwork(network, kind, section, owner: "forwarders")
        var settings = DirectorConfiguration.ForwarderSettings(kind, addresses: addresses, gateway: gateway)
        settings.network = network ?? 0
        settings.mtu = mtu
        return settings
    }

    /// What other roles have, or lack, is as wrong as a key that nobody knows.
    mutating func checkRole(_ file: YAMLSection) {
        func refuse(_ key: String, _ why: String, _ remedy: String) {
            file.report("'\(key)' and role \(configuration.role.rawValue): \(why)", remedy: remedy, at: key)
        }
        func require(_ key: String, _ why: String, _ remedy: String) {
            guard !file.has(key) else { return }
            file.report(
                "a \(configuration.role.rawValue) needs '\(key)': \(why)", remedy: remedy,
                at: file.has("role") ? "role" : key)
        }
        let role = configuration.role
        if role != .director {
            if file.has("host") { refuse("host", "it stands on no server", "remove 'host', or use role: director") }
            require("virtual-servers", "they are what clients dial", "add the addresses that clients dial")
            require("tunnel-address", "its tunnels end there", "add an address that no host has")
        } else if file.has("tunnel-address") {
            refuse("tunnel-address", "a director's tunnels have their own 'source'", "remove it, or add 'role'")
        }
        if role == .forwarder {
            require("classifiers", "they get what no proxy has", "add classifiers: [{ name: c1, … }]")
            for key in ["rules", "routes"] where file.has(key) {
                refuse(key, "the classifiers decide", "write them there")
            }
            if configuration.crtp.multicast != nil {
                refuse("crtp", "it asks nobody for a transfer", "remove 'multicast'")
            }
        } else if file.has("classifiers") {
            refuse("classifiers", "only a forwarder sends there", "remove it, or use role: forwarder")
        }
        if role == .classifier {
            require(
                "forwarders", "packets come from there", "add forwarders: { kind: gue, addresses: […], gateway: … }")
            for address in configuration.forwarders?.addresses ?? []
            where !configuration.tunnelAddresses.contains(where: { $0.isV4 == address.isV4 }) {
                refuse(
                    "forwarders", "\(address) has no 'tunnel-address' of its family to send to",
                    "add one, or remove that address")
            }
        } else if file.has("forwarders") {
            refuse("forwarders", "only a classifier takes their packets", "remove it, or use role: classifier")
        }
    }

    /// Of the forwarder's tunnels, and after the virtual servers.
    mutating func checkClassifiers(_ file: YAMLSection) {
        var seen: Set<String> = []
        var ends: Set<IPAddress> = []
        for index in configuration.classifiers.indices {
            let classifier = configuration.classifiers[index]
            if !seen.insert(classifier.name).inserted || !ends.insert(classifier.encapsulation.address).inserted {
                file.report(
                    "classifier '\(classifier.name)' (\(classifier.encapsulation.address)) has the name or the address of an "
                        + "earlier one", remedy: "name each classifier once", at: "classifiers")
            }
            guard classifier.encapsulation.source == .unspecified else { continue }
            if let source = tunnelSource(to: classifier.encapsulation.address) {
                configuration.classifiers[index].encapsulation.source = source
            } else {
                file.report(
                    "nothing says where the packets to classifier '\(classifier.name)' come from",
                    remedy: "add an address of its family to 'tunnel-address'", at: "classifiers")
            }
        }
        for server in configuration.virtualServers
        where configuration.tunnelAddresses.contains(server.address.address) {
            file.report(
                "virtual server '\(server.name)' has the address of a tunnel's end",
                remedy: "choose another address for one of them", at: "tunnel-address")
        }
        let crtp = configuration.crtp
        if configuration.role == .classifier, crtp.via == .serverPort {
            file.report(
                "'crtp.via' and role classifier: its proxies are on the clients' side",
                remedy: "let the channel go by the kernel", at: "crtp")
        }
    }

    func tunnelSource(to address: IPAddress) -> IPAddress? {
        configuration.tunnelAddresses.first { $0.isV4 == address.isV4 }
    }
}

extension YAMLKind<DirectorRole> {
    static var role: YAMLKind {
        .choice(["director": .director, "forwarder": .forwarder, "classifier": .classifier])
    }
}
