internal import Wire

extension HostCheck {
    mutating func checkInterface(_ name: String) {
        guard let interface = NetworkInterface(name) else {
            return add("interface \(name)", .failed, "not there", remedy: "name one of 'ip link'")
        }
        add("interface \(name)", .good, "\(interface.mac), MTU \(interface.mtu)")
        add(
            "MTU", interface.mtu >= 1_500 ? .good : .warning, "\(interface.mtu)",
            remedy: "clients are sent smaller segments than they could take; raise it: ip link set \(name) mtu 1500")
        checkReversePath(name)
        let proxyARP = [setting("all", "proxy_arp"), setting(name, "proxy_arp")].contains("1")
        add(
            "ARP", proxyARP ? .failed : .good, proxyARP ? "proxy_arp is on" : "answered for own addresses only",
            remedy: "sysctl -w net.ipv4.conf.all.proxy_arp=0 net.ipv4.conf.\(name).proxy_arp=0: this host must not "
                + "answer for the origin")
        let proxyND = HostCheck.setting("net.ipv6.conf.\(name).proxy_ndp") == "1"
        add(
            "neighbour discovery", proxyND ? .warning : .good,
            proxyND ? "proxy_ndp is on" : "answered for own addresses only",
            remedy: "sysctl -w net.ipv6.conf.\(name).proxy_ndp=0, or have no origin in 'ip neigh show proxy'")
        checkOffloads(name)
    }

    private func setting(_ interface: String, _ name: String) -> String? {
        HostCheck.setting("net.ipv4.conf.\(interface).\(name)")
    }

    /// The larger of `all` and the interface's own wins.
    private mutating func checkReversePath(_ name: String) {
        let values = ["all", name].compactMap { setting($0, "rp_filter").flatMap { Int($0) } }
        let strict = values.max() == 1
        add(
            "rp_filter", strict ? .warning : .good, "\(values.max() ?? 0)",
            remedy: "sysctl -w net.ipv4.conf.all.rp_filter=2: strict filtering drops clients whose way back leaves by "
                + "another interface than \(name)")
    }

    /// On veth, checksums that the "hardware" was to fill in are never filled in for a director that reads packets.
    private mutating func checkOffloads(_ name: String) {
        let isVirtual = (try? Command.run(["ip", "-d", "link", "show", name]))?.contains("veth") ?? false
        guard let features = try? Command.run(["ethtool", "-k", name]) else {
            return add("offloads", isVirtual ? .warning : .good, "unknown", remedy: "apt install ethtool")
        }
        let partial = features.contains("tx-checksumming: on")
        let large = features.contains("large-receive-offload: on")
        if isVirtual, partial {
            add(
                "offloads", .warning, "veth with tx-checksumming",
                remedy: "ethtool -K \(name) tx off tso off gso off gro off, if a user-space director is behind it")
        } else {
            add(
                "offloads", large ? .warning : .good, large ? "large-receive-offload" : "fine",
                remedy: "ethtool -K \(name) lro off")
        }
    }

    /// No origin's address may be this host's own: it would answer ARP for it and loop its own relayed requests.
    mutating func checkAddresses(_ configuration: AgentConfiguration) {
        for service in Catalogue.services(configuration.sites) where service.addresses.length == 128 {
            let address = service.addresses.address
            guard let route = try? Command.run(["ip", "route", "get", "\(address)"]) else {
                add(
                    "origin \(address)", .warning, "no route",
                    remedy: "requests that only the origin can answer need one")
                continue
            }
            let isLocal = route.hasPrefix("local ")
            add(
                "origin \(address)", isLocal ? .failed : .good,
                isLocal ? "is an address of this host" : "reached by a route",
                remedy: "take the address and any local route for it away: ip addr del, ip route del local \(address)")
        }
    }
}
