public import Wire

/// The packet filter and routing that an agent needs, as text for `nft` and `ip`.
///
/// - Segments of the clients to an origin's address reach this host only because a director sent them here. Those
///   that belong to an adopted socket get a mark, and the mark a local route; all others are dropped, so that the
///   kernel never answers a client with a reset. The origin's address is on no interface and in no other table, so
///   this host does not answer ARP or neighbour solicitations for it. What is left of a connection in TIME_WAIT
///   hears of nothing but a FIN: a client may use its port again, for a connection that is another server's.
/// - SYN, FIN and RST of an uncommitted socket never leave, not even after the agent was killed.
/// - Datagrams of the clients to an origin go to the server that takes them, and its answers get the origin's address:
///   the kernel's own translation, by connection tracking.
public struct GuardRules: Equatable, Sendable {
    public var instance: String
    /// Addresses and ports of the origins whose connections may be adopted.
    public var services: [ServicePrefix]
    /// Where the clients' packets arrive; empty for any interface.
    public var interfaces: [String]
    public var uncommittedMark: UInt32
    public var deliveryMark: UInt32
    public var suspendedMark: UInt32 = 0xBA70_0003
    public var routingTable: UInt32
    public var datagramServers: [DatagramServer]

    public init(
        instance: String, services: [ServicePrefix], interfaces: [String] = [], uncommittedMark: UInt32,
        deliveryMark: UInt32, routingTable: UInt32, datagramServers: [DatagramServer] = []
    ) {
        self.datagramServers = datagramServers
        self.instance = instance
        self.services = services
        self.interfaces = interfaces
        self.uncommittedMark = uncommittedMark
        self.deliveryMark = deliveryMark
        self.routingTable = routingTable
    }

    /// `baton_agent` for the instance `default`, `baton_agent_NAME` for others.
    public var tableName: String {
        if instance == "default" { return "baton_agent" }
        let safe = instance.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" }
        return "baton_agent_" + String(safe)
    }

    /// One transaction: whatever a former run left is replaced, with no moment without rules.
    public var installation: String {
        """
        add table inet \(tableName)
        delete table inet \(tableName)
        table inet \(tableName) {
            set services4 { type ipv4_addr . inet_service; flags interval; auto-merge;\(elements(isV4: true)) }
            set services6 { type ipv6_addr . inet_service; flags interval; auto-merge;\(elements(isV4: false)) }
            chain arriving {
                type filter hook prerouting priority mangle; policy accept;
                \(interfaceRule)
                meta l4proto { icmp, icmpv6 } socket transparent 1 meta mark set \(hex(deliveryMark)) accept
                ip daddr . tcp dport @services4 goto segments
                ip6 daddr . tcp dport @services6 goto segments
            }
            chain segments {
                fib daddr type local accept
                tcp flags & (syn | ack) == syn socket transparent 1 socket wildcard 0 \(isWhole) meta mark set \(hex(deliveryMark)) counter accept
                tcp flags & (syn | ack) == syn counter drop comment "SYN without a connection"
                socket transparent 1 \(isWhole) meta mark set \(hex(deliveryMark)) counter accept
                tcp flags & fin == fin socket transparent 1 meta mark set \(hex(deliveryMark)) counter accept comment "in TIME_WAIT"
                counter drop comment "segment without a socket"
            }
            chain leaving {
                type filter hook output priority filter; policy accept;
                meta mark \(hex(uncommittedMark)) tcp flags & (fin | syn | rst) != 0 counter drop comment "uncommitted sockets are mute"
                meta mark \(hex(suspendedMark)) counter drop comment "connections on offer are mute"
            }\(translation)
        }

        """
    }

    /// Nothing without a server: translation makes the kernel track every connection.
    private var translation: String {
        if datagramServers.isEmpty { return "" }
        let rules = datagramServers.map { "        \($0.rule)" }.joined(separator: "\n")
        return """

                chain datagrams {
                    type nat hook prerouting priority dstnat; policy accept;
                    \(interfaceRule)
                    fib daddr type local accept
            \(rules)
                }
            """
    }

