public import Wire

/// What a frame says. Handshake and liveness belong to the channel machines (`ChannelInitiator`, `ChannelResponder`);
/// transfers belong to the transfer machine and the agent. `docs/crtp.md` has the bytes.
public enum Message: Equatable, Sendable {
    // the channel's own
    case initiate(Initiate)
    case challenge(Challenge)
    case accept(Accept)
    case keepalive(Keepalive)
    case keepaliveResponse(AgentStatus)
    case error(ErrorCode)

    // transfers
    case transfer(Transfer)
    /// The agent has adopted the connection and is silent until the request itself arrives.
    case transferACK
    case transferNACK(NACKReason, retryAfterMilliseconds: UInt16)
    case terminate(Terminate)
    case terminateResponse
    /// An agent announces a connection that it has (after INIT), or answers `flowQuery`.
    case flowInformation(FlowKey, transfer: UInt32, label: FlowLabel? = nil)
    /// The announcement is complete; `count` flows were announced.
    case flowInformationEnd(count: UInt32)
    /// A director asks whose connection this is; the answer has the same transaction.
    case flowQuery(FlowKey)
    /// Not the asked agent's.
    case flowUnknown(FlowKey)
    /// The agent has read its first request byte (`reset-by: proxy`). From the director: the request in TRANSFER is the
    /// agent's to answer.
    case firstByte
    /// The connection is the agent's, which is not asked: it goes on behind the request, and answers it. Outside
    /// sessions. `sentAt`: by the director's clock, microseconds since 1970.
    case handOff(Transfer, sentAt: UInt64)

    // what is longer than a frame
    case blob(BlobFragment)
    case blobReceipt(BlobReceipt)
}

/// TRANSFER: one datagram carries all that an agent needs.
public struct Transfer: Equatable, Sendable {
    public var connection: ConnectionState
    /// First bytes of the request head, at most 1,216. Of UDP: the name that the client asks for.
    public var request: [UInt8]
    /// The request head is longer than `request`.
    public var isTruncated: Bool
    /// The request is held and will be handed over (false: `observe`, the agent only says what it would do).
    public var isHeld: Bool
    public var application: Application
    /// Microseconds that the director will wait for an answer; an agent that is later than this need not begin.
    public var validMicroseconds: UInt32
    /// The director waits for `firstByte` before it resets the origin.
    public var wantsFirstByte: Bool
    /// The agent may hand the connection back between two requests.
    public var mayComeBack = false
    /// The client knows that the whole of `request` has arrived, and will not send it again: the agent goes on behind
    /// it, and answers it after the director's `firstByte`, which is then the commit.
    public var isAcknowledged = false
    /// From an agent, which hands the connection back: the transfer by which it had got it. 0 otherwise.
    public var handsBack: UInt32 = 0
    /// Names the client's connection for as long as it lives, whoever serves it: in logs of all who do. 0: unnamed.
    public var connectionID: UInt64 = 0
    /// How often the connection has changed hands before (`FlowLabel.generation`); when it is handed back, of whom hands it.
    public var generation: UInt16 = 0
    public var requirements = Requirements()
    /// The connection's state and data are in this blob, which the receiver has or will get; `request` only says what is
    /// asked for, and is at most 1,200 bytes then. Not in HANDOFF.
    public var blob: BlobReference?

    public init(
        connection: ConnectionState, request: [UInt8], isTruncated: Bool = false, isHeld: Bool = true,
        application: Application = .httpGet, validMicroseconds: UInt32 = 50_000, wantsFirstByte: Bool = false
    ) {
        self.connection = connection
        self.request = request
        self.isTruncated = isTruncated
        self.isHeld = isHeld
        self.application = application
        self.validMicroseconds = validMicroseconds
        self.wantsFirstByte = wantsFirstByte
    }
}

/// What a rule asks for its connections (US 9,338,192, column 12); an agent that cannot give it refuses.
public struct Requirements: Hashable, Sendable {
    /// At least, in kbit/s; 0 for any.
    public var bandwidth: UInt32
    /// Microseconds that a server may take to begin an answer; 0 for any.
    public var delay: UInt32
    /// Differentiated services code point of its packets (RFC 2474), 0 to 63; nil for any.
    public var trafficClass: UInt8?

    public init(bandwidth: UInt32 = 0, delay: UInt32 = 0, trafficClass: UInt8? = nil) {
        self.bandwidth = bandwidth
        self.delay = delay
        self.trafficClass = trafficClass
    }

    public var isEmpty: Bool { self == Requirements() }
}

