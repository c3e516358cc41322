// What the operator sees. Values of their own, so that the control socket's messages do not change with the machines
// behind them. All are Codable: their JSON keys are the control socket's (and `batonctl --json`'s).

/// How proxies are selected: answer to `algorithm`.
public struct AlgorithmStatus: Codable, Equatable, Sendable {
    /// Of rules that have none of their own.
    public var algorithm: String
    /// By rule's name.
    public var rules: [String: String]

    public init(algorithm: String, rules: [String: String]) {
        self.algorithm = algorithm
        self.rules = rules
    }
}

/// `batonctl status`.
public struct DirectorStatus: Codable, Sendable, Equatable {
    public var name = ""
    public var version = ""
    public var uptimeSeconds: Double = 0
    public var bypass = false
    public var recovering = false
    public var algorithm = ""
    public var workers: [WorkerStatus] = []
    /// Transfers by how they ended: `committed`, `nack`, `timeout`, `late`, `cancelled`, `observed`, …
    public var transfers: [String: UInt64] = [:]
    public var pendingTransfers = 0
    /// Requests that wait for a busy proxy, and how many waited in vain, by rule.
    public var queuedRequests = 0
    public var shed: [String: UInt64] = [:]
    public var proxiesUp = 0
    public var proxiesConfigured = 0
    /// Packet buffers in all, and those that no port, hold or ring has.
    public var packetBuffers = 0
    public var packetBuffersFree = 0
    public var ports: [PortStatus] = []
    /// Of the workers' `busyClocks`.
    public var clockHertz: UInt64 = 0
    /// CRTP frames by fate: `received`, `sent`, `unauthenticated`, `replayed`, `malformed`, …
    public var crtp: [String: UInt64] = [:]
    /// Blobs and their fragments, by way and by what became of them.
    public var blobs: [String: UInt64] = [:]
    /// From a request to the decision who gets it, of all that were asked for.
    public var decisionTimes = TimeHistogram()
    /// In the configuration's order.
    public var rules: [RuleStatus] = []
    public var links = LinkStatus()
    /// Of all virtual servers, in the configuration's order.
    public var origins: [OriginStatus] = []
    public init() {}
}

/// A row of `batonctl origins`.
public struct OriginStatus: Codable, Sendable, Equatable {
    public var server = ""
    /// The virtual server's own, which clients dial.
    public var serverAddress = ""
    public var origin = ""
    public var address = ""
    public var up = false
    /// How long it has been up, or down.
    public var sinceSeconds: Double = 0
    /// What the last check found.
    public var reason = ""
    /// Empty while it is not known.
    public var mac = ""
    public init() {}
}

/// A port, as its driver counts.
public struct PortStatus: Codable, Sendable, Equatable {
    public var name = ""
    /// `client` or `server`.
    public var side = ""
    public var link = false
    public var receivedPackets: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var transmittedPackets: UInt64 = 0
    public var transmittedBytes: UInt64 = 0
    public var missed: UInt64 = 0
    public var errors: UInt64 = 0
    public init() {}
}

/// Whether any port of a side has a link.
public struct LinkStatus: Codable, Sendable, Equatable {
    public var client = false
    public var server = false

    public init(client: Bool = false, server: Bool = false) { (self.client, self.server) = (client, server) }
}

/// What became of a rule's requests.
public struct RuleStatus: Codable, Sendable, Equatable {
    public var name: String
    /// Handed to a proxy.
    public var committed: UInt64 = 0
    /// Asked for, and left to the origin.
    public var origin: UInt64 = 0
    /// Asked for, and never held.
    public var observed: UInt64 = 0
    /// Not asked for: no proxy could be.
    public var unasked: UInt64 = 0

    public init(name: String) { self.name = name }

    /// One row for each name, in the order of their first ones: a rule of several combinations of ports and prefixes
    /// is counted in several places.
    static func summed(_ rows: [RuleStatus]) -> [RuleStatus] {
        var sums: [RuleStatus] = []
        for row in rows {
            guard let index = sums.firstIndex(where: { $0.name == row.name }) else {
                sums.append(row)
                continue
            }
            sums[index].committed += row.committed
            sums[index].origin += row.origin
            sums[index].observed += row.observed
            sums[index].unasked += row.unasked
        }
        return sums
    }
}

