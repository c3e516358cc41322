public import CRTP
public import Streams
public import Wire

/// All that an agent is told by its configuration file.
public struct AgentConfiguration: Equatable, Sendable {
    /// Names the agent in INIT, in logs, and, made safe, in the packet filter's table.
    public var name: String
    public var channel: ControlChannelSettings
    /// The interface on which the clients' packets arrive: its MAC address and MTU go to the directors.
    public var interface: String
    /// More interfaces on which they may arrive.
    public var extraInterfaces: [String] = []
    public var vlan: VLAN = .untagged
    /// nil: clients' packets come as they are.
    public var encapsulation: DecapsulationSettings?
    public var sites: [Site]
    public var adoption = AdoptionSettings()
    public var capacity = Capacity()
    public var replay = ReplaySettings()
    public var serving = ServingSettings()
    public var accessLog: String?
    /// Whom the agent becomes once everything is open; nil to stay who it was started as.
    public var user: String?
    public var log = LogSettings()

    public init(name: String, channel: ControlChannelSettings, interface: String, sites: [Site]) {
        self.name = name
        self.channel = channel
        self.interface = interface
        self.sites = sites
    }
}

/// CRTP as the agent sees it.
public struct ControlChannelSettings: Equatable, Sendable {
    public var listen: [Endpoint]
    public var keys: KeyRing
    public var protection: Protection = .sealed
    /// Datagrams from elsewhere are dropped unread.
    public var directors: [AddressPrefix]
    public var keepaliveMicroseconds: UInt64 = 1_000_000
    /// Multicast groups to listen to, and by which interface; nil: the agent's.
    public var groups: [Endpoint] = []
    public var groupInterface: String?
    /// Where channels over TCP, over TLS and over HTTP are accepted.
    public var streams: [Endpoint] = []
    public var secureStreams: [Endpoint] = []
    public var exchanges: [Endpoint] = []
    public var tls = TLSFiles()

    public init(listen: [Endpoint], keys: KeyRing, directors: [AddressPrefix]) {
        self.listen = listen
        self.keys = keys
        self.directors = directors
    }
}

extension ControlChannelSettings {
    /// All places where connections of directors come.
    var connected: [(endpoint: Endpoint, kind: StreamKind)] {
        streams.map { ($0, .bare) } + secureStreams.map { ($0, .secure) } + exchanges.map { ($0, .http) }
    }
}

public struct AdoptionSettings: Equatable, Sendable {
    /// Adoptions that may wait for their first byte at once.
    public var credits: UInt32 = 1_024
    /// Adopted connections at once, waiting or not.
    public var connections: Int = 16_000
    /// An adoption whose request has not come is forgotten after this long, never sooner (rule 7).
    public var uncommittedLifetimeMicroseconds: UInt64 = 120_000_000
    public var uncommittedMark: UInt32 = 0xBA70_0001
    public var deliveryMark: UInt32 = 0xBA70_0002
    public var committedMark: UInt32 = 0
    /// SO_MARK of a connection while it is handed back.
    public var suspendedMark: UInt32 = 0xBA70_0003
    public var routingTable: UInt32 = 7_270
    /// Install the packet filter and the routes; false where an operator has put them in place.
    public var installsGuard = true

    public init() {}
}

/// What an agent can promise to rules that require something.
public struct Capacity: Equatable, Sendable {
    /// kbit/s for all connections together; 0: no bound.
    public var bandwidth: UInt32 = 0
    /// The shortest time in which it begins an answer, microseconds.
    public var delay: UInt32 = 0
    /// Code points (RFC 2474) that the network behind it honours; nil: all.
    public var classes: Set<UInt8>?

    public init() {}
}

/// Where the host's replayer is, and what it stands between.
public struct ReplaySettings: Equatable, Sendable {
    /// The UNIX socket by which agent and replayer talk.
    public var socket = "/run/baton/replay.sock"
    /// The replayer's DPDK port on the network's side, as devargs; nil: `interface` by AF_XDP.
    public var port: String?
    /// The host's own interface while the replayer is attached: it gets the addresses and routes of `interface`.
    public var device = "baton0"

    /// Origins with a server of this host.
    package static var longestList: Int { 64 }

    public init() {}
}

