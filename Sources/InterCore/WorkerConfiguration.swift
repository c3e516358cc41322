public import Wire

/// All that a worker is told before it starts. Plain values; lengths of time in microseconds.
public struct WorkerConfiguration: Sendable {
    /// At most 64, in order of precedence; a rule's index is its bit in `HeldRequest.rules`.
    public var candidates: [CandidateRule] = []
    /// The first match decides, before any candidate rule.
    public var routes: [RouteRule] = []
    public var role = DirectorRole.director
    /// Of a classifier.
    public var arrivals: Arrivals?
    /// The director's own addresses, and who is behind them; of a forwarder, its classifiers are.
    public var virtualServers: [VirtualServer] = []
    public var origins: [Origin] = []
    /// What cookies are made with. Equal for all workers, like the next.
    public var cookieSecret = CookieSecret(low: 0, high: 0)
    /// Milliseconds that TSvals of SYN/ACKs are ahead of the machine's clock: nobody outside is to know that.
    public var timestampOffset: UInt32 = 0
    /// IPv4 flows, all kinds together, for this worker; and IPv6 flows.
    public var flowCapacity: Int = 65_536
    public var flowCapacityIPv6: Int = 65_536
    /// Flows of UDP datagrams for this worker, of either family.
    public var datagramFlowCapacity: Int = 16_384
    /// Packets held in all, for this worker.
    public var heldPacketLimit: Int = 4_096
    /// Packets held for one flow.
    public var heldPacketsPerFlow: Int = 64
    /// Flows held at once.
    public var heldFlowLimit: Int = 4_096
    /// Largest head in bytes; the smaller of this and ten segments counts (rule 4).
    public var headLimit: Int = 16_384
    /// An incomplete head goes to the origin after this (rule 4).
    public var incompleteHeadMicroseconds: UInt64 = 20_000
    /// A hold ends at the origin after this, whatever the control core does.
    public var backstopMicroseconds: UInt64 = 95_000
    /// No heartbeat for this long means a dead control core.
    public var heartbeatMicroseconds: UInt64 = 50_000
    public var synOnlyMicroseconds: UInt64 = 5_000_000
    public var idleMicroseconds: UInt64 = 300_000_000
    public var committedIdleMicroseconds: UInt64 = 7_200_000_000
    public var closedMicroseconds: UInt64 = 60_000_000
    /// A flow of datagrams without any.
    public var datagramIdleMicroseconds: UInt64 = 180_000_000
    /// Clamp the MSS of candidate handshakes to this; 0 for no clamp.
    public var maximumSegment: UInt16 = 0
    /// Proxies are reached by the clients' side: a director on a host, which has nobody but that host on the other.
    public var proxiesOnClientSide = false
    /// Start in recovery: mid-stream packets of candidate rules without an entry are withheld until `recoveryEnded`,
    /// at most this long; 0 for none.
    public var recoveryMicroseconds: UInt64 = 3_000_000
    /// Seed of the hash that places flows in the table and gives each its owner. Equal for all workers.
    public var hashSeed: UInt64 = 0
    public var idle: IdlePolicy = .adaptive
    /// An origin that does not answer a SYN gets it again after this, twice as long later on; in all `bindTries` times, and
    /// after half of them another origin is tried.
    public var bindRetryMicroseconds: UInt64 = 250_000
    public var bindTries: Int = 6
    /// A connection with a virtual server whose client has not asked for anything gets an origin after this, so that the
    /// little room for undecided connections is free again.
    public var unaskedMicroseconds: UInt64 = 30_000_000
    /// So long packets may wait for others to fill a burst with; 0: until the end of the turn.
    public var transmitDelayMicroseconds: UInt64 = 0
    public var workerCount: Int = 1
    public var workerIndex: Int = 0

    public init() {}
}

/// What a worker does when nothing comes.
public enum IdlePolicy: Sendable, Equatable {
    /// Polls for ever.
    case spin
    /// Polls a little, then sleeps until a port or the control core has something.
    case adaptive
}

/// Which connections are candidates, as far as a worker can tell. Host and path are the control core's part. A rule is
/// about TCP or about UDP, as its applications say.
public struct CandidateRule: Sendable, Equatable, BitwiseCopyable {
    public var client: AddressPrefix = .any
    public var server: AddressPrefix = .any
    /// Destination ports, both ends included.
    public var firstPort: UInt16 = 0
    public var lastPort: UInt16 = 65_535
    public var applications: Application = .httpGet
    /// Requests with credentials qualify as well.
    public var isPublic: Bool = false
    public var mode: RuleMode = .on
    /// The director does not see the SYN/ACK: options are muted on the SYN (rule 12).
    public var isAsymmetric: Bool = false
    /// Later requests of connections that are the origin's qualify as well, where its answers can be followed.
    public var followsOrigin: Bool = false

    public init() {}
}

/// How far a rule goes.
public enum RuleMode: Sendable, Equatable, BitwiseCopyable {
    case off
    /// Asks and counts, holds nothing.
    case observe
    /// Holds this part of the connections (by hash), 0...100 percent; the rest is not asked for.
    case canary(percent: UInt8)
    case on
}

/// Connections with a destination of their own, nobody asked.
public struct RouteRule: Sendable, Equatable, BitwiseCopyable {
    public var client: AddressPrefix = .any
    public var server: AddressPrefix = .any
    public var firstPort: UInt16 = 0
    public var lastPort: UInt16 = 65_535
    /// `none`: to the origin, never a candidate.
    public var proxy: ProxyIndex = .none

    public init() {}
}
