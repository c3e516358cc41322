import Glibc
internal import Wire

extension HostCheck {
    /// Adopts a connection that nobody has, between two loopback addresses, and undoes it.
    mutating func checkRepair() {
        for isV4 in [true, false] {
            let server = isV4 ? IPAddress(v4: 0x7F00_0050) : IPAddress(high: 0, low: 1)
            let client = isV4 ? IPAddress(v4: 0x7F00_0051) : IPAddress(high: 0, low: 1)
            let options = NegotiatedOptions(
                clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: 7, serverWindowScale: 7, windowScale: true,
                sack: true, timestamps: true)
            let key = FlowKey(client: client, clientPort: 61_001, server: server, serverPort: 61_002)
            let state = ConnectionState(
                key: key, psn: SequenceNumber(1_000), pan: SequenceNumber(2_000), clientWindow: 65_535,
                serverWindowEdge: SequenceNumber(66_535), options: options, serverTimestamp: 100)
            let adopter = Adopter(uncommittedMark: 0xBA70_0001)
            let name = "adoption by TCP_REPAIR, IPv\(isV4 ? 4 : 6)"
            do throws(AdoptionFailure) {
                let descriptor = try adopter.adopt(state)
                let segment = (try? getOption(descriptor, SOL_TCP, SocketOption.maximumSegment, "TCP_MAXSEG")) ?? 0
                adopter.forget(descriptor)
                if segment < 1_400 {
                    add(name, .warning, "segments of \(segment) bytes", remedy: "report this kernel: \(kernel)")
                } else {
                    add(name, .good, "adopted and undone, segments of \(segment) bytes")
                }
            } catch {
                add(name, .failed, "\(error)", remedy: remedy(for: error, isV4: isV4))
            }
        }
    }

    private func remedy(for failure: AdoptionFailure, isV4: Bool) -> String {
        switch failure {
        case .system(let failure) where failure.code == EPERM:
            "run as root or give capabilities: systemd AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE"
        case .noRoute: "bring the loopback interface up: ip link set lo up"
        case .system(let failure) where !isV4 && (failure.code == EADDRNOTAVAIL || failure.code == EAFNOSUPPORT):
            "switch IPv6 on: sysctl net.ipv6.conf.all.disable_ipv6=0; without it only IPv4 is served"
        default: "a kernel of 4.18 or later with CONFIG_CHECKPOINT_RESTORE is needed; this is \(kernel)"
        }
    }

    private var kernel: String { HostCheck.setting("kernel.osrelease") ?? "unknown" }

    /// Asks nft whether it would take the rules, without installing them.
    mutating func checkGuard(_ configuration: AgentConfiguration?) {
        let rules =
            configuration.map { Agent.rules($0) }
            ?? GuardRules(
                instance: "check", services: [ServicePrefix("192.0.2.1:80")!, ServicePrefix("[2001:db8::1]:80")!],
                uncommittedMark: 0xBA70_0001, deliveryMark: 0xBA70_0002, routingTable: 7_270)
        do {
            try Command.run(["nft", "-c", "-f", "-"], input: rules.installation)
            add("nftables", .good, "takes the guard's rules")
        } catch {
            add(
                "nftables", .failed, "\(error)",
                remedy: "apt install nftables; the kernel needs nf_tables with the socket and fib expressions "
                    + "(modprobe nft_socket nft_fib_inet)")
        }
        for isV4 in [true, false] {
            let name = "policy routing, IPv\(isV4 ? 4 : 6)"
            do {
                try Command.run(["ip", isV4 ? "-4" : "-6", "rule", "show"])
                add(name, .good, "there")
            } catch {
                add(name, .failed, "\(error)", remedy: "apt install iproute2; the kernel needs IP_MULTIPLE_TABLES")
            }
        }
    }

    mutating func checkKernelSettings() {
        for name in ["tcp_timestamps", "tcp_sack", "tcp_window_scaling"] {
            let value = HostCheck.setting("net.ipv4.\(name)") ?? "?"
            let isGood = value != "0"
            add(
                "net.ipv4.\(name)", isGood ? .good : .warning, value,
                remedy: "sysctl -w net.ipv4.\(name)=1: adopted connections have agreed on it")
        }
        let probing = HostCheck.setting("net.ipv4.tcp_mtu_probing") ?? "?"
        add(
            "net.ipv4.tcp_mtu_probing", probing == "0" ? .warning : .good, probing,
            remedy: "sysctl -w net.ipv4.tcp_mtu_probing=1: finds narrow paths whose ICMP errors get lost")
        if let loose = HostCheck.setting("net.netfilter.nf_conntrack_tcp_loose") {
            add(
                "connection tracking", loose == "0" ? .failed : .good, "nf_conntrack_tcp_loose=\(loose)",
                remedy: "sysctl -w net.netfilter.nf_conntrack_tcp_loose=1: adopted connections begin in mid-stream")
        } else {
            add("connection tracking", .good, "not loaded")
        }
    }

    mutating func checkDescriptors(_ configuration: AgentConfiguration?) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let wanted = (configuration?.adoption.connections ?? 16_000) * 2
        add(
            "descriptors", limit.rlim_max >= wanted ? .good : .warning, "at most \(limit.rlim_max), \(wanted) wanted",
            remedy: "systemd LimitNOFILE=\(wanted), or fewer 'adoption: connections'")
    }
}