/// Why an agent does not take a connection. Raw values are the wire's.
public enum NACKReason: UInt8, Equatable, Sendable, CaseIterable {
    case notFound = 1
    case busy = 2
    case draining = 3
    case tupleInUse = 4
    case optionsUnsupported = 5
    case methodUnsupported = 6
    case requestIncomplete = 7
    case pipelined = 8
    case tooBig = 9
    case expired = 10
    case noRoute = 11
    case resource = 12
    case policy = 13
    case unknownFlow = 14
    case badTLV = 15
    case internalError = 18
}

/// TERMINATE, either way, answered by `terminateResponse` with the same transaction and repeated until then.
public struct Terminate: Equatable, Sendable {
    public enum Cause: UInt8, Equatable, Sendable, CaseIterable {
        /// Director: the request went to the origin; drop what you adopted, silently.
        case cancel = 1
        /// Director: your ACK came after the request went to the origin; the same effect as `cancel`.
        case late = 2
        /// Agent: the connection is over.
        case flowDone = 3
        /// Either: the channel ends by an operator's wish.
        case administrative = 4
        /// Director: give this connection back as soon as it can be moved. The answer says only that this was heard.
        case handBack = 5
    }
    public var cause: Cause
    /// The transfer that is meant: the transaction number of its TRANSFER.
    public var transfer: UInt32
    /// Must be the transfer's too, or the frame changes nothing (rule 1).
    public var psn: SequenceNumber
    /// Agent with `flowDone`: bytes sent to the client.
    public var bytesSent: UInt64

    public init(cause: Cause, transfer: UInt32, psn: SequenceNumber, bytesSent: UInt64 = 0) {
        self.cause = cause
        self.transfer = transfer
        self.psn = psn
        self.bytesSent = bytesSent
    }
}

/// INIT, without cookie first and with it afterwards. Always padded to more than the size of its answer.
public struct Initiate: Equatable, Sendable {
    /// 16 bytes, new for each handshake.
    public var nonce: [UInt8]
    /// 24 bytes, as CHALLENGE brought them.
    public var cookie: [UInt8]?
    /// Changes with each start of the director.
    public var epoch: UInt64
    /// The least protection that the director accepts for the session.
    public var protection: Protection
    /// How often the director will send KEEPALIVE, and how many may be missed: the agent's measure of silence.
    public var keepaliveMicroseconds: UInt32
    public var detectMultiplier: UInt8
    /// The agent is to announce its flows (once) when the session is up, even if it was up before.
    public var wantsFlows: Bool
    /// The initiator only forwards: it is to hear of all connections, whoever gave them, with their labels, also of those
    /// to come, and of their ends.
    public var isForwarder = false
    /// Ids of the keys that the director holds; empty when it does not say.
    public var heldKeys: [UInt8] = []

    public init(
        nonce: [UInt8], cookie: [UInt8]? = nil, epoch: UInt64, protection: Protection = .sealed,
        keepaliveMicroseconds: UInt32 = 1_000_000, detectMultiplier: UInt8 = 3, wantsFlows: Bool = true
    ) {
        self.nonce = nonce
        self.cookie = cookie
        self.epoch = epoch
        self.protection = protection
        self.keepaliveMicroseconds = keepaliveMicroseconds
        self.detectMultiplier = detectMultiplier
        self.wantsFlows = wantsFlows
    }
}

/// INIT-CHALLENGE: the agent keeps nothing of who asked; the cookie comes back in the next INIT.
public struct Challenge: Equatable, Sendable {
    /// INIT's nonce again.
    public var nonce: [UInt8]
    public var cookie: [UInt8]

    public init(nonce: [UInt8] = [UInt8](repeating: 0, count: 16), cookie: [UInt8]) {
        self.nonce = nonce
        self.cookie = cookie
    }
}

/// INIT-ACK: the session, and who the agent is.
public struct Accept: Equatable, Sendable {
    public var session: UInt32
    /// INIT's nonce again.
    public var initiatorNonce: [UInt8]
    /// The agent's nonce, 16 bytes; with the director's it makes the session's keys.
    public var nonce: [UInt8]
    /// The session's: the stronger of what both ends want.
    public var protection: Protection
    public var agent: AgentDescription
    /// Ids of the keys that the agent holds; empty when it does not say.
    public var heldKeys: [UInt8] = []

    public init(
        session: UInt32, initiatorNonce: [UInt8] = [UInt8](repeating: 0, count: 16), nonce: [UInt8],
        protection: Protection = .sealed, agent: AgentDescription
    ) {
        self.session = session
        self.initiatorNonce = initiatorNonce
        self.nonce = nonce
        self.protection = protection
        self.agent = agent
    }
}

/// What an agent says of itself in INIT-ACK (rule 14).
public struct AgentDescription: Equatable, Sendable {
    /// At most 63 bytes of UTF-8.
    public var name: String
    public var mac: MACAddress
    public var vlan: VLAN
    public var mtu: UInt16
    /// Changes with each start of the agent.
    public var epoch: UInt64
    /// Most transfers that may be under way at once.
    public var credits: UInt32
    public var capabilities: Capabilities