public struct WorkerStatus: Codable, Sendable, Equatable {
    public var index = 0
    public var lcore = 0
    public var counters: [String: UInt64] = [:]
    public var gauges: [String: UInt64] = [:]
    /// Since its last turn.
    public var beatSeconds: Double = 0
    public init() {}
}

/// A row of `batonctl proxies`.
public struct ProxyStatus: Codable, Sendable, Equatable {
    public var name = ""
    public var address = ""
    public var state = ""
    /// What the operator wants.
    public var administrative = ProxyWish.up
    /// `udp`, `tcp` or `tls`.
    public var transport = "udp"
    /// Of TCP and TLS: there is a connection.
    public var connected = false
    /// Connections that were made; connections that ended and attempts that failed, by reason; and frames that found no
    /// connection, or one that took no more.
    public var connects: UInt64 = 0
    public var connectionEnds: [String: UInt64] = [:]
    public var undelivered: UInt64 = 0
    public var mac = ""
    public var weight = 1
    public var connections: UInt32 = 0
    /// As its agent last said, thousandths.
    public var processorLoad: UInt16 = 0
    public var memoryLoad: UInt16 = 0
    public var committedFlows = 0
    public var pendingTransfers = 0
    public var acks: UInt64 = 0
    public var nacks: UInt64 = 0
    public var timeouts: UInt64 = 0
    public var lateACKs: UInt64 = 0
    /// Requests that it did not take and that another proxy was asked for then.
    public var passedOn: UInt64 = 0
    /// Connections that it has handed back and others went on with, and offers that came to nothing.
    public var movedAway: UInt64 = 0
    public var movesRefused: UInt64 = 0
    /// Timeouts in a row; enough of them set a proxy aside.
    public var consecutiveTimeouts = 0
    /// Questions to it while it was set aside.
    public var probes: UInt64 = 0
    public var srttMicroseconds: Double = 0
    public var rttvarMicroseconds: Double = 0
    public var timeoutMicroseconds: UInt64 = 0
    /// From TRANSFER to ACK: asking, looking and adopting.
    public var adoptionTimes = TimeHistogram()
    public init() {}
}

/// A row of `batonctl transfers`: pending ones and the last thousand that ended.
public struct TransferStatus: Codable, Sendable, Equatable {
    public var transfer: UInt32 = 0
    public var flow = ""
    public var host = ""
    public var path = ""
    public var rule = ""
    public var proxy = ""
    public var state = ""
    public var reason = ""
    public var tookMicroseconds: UInt64 = 0
    /// Of the director's uptime, when the request was held.
    public var startedSeconds: Double = 0
    /// From then to the agent's answer; 0 when there was none.
    public var answeredMicroseconds: UInt64 = 0
    public init() {}
}

/// `batonctl flows`: a page of a listing.
public struct FlowPage: Codable, Sendable, Equatable {
    public var flows: [FlowStatus] = []
    /// What to give back as `cursor` to read on; nil when that was all.
    public var next: String?
    public init() {}
}

/// `batonctl flows --count`.
public struct FlowCensus: Codable, Sendable, Equatable {
    /// All flows that were counted.
    public var flows: UInt64 = 0
    public var counts: [FlowCount] = []
    /// As in `FlowPage`: the rest is yet to be counted.
    public var next: String?
    public init() {}
}

/// How many flows have the same state and proxy.
public struct FlowCount: Codable, Sendable, Equatable {
    public var state: String
    /// Empty for none.
    public var proxy: String
    public var flows: UInt64

    public init(state: String, proxy: String, flows: UInt64) {
        self.state = state
        self.proxy = proxy
        self.flows = flows
    }
}

/// A row of `batonctl flows`.
public struct FlowStatus: Codable, Sendable, Equatable {
    public var flow = ""
    /// `tcp` or `udp`.
    public var `protocol` = ""
    public var worker = 0
    public var state = ""
    public var proxy = ""
    public var idleMilliseconds: UInt32 = 0
    public init() {}
}
