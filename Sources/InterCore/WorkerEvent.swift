public import Wire

/// What a worker tells the control core. Events travel in order on one ring for each worker; `requestHeld` and
/// `requestObserved` carry the head's first bytes as the message's payload, the datagrams' events the whole datagram.
public enum WorkerEvent: Sendable, BitwiseCopyable {
    /// A candidate's request is held. The payload is its first `HeldRequest.payloadLength` bytes.
    case requestHeld(HeldRequest)
    /// The same, but nothing is held: a rule in mode `observe`.
    case requestObserved(HeldRequest)
    /// A datagram of a first flight is held. The payload is all of its own. More may follow under the same handle.
    case datagramHeld(HeldDatagram)
    /// The same, but nothing is held, and nothing follows.
    case datagramObserved(HeldDatagram)
    /// A proxy's server has told its client a connection identifier (QUIC): other workers are to know.
    case identifierLearnt(ConnectionIdentifier)
    /// The first held packet was handed to the proxy's port. From now on the flow is the proxy's.
    case committed(FlowHandle)
    /// The held packets went to the origin (or were dropped with the client's RST).
    case aborted(FlowHandle, AbortReason)
    /// Of a flow that was handed off: its client has sent the request again. At most once in 100 ms of each flow.
    case requestRepeated(FlowHandle)
    /// The same client has acknowledged an answer, or has been silent for 120 s: nothing of it is told any more.
    case handOffOver(FlowHandle)
    /// Answers to `move`: the flow is the other proxy's, or stays where it was (or is over).
    case moved(FlowHandle)
    case moveRefused(FlowHandle)
    /// The entry of a committed flow is gone.
    case flowEnded(FlowHandle, FlowEnd)
    /// Answer to `installFlow`.
    case flowInstalled(FlowHandle, ticket: UInt32)
    /// `installFlow` could not be done: the table is full, or the tuple has another owner.
    case flowRefused(ticket: UInt32)
    /// Answer to `retireProxy`, as soon as it is so.
    case proxyUnused(ProxyIndex, UInt32)
    /// A router says that packets to a proxy beyond layer 2 are too long: bytes of IP that it takes, of the outer packet.
    case pathNarrowed(ProxyIndex, UInt16)
    /// A forwarder has a segment of the middle of a connection, and no mapping. The same flow is told of once in
    /// `FlowQuestions.patienceTicks`.
    case flowWanted(FlowKey)
    /// Answer to `useRules`: the generation of the table.
    case rulesInForce(UInt32)
    /// Answer to `useVirtualServers`: the generation of the table.
    case virtualServersInForce(UInt32)
    /// One entry of the answer to `listFlows`.
    case flow(FlowSummary, ticket: UInt8)
    /// One of the answer to `countFlows`.
    case flowCount(FlowState, ProxyIndex, UInt32, ticket: UInt8)
    /// End of an answer to `listFlows` or `countFlows`; nil when there is nothing behind it.
    case endOfFlows(nextCursor: UInt32?, ticket: UInt8)
}

extension WorkerEvent {
    /// Room that a ring of events needs for a payload: a whole datagram of an Ethernet frame.
    @inlinable public static var maximumPayload: Int { 1_500 }
}

/// A UDP datagram that waits for a verdict on its flow (or, observed, that would).
public struct HeldDatagram: Sendable, BitwiseCopyable {
    public var handle: FlowHandle
    public var key: FlowKey
    /// `dns` or `quic`: what it looks like. The control core reads it.
    public var application: Application
    /// Bits of the candidate rules whose ports, prefixes and application match.
    public var rules: UInt64
    public var rulesGeneration: UInt32
    /// TSC when it came.
    public var heldAt: UInt64

    public init(
        handle: FlowHandle, key: FlowKey, application: Application, rules: UInt64, rulesGeneration: UInt32 = 0,
        heldAt: UInt64
    ) {
        self.handle = handle
        self.key = key
        self.application = application
        self.rules = rules
        self.rulesGeneration = rulesGeneration
        self.heldAt = heldAt
    }
}

/// A request that waits for a verdict (or, observed, that would).
public struct HeldRequest: Sendable, BitwiseCopyable {
    public var handle: FlowHandle
    public var connection: ConnectionState
    /// Offsets of host and path count in the payload; parts that lie behind its end are empty.
    public var request: RecognisedRequest
    /// Bits of the candidate rules (by index in the `RuleTable`) whose ports, prefixes and applications match.
    public var rules: UInt64
    /// Of the table whose rules these are.
    public var rulesGeneration: UInt32
    /// TSC when the head was complete.
    public var recognisedAt: UInt64
    /// Bytes held, head and body.
    public var heldLength: UInt32
    /// Bytes of the payload: the head, cut at `HeldRequest.maximumPayload`.
    public var payloadLength: UInt16

    /// The most bytes of a head that travel to the control core, and in one TRANSFER.
    @inlinable public static var maximumPayload: Int { 1_216 }

    public init(
        handle: FlowHandle, connection: ConnectionState, request: RecognisedRequest, rules: UInt64,
        rulesGeneration: UInt32 = 0, recognisedAt: UInt64, heldLength: UInt32, payloadLength: UInt16
    ) {
        self.handle = handle
        self.connection = connection
        self.request = request
        self.rules = rules
        self.rulesGeneration = rulesGeneration
        self.recognisedAt = recognisedAt
        self.heldLength = heldLength
        self.payloadLength = payloadLength
    }
}

/// Why a hold ended at the origin.
public enum AbortReason: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// The control core said so.
    case verdictOrigin
    /// The worker's own deadline passed without a verdict.
    case backstop
    /// The control core's heart stopped.
    case controlDead
    /// The client reset the connection while it was held.
    case clientReset
    /// The origin reset or closed the connection while it was held.
    case originClosed
    /// `bypass` was switched on.
    case bypassed
    /// The hold outgrew a bound.
    case bound
    /// A new SYN took the tuple.
    case superseded
    /// The chosen proxy is in another VLAN than the connection.
    case otherVLAN
}

/// How a committed flow's entry ended.
public enum FlowEnd: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case flowDone
    case clientReset
    case proxyReset
    case superseded
    case idle
    /// The proxy could not take what was handed off.
    case disowned
}

/// Where a flow's client packets go.
public enum FlowState: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// The handshake is under way, or done with no payload yet.
    case opening
    /// The request is being collected or waits for a verdict.
    case held
    /// The origin's for good.
    case origin
    /// A proxy's.
    case committed
    /// Routed without asking.
    case routed
    /// Ended; absorbs late packets.
    case closed
    /// A virtual server's, on its way to an origin that has not answered the handshake yet.
    case binding
    /// An origin's of a virtual server; its numbers are translated.
    case translated
}

/// A row of `batonctl flows`.
public struct FlowSummary: Sendable, Equatable, BitwiseCopyable {
    public var handle: FlowHandle
    public var key: FlowKey
    public var state: FlowState
    public var proxy: ProxyIndex
    public var idleMilliseconds: UInt32

    public init(
        handle: FlowHandle, key: FlowKey, state: FlowState, proxy: ProxyIndex, idleMilliseconds: UInt32
    ) {
        self.handle = handle
        self.key = key
        self.state = state
        self.proxy = proxy
        self.idleMilliseconds = idleMilliseconds
    }
}