    public var removal: String { "add table inet \(tableName)\ndelete table inet \(tableName)\n" }

    /// Arguments of `ip` that send marked packets to local sockets; for both families.
    public var routes: [[String]] {
        [
            ["ip", "route", "replace", "local", "0.0.0.0/0", "dev", "lo", "table", "\(routingTable)"],
            ["ip", "-6", "route", "replace", "local", "::/0", "dev", "lo", "table", "\(routingTable)"],
        ]
    }

    public func rule(_ verb: String, isV4: Bool) -> [String] {
        ["ip"] + (isV4 ? [] : ["-6"]) + ["rule", verb] + selector
    }

    private var selector: [String] {
        ["fwmark", hex(deliveryMark), "lookup", "\(routingTable)", "priority", "\(rulePriority)"]
    }

    /// Behind the `local` table (0), before `main` (32766), and the same for the same table.
    package var rulePriority: UInt32 { 10_000 + routingTable % 10_000 }

    /// True of sockets but those in TIME_WAIT: they have no mark, so that it can be compared with nothing.
    private var isWhole: String { "socket mark != 0xffffffff" }

    private var interfaceRule: String {
        guard !interfaces.isEmpty else { return "" }
        return "iifname != { \(interfaces.map { "\"\($0)\"" }.joined(separator: ", ")) } accept"
    }

    private func elements(isV4: Bool) -> String {
        let texts = services.compactMap { $0.element(isV4: isV4) }
        return texts.isEmpty ? "" : " elements = { \(texts.joined(separator: ", ")) };"
    }

    private func hex(_ value: UInt32) -> String { "0x" + String(value, radix: 16) }
}

/// Who takes the datagrams for an origin.
public struct DatagramServer: Hashable, Sendable {
    public var service: ServicePrefix
    public var server: Endpoint

    public init(service: ServicePrefix, server: Endpoint) {
        self.service = service
        self.server = server
    }

    /// Translation stays within a family.
    var isOfOneFamily: Bool { service.isOf(isV4: server.address.isV4) }

    /// `dnat` as `nft` wants it.
    var rule: String {
        let isV4 = server.address.isV4
        let family = isV4 ? "ip" : "ip6"
        let destination =
            service.addresses.length == 0
            ? "meta nfproto \(isV4 ? "ipv4" : "ipv6")" : "\(family) daddr \(service.addresses)"
        return "\(destination) udp dport \(service.port) counter dnat \(family) to \(server)"
    }
}

/// A port on each address of a prefix: `10.0.0.80:80`, `10.0.0.0/24:80`, `[2001:db8::/64]:443`, `any:80`.
public struct ServicePrefix: Hashable, Sendable {
    public var addresses: AddressPrefix
    public var port: UInt16

    public init(_ addresses: AddressPrefix, port: UInt16) {
        self.addresses = addresses
        self.port = port
    }

    public func contains(_ endpoint: Endpoint) -> Bool {
        endpoint.port == port && addresses.contains(endpoint.address)
    }

    /// It has addresses of the family.
    func isOf(isV4: Bool) -> Bool { addresses.length == 0 || addresses.address.isV4 == isV4 }

    func element(isV4: Bool) -> String? {
        if addresses.length == 0 { return isV4 ? "0.0.0.0/0 . \(port)" : "::/0 . \(port)" }
        guard addresses.address.isV4 == isV4 else { return nil }
        return "\(addresses) . \(port)"
    }
}

extension ServicePrefix: CustomStringConvertible {
    public var description: String {
        addresses.length == 0 || addresses.address.isV4 ? "\(addresses):\(port)" : "[\(addresses)]:\(port)"
    }

    public init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let addresses = AddressPrefix(host) else { return nil }
        self.init(addresses, port: port)
    }
}