    public init(
        name: String, mac: MACAddress, vlan: VLAN = .untagged, mtu: UInt16 = 1_500, epoch: UInt64, credits: UInt32,
        capabilities: Capabilities
    ) {
        self.name = name
        self.mac = mac
        self.vlan = vlan
        self.mtu = mtu
        self.epoch = epoch
        self.credits = credits
        self.capabilities = capabilities
    }
}

/// What an agent's TCP and applications can go on with.
public struct Capabilities: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static var ipv4: Capabilities { .init(rawValue: 1) }
    public static var ipv6: Capabilities { .init(rawValue: 2) }
    public static var timestamps: Capabilities { .init(rawValue: 4) }
    public static var sack: Capabilities { .init(rawValue: 8) }
    public static var windowScale: Capabilities { .init(rawValue: 16) }
    public static var http: Capabilities { .init(rawValue: 32) }
    public static var tls: Capabilities { .init(rawValue: 64) }
    public static var smtp: Capabilities { .init(rawValue: 128) }
    /// Flows of UDP datagrams, for which the agent has nothing to adopt: a server beside it takes them.
    public static var datagrams: Capabilities { .init(rawValue: 256) }
    /// Takes connections whose next request another agent has read.
    public static var handedBack: Capabilities { .init(rawValue: 512) }
    /// Takes connections by HANDOFF, without having been asked.
    public static var handOffs: Capabilities { .init(rawValue: 1_024) }
    /// Takes and gives connections whose state and data are in a blob; answers `flowQuery`, hears `handBack`.
    public static var blobs: Capabilities { .init(rawValue: 2_048) }
}

/// KEEPALIVE: names the selection algorithm, so that the answer carries what it needs (US 9,338,192, column 9).
public struct Keepalive: Equatable, Sendable {
    public var algorithm: SelectionAlgorithm
    /// The director's multicast group, if it has one.
    public var group: GroupDescription?
    public init(algorithm: SelectionAlgorithm) { self.algorithm = algorithm }
}

/// How a proxy is chosen. Raw values are the wire's.
public enum SelectionAlgorithm: UInt8, Equatable, Sendable, CaseIterable {
    case roundRobin = 1
    case leastConnections = 2
    case leastLoad = 3
    case mostLoad = 4
    case applicationHash = 5
    case enforced = 6
    case twoChoices = 7
    case multicast = 8

    /// As configuration and operators write it.
    public var name: String {
        switch self {
        case .roundRobin: "round-robin"
        case .leastConnections: "least-connections"
        case .leastLoad: "least-load"
        case .mostLoad: "most-load"
        case .applicationHash: "application-hash"
        case .enforced: "enforced"
        case .twoChoices: "two-choices"
        case .multicast: "multicast"
        }
    }

    public init?(name: String) {
        guard let algorithm = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = algorithm
    }
}

/// KEEPALIVE's answer.
public struct AgentStatus: Equatable, Sendable {
    public var connections: UInt32
    public var credits: UInt32
    /// Processor and memory use in thousandths.
    public var processorLoad: UInt16
    public var memoryLoad: UInt16
    public var isDraining: Bool
    /// The agent listens to the group that KEEPALIVE named, and can open its frames.
    public var isInGroup = false
    /// Ids of the keys that the agent holds; empty when it does not say.
    public var heldKeys: [UInt8] = []

    public init(
        connections: UInt32 = 0, credits: UInt32 = 0, processorLoad: UInt16 = 0, memoryLoad: UInt16 = 0,
        isDraining: Bool = false
    ) {
        self.connections = connections
        self.credits = credits
        self.processorLoad = processorLoad
        self.memoryLoad = memoryLoad
        self.isDraining = isDraining
    }
}

/// ERROR, sent only within an authenticated session, except `badVersion` and `badSession`, which are never larger
/// than what they answer.
public enum ErrorCode: UInt8, Equatable, Sendable, CaseIterable {
    case badVersion = 16
    case badSession = 17
    case badMessage = 19
}

/// A message with what its header says.
public struct Frame: Equatable, Sendable {
    public var message: Message
    /// Names the exchange; an answer repeats it. A TRANSFER's transaction names the transfer from then on.
    public var transaction: UInt32
    /// Which try of the exchange this is, echoed in the answer, so that a round trip is always measurable (RFC 6298
    /// section 3: Karn's ambiguity is gone).
    public var attempt: UInt8

    public init(_ message: Message, transaction: UInt32, attempt: UInt8 = 0) {
        self.message = message
        self.transaction = transaction
        self.attempt = attempt
    }
}
