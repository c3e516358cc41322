public import CRTP
public import InterCore
public import Wire

/// All of a director's configuration file, decoded and defaulted. `docs/configuration.md` describes each key.
public struct DirectorConfiguration: Sendable, Equatable {
    public var name = "director"
    public var role = DirectorRole.director
    /// Of a forwarder and a classifier: where its tunnels end. At most one of each family.
    public var tunnelAddresses: [IPAddress] = []
    /// Of a forwarder.
    public var classifiers: [Classifier] = []
    /// Of a classifier.
    public var forwarders: ForwarderSettings?
    public var ports = Ports()
    /// The director stands on a server itself; there are no `ports` then.
    public var host: HostSettings?
    public var workers = Workers()
    public var crtp = CRTPSettings()
    public var timeout = TimeoutSettings()
    public var proxies: [Proxy] = []
    public var virtualServers: [VirtualServer] = []
    /// In order of precedence.
    public var rules: [Rule] = []
    public var routes: [Route] = []
    public var control = ControlSocketSettings()
    public var metrics = MetricsSettings()
    public var page = PageSettings()
    public var logLevel = "info"
    /// `text` or `json`.
    public var logFormat = "text"
    /// Lines beyond this are counted, not written.
    public var logLinesPerSecond = 100

    public init() {}

    /// DPDK ports by their devargs, one or more a side: `net_af_xdp0,iface=pc` or a PCI address.
    public struct Ports: Sendable, Equatable {
        public var client: [String] = []
        public var server: [String] = []
        /// Receive and transmit queues of each port.
        public var queues = 1
        public init() {}
    }

    public struct HostSettings: Sendable, Equatable {
        /// The configuration file of the host's agent: its interface, its servers, and where the two talk.
        public var agent: String
        public init(agent: String) { self.agent = agent }
    }

    public struct Workers: Sendable, Equatable {
        public var count = 1
        public var flowCapacity = 65_536
        public var flowCapacityIPv6 = 65_536
        /// Flows of UDP datagrams, of either family.
        public var datagramFlowCapacity = 16_384
        public var heldPackets = 4_096
        public var heldFlows = 4_096
        public var headLimit = 16_384
        public var incompleteHeadMicroseconds: UInt64 = 20_000
        public var synOnlyMicroseconds: UInt64 = 5_000_000
        public var idleMicroseconds: UInt64 = 300_000_000
        public var committedIdleMicroseconds: UInt64 = 7_200_000_000
        public var closedMicroseconds: UInt64 = 60_000_000
        public var datagramIdleMicroseconds: UInt64 = 180_000_000
        public var recoveryMicroseconds: UInt64 = 3_000_000
        public var maximumSegment: UInt16 = 0
        public var idle: IdlePolicy = .adaptive
        public var transmitDelayMicroseconds: UInt64 = 0
        /// Packet buffers of each worker. Its two af_xdp queues keep up to 8,192: two rings of 2,048 each.
        public var mbufs = 16_383
        public init() {}
    }

    public struct CRTPSettings: Sendable, Equatable {
        /// Local address and port of the channel's socket; port 0 for any.
        public var listen = Endpoint(.unspecified, port: 0)
        public var via = Way.kernel
        /// With `Way.serverPort`: the tag of the channel's frames.
        public var vlan = VLAN.untagged
        /// Where pre-shared keys live, by key id. Each file holds the key in hexadecimal, one line.
        public var keyFiles: [UInt8: KeyFile] = [:]
        public var currentKey: UInt8 = 1
        public var channel = ChannelConfiguration()
        public var algorithm: SelectionAlgorithm = .roundRobin
        public var choice = ChoiceSettings()
        public var queue = QueueSettings()
        public var multicast: MulticastSettings?
        public var tls = TLSSettings()
        public init() {}
    }

    /// What the director trusts and shows where it opens channels over TLS: paths of PEM files.
    public struct TLSSettings: Sendable, Equatable {
        /// nil: the system's.
        public var authority: String?
        public var certificate: String?
        public var key: String?
        public init() {}
    }

    /// What carries the frames of a proxy's channel.
    public enum Transport: String, Sendable, Equatable, CaseIterable {
        case udp, tcp, tls
        /// In headers of HTTP requests and their answers.
        case http

        /// Connections that are kept, not datagrams.
        package var isStream: Bool { self != .udp }
    }

    /// How the channel's datagrams travel.
    public enum Way: String, Sendable {
        /// By a socket of the kernel.
        case kernel
        /// By the ports on the servers' side, where `listen` is an address of the director's own.
        case serverPort = "server-port"
    }

