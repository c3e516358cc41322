import Control
import InterCore
import StrictYAML
import Wire

extension ConfigurationReader {
    /// `source` is unspecified where the file does not say it; `checkEncapsulations` knows better.
    static func encapsulation(_ section: YAMLSection) -> DirectorConfiguration.EncapsulationSettings? {
        let kind = section.required("kind", YAMLKind<Encapsulation.Kind>.encapsulation)
        let address = section.required("address", .address)
        let source = section.optional("source", .address)
        let network = section.optional("vni", .integer(in: UInt32(0)...16_777_215))
        let mtu = section.value("mtu", .integer(in: UInt16(576)...9_216), default: 1_500)
        guard let kind, let address else { return nil }
        checkNetwork(network, kind, section, owner: "agent")
        if let source, source.isV4 != address.isV4 {
            section.report(
                "'source' (\(source)) and 'address' (\(address)) are of different families",
                remedy: "use IPv4 for both or IPv6 for both; what is inside may be of either", at: "source")
        }
        var settings = DirectorConfiguration.EncapsulationSettings(
            kind, from: source ?? .unspecified, to: address)
        settings.network = network ?? 0
        settings.mtu = mtu
        if mtu < settings.narrowestPath {
            section.report(
                "every link of IPv6 takes 1280 bytes, and 'mtu' is \(mtu)", remedy: "write mtu: 1280 or more", at: "mtu"
            )
        }
        return settings
    }

    static func checkNetwork(
        _ network: UInt32?, _ kind: Encapsulation.Kind, _ section: YAMLSection, owner: String
    ) {
        if kind == .vxlan, network == nil {
            section.report(
                "VXLAN needs the identifier of its network", remedy: "add vni: with the number that the \(owner) has",
                at: "kind")
        } else if kind != .vxlan, network != nil {
            section.report("'vni' is VXLAN's, and 'kind' is \(kind)", remedy: "take 'vni' away", at: "vni")
        }
    }

    /// Where the file says nothing the director's own address is the tunnels' end, if it has one.
    mutating func checkEncapsulations(
        _ proxies: [(proxy: DirectorConfiguration.Proxy, mark: YAMLMark)], _ file: YAMLSection
    ) {
        let crtp = configuration.crtp
        let role = configuration.role
        for (index, (proxy, mark)) in proxies.enumerated() {
            configuration.proxies[index].encapsulation?.namesFlows = role == .forwarder
            if role == .forwarder, proxy.encapsulation == nil {
                file.report(
                    "a forwarder reaches proxy '\(proxy.name)' only inside packets of its own",
                    remedy: "add 'encapsulation' to it, and to its agent", at: mark)
            }
            guard let settings = proxy.encapsulation, settings.source == .unspecified else { continue }
            if let source = tunnelSource(to: settings.address) {
                configuration.proxies[index].encapsulation?.source = source
            } else if crtp.via == .serverPort, crtp.listen.address.isV4 == settings.address.isV4 {
                configuration.proxies[index].encapsulation?.source = crtp.listen.address
            } else {
                file.report(
                    "nothing says where the packets to proxy '\(proxy.name)' come from",
                    remedy:
                        "add 'source' to its 'encapsulation': \(settings.address.isV4 ? "an IPv4" : "an IPv6") address "
                        + "on the servers' wire that no host has; the director answers for it", at: mark)
            }
        }
    }
}

extension YAMLKind<Encapsulation.Kind> {
    static var encapsulation: YAMLKind { .choice(["ipip": .ipip, "gue": .gue, "vxlan": .vxlan]) }
}

extension YAMLKind<IPAddress> {
    static var address: YAMLKind {
        .text("an address of one host, such as 10.0.0.3 or '2001:db8::3'") { text in
            IPAddress(text).flatMap { $0.isMulticast || $0 == .unspecified ? nil : $0 }
        }
    }
}