public struct ServingSettings: Equatable, Sendable {
    public var threads: Int = 2
    /// A connection on which nothing has moved for this long is closed.
    public var idleMicroseconds: UInt64 = 75_000_000
    /// Connections to origins, caches and relays at once.
    public var upstreamConnections: Int = 1_024
    public var connectTimeoutMicroseconds: UInt64 = 5_000_000
    /// How long flows may go on after SIGTERM.
    public var drainMicroseconds: UInt64 = 30_000_000
    /// Where the servers behind a director's virtual servers are, by what clients dial.
    public var originServers: [Endpoint: Endpoint] = [:]

    public init() {}

    /// Where an origin that clients dialled is to be reached from here: a virtual server is nobody's address on the
    /// servers' side.
    package func server(of origin: Endpoint) -> Endpoint { originServers[origin] ?? origin }
}

public struct LogSettings: Equatable, Sendable {
    public var level: String = "info"
    /// `text` or `json`.
    public var format: String = "text"
    /// Lines a second; what is more is counted and told once a second.
    public var linesPerSecond: Int = 200

    public init() {}
}

/// What the agent has for some hosts at some origins.
public struct Site: Equatable, Sendable {
    public var origins: [ServicePrefix]
    public var hosts: [HostPattern]
    public var content: SiteContent
    /// Requests with Authorization or Cookie may be answered from here too. Otherwise they are the origin's.
    public var isPublic = false

    public init(origins: [ServicePrefix], hosts: [HostPattern], content: SiteContent) {
        self.origins = origins
        self.hosts = hosts
        self.content = content
    }
}

public enum SiteContent: Equatable, Sendable {
    case directory(DirectorySite)
    case cache(CacheSite)
    case relay(RelaySite)
    case datagrams(DatagramSite)
    case replay(ReplaySite)
}

/// Files below a directory.
public struct DirectorySite: Equatable, Sendable {
    public var root: String
    /// What a directory's own URL gives.
    public var index: String = "index.html"
    /// A query is ignored; otherwise a request with one is not found, since the origin may mean something by it.
    public var ignoresQuery = false
    /// Files and directories that the index holds at most; beyond, a request looks at the disk.
    public var indexEntries: Int = 500_000

    public init(root: String) { self.root = root }
}

/// A local HTTP cache, asked with `Cache-Control: only-if-cached`.
public struct CacheSite: Equatable, Sendable {
    public var address: Endpoint
    public init(address: Endpoint) { self.address = address }
}

/// Another server on this host or near it that takes the connection's bytes as they are.
public struct RelaySite: Equatable, Sendable {
    public enum Target: Equatable, Sendable {
        case address(Endpoint)
        case unix(String)
    }
    public var target: Target
    /// The server is told the client's address by PROXY protocol version 2.
    public var announcesClient = false
    /// The connections speak TLS; `hosts` are server names.
    public var isTLS = false

    public init(target: Target) { self.target = target }
}

/// A server of this host that takes the origins' UDP datagrams: QUIC, DNS. It is bound to its own address; the packet
/// filter gives it what comes for the origins, and gives its answers the origins' address.
public struct DatagramSite: Equatable, Sendable {
    public var server: Endpoint
    public init(server: Endpoint) { self.server = server }
}

/// A server of this host that gets the connections themselves, by replay. Nothing of it changes.
public struct ReplaySite: Equatable, Sendable {
    public var server: Endpoint
    /// The connections speak TLS; `hosts` are server names.
    public var isTLS = false

    public init(server: Endpoint) { self.server = server }
}

/// `www.example.com`, `*.example.com` (any number of labels), or `*`.
public struct HostPattern: Hashable, Sendable {
    public var text: String

    /// nil for what is no host name.
    public init?(_ text: some StringProtocol) {
        let lower = text.lowercased()
        let rest = lower == "*" ? "" : lower.hasPrefix("*.") ? String(lower.dropFirst(2)) : lower
        guard lower == "*" || !rest.isEmpty, rest.utf8.count <= 253 else { return nil }
        let isPlain = rest.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
                || [
                    UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"), UInt8(ascii: "["),
                    UInt8(ascii: "]"),
                ].contains(byte)
        }
        guard isPlain else { return nil }
        self.text = lower
    }

    /// `host` is in lower case, without a port.
    public func matches(_ host: some StringProtocol) -> Bool {
        if text == "*" { return true }
        if text.hasPrefix("*.") { return host.hasSuffix(text.dropFirst()) && host.utf8.count > text.utf8.count - 1 }
        return host == text
    }
}