    /// A group that all agents of a rule are asked by at once.
    public struct MulticastSettings: Sendable, Equatable {
        public var group: Endpoint
        /// By which frames leave; nil: as the routes say.
        public var interface: String?
        /// TTL or hop limit.
        public var hops = 1
        public init(group: Endpoint) { self.group = group }
    }

    /// Requests that wait for a proxy with too much to do.
    public struct QueueSettings: Sendable, Equatable {
        /// At most so many; 0: none waits.
        public var requests = 1_024
        public var patienceMicroseconds: UInt64 = 10_000
        public init() {}
    }

    /// What becomes of a proxy that refuses or does not answer, and of the request.
    public struct ChoiceSettings: Sendable, Equatable {
        /// Proxies that one request is offered to, one after the other.
        public var tries = 2
        /// A proxy is set aside after so many timeouts in a row; 0: never.
        public var setAsideAfter = 3
        /// Time between questions to a proxy that is set aside.
        public var probeMicroseconds: UInt64 = 500_000
        /// How long a proxy that lacks an object is not asked for it; 0: it is asked each time.
        public var refusalLifetimeMicroseconds: UInt64 = 1_000_000
        /// Objects of which refusals are remembered.
        public var refusals = 16_384
        public init() {}
    }

    /// TO = SRTT + max(granularity, k x RTTVAR), within floor and ceiling (RFC 6298 section 2).
    public struct TimeoutSettings: Sendable, Equatable {
        public var k: Double = 4
        public var granularityMicroseconds: UInt64 = 200
        public var floorMicroseconds: UInt64 = 2_000
        public var ceilingMicroseconds: UInt64 = 50_000
        /// Before any sample.
        public var initialMicroseconds: UInt64 = 20_000
        public init() {}
    }

    public struct Proxy: Sendable, Equatable {
        public var name: String
        public var address: Endpoint
        public var weight = 1
        /// Overrides what the agent says of itself in INIT.
        public var mac: MACAddress?
        public var transport = Transport.udp
        /// Whom its certificate must name; nil: its address.
        public var serverName: String?
        /// How clients' packets get there when layer 2 does not; nil: as they are.
        public var encapsulation: EncapsulationSettings?
        public init(name: String, address: Endpoint) {
            self.name = name
            self.address = address
        }
    }

    public struct Rule: Sendable, Equatable {
        public var name: String
        /// Ports, prefixes, applications, credentials, mode: the part that workers apply.
        public var match = CandidateRule()
        /// Host patterns: exact, or `*.example.org` for any subdomain. Empty for all.
        public var hosts: [String] = []
        /// Path patterns: prefix when they end in `*`, exact otherwise. Empty for all.
        public var paths: [String] = []
        /// Names of proxies; empty for all.
        public var proxies: [String] = []
        public var resetBy: ResetBy = .director
        public var laterRequests: LaterRequests = .relay
        public var handOff: HandOff = .ask
        /// How one of them is chosen; nil: as `crtp.algorithm` says.
        public var algorithm: SelectionAlgorithm?
        /// TLS and QUIC: protocols that the proxies speak.
        public var alpn: ALPN = .http11
        /// What whoever serves must be able to give.
        public var requirements = Requirements()
        /// Lower is more important.
        public var priority = 100
        public init(name: String) { self.name = name }
    }

    /// What becomes of a later request that the proxy lacks: it relays, or hands the connection back so that a proxy gets
    /// it that does not; if none does, it relays.
    public enum LaterRequests: String, Sendable, Equatable, CaseIterable { case relay, move }

    /// Whether a proxy is asked for a request, or just given it: where the director knows who is responsible.
    public enum HandOff: String, Sendable, Equatable, CaseIterable {
        case ask
        case oneWay = "one-way"
    }

    public enum ResetBy: String, Sendable, Equatable, CaseIterable { case director, proxy }

    public struct Route: Sendable, Equatable {
        public var match = RouteRule()
        /// nil: to the origin.
        public var proxy: String?
        public init() {}
    }

    public struct MetricsSettings: Sendable, Equatable {
        /// Where Prometheus may ask; nil: nowhere.
        public var listen: Endpoint?
        public init() {}
    }

    public struct PageSettings: Sendable, Equatable {
        /// Where the dashboard is served; nil: nowhere.
        public var listen: Endpoint?
        public init() {}
    }

    public struct ControlSocketSettings: Sendable, Equatable {
        public var path = "/run/baton/batond.sock"
        /// Group that may read; the owner may change as well.
        public var group: String?
        public init() {}
    }
}
