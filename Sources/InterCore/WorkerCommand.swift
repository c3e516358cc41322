public import Wire

/// What the control core tells a worker; applied at a loop's boundary, a bounded number each time.
public enum WorkerCommand: Sendable, Equatable, BitwiseCopyable {
    /// The verdict on a held request. Ignored when the handle is stale or the hold has ended.
    case verdict(FlowHandle, Verdict)
    /// Where a proxy's packets go to and come from. It is up from now on.
    case proxy(ProxyIndex, NextHop)
    /// How the proxy's packets get to its next hop's other side; nil: as they are. Always before `proxy`, whose MTU is
    /// then what is left for the inner packet.
    case encapsulate(ProxyIndex, Encapsulation?)
    /// A proxy's channel is down: new connections that a route gives to it go to the origin. All others stay with it.
    case proxyDown(ProxyIndex)
    /// The proxy was taken away, and no transfer can bring a flow to it any more: `proxyUnused` with the same number is
    /// due when no flow has it. `proxy` takes that back.
    case retireProxy(ProxyIndex, UInt32)
    /// Rules and routes from now on. Answered by `rulesInForce`; the table stays valid until then, and after it the one
    /// before is not.
    case useRules(RuleTable)
    /// Virtual servers and their origins from now on. Answered by `virtualServersInForce`; valid as long as rules are.
    case useVirtualServers(VirtualServerTable)
    /// A proxy announced a flow that it has (director restart; forwarder): committed from now on. A forwarder needs its
    /// name, and of two proxies believes the one with the higher generation.
    case installFlow(FlowKey, ProxyIndex, ticket: UInt32, name: FlowName = .none)
    /// Another worker has learnt it.
    case learnIdentifier(ConnectionIdentifier)
    /// The agent says that the flow is over.
    case flowDone(FlowHandle)
    /// `reset-by: proxy`: the agent has read its first byte; reset the origin now.
    case resetOrigin(FlowHandle)
    /// A committed flow is another proxy's from now on, if it is `from`'s still. Always answered.
    case move(FlowHandle, from: ProxyIndex, to: ProxyIndex)
    /// The proxy cannot take what was handed off. The client's segments go to the origin, whose reset ends its connection.
    /// Of a forwarder's mapping: it is nobody's.
    case disown(FlowHandle)
    /// Stop (or resume) holding; what is held goes to the origin.
    case bypass(Bool)
    /// Every proxy has announced its flows: mid-stream packets without an entry pass again (rule 6).
    case recoveryEnded
    /// Everything that is held goes to the origin: a restarted control core knows none of it.
    case abortAllHolds
    /// Answer with the flows that are asked for, a `flow` event each, then `endOfFlows`. Takes the place of a question
    /// that is not answered yet.
    case listFlows(FlowQuery)
    /// Answer with this flow, if there is one, and `endOfFlows`.
    case findFlow(FlowKey, ticket: UInt8)
    /// Answer with their number by state and proxy, a `flowCount` event for each that is not 0, then `endOfFlows`.
    case countFlows(FlowQuery)
    /// An order waits in the `CaptureLink`.
    case capture
    /// A `ReplayOrder` waits in its ring.
    case replay
    /// Undo it, silently to the client; ignored after the client's first segment (`committed`).
    case cancelReplay(FlowHandle)
    /// Frames wait in the `OwnAddressLink`.
    case transmitOwn
}

/// Who gets the held request.
public enum Verdict: Sendable, Equatable, BitwiseCopyable {
    case origin
    /// `resetOrigin` false: a later `resetOrigin` command does it (`reset-by: proxy`).
    case proxy(ProxyIndex, resetOrigin: Bool)
    /// A proxy that was not asked and hears of it once this is done. Until the client has acknowledged an answer,
    /// `requestRepeated` says when it may not have heard.
    case handOff(ProxyIndex)
}

/// A proxy's place on layer 2.
public struct NextHop: Hashable, Sendable, BitwiseCopyable {
    public var mac: MACAddress
    /// The only VLAN whose flows it gets; `untagged` here means: those of any, as they come.
    public var vlan: VLAN
    /// Path MTU to the proxy, bytes of IP; 0 when unknown.
    public var mtu: UInt16

    public init(mac: MACAddress, vlan: VLAN = .untagged, mtu: UInt16 = 0) {
        self.mac = mac
        self.vlan = vlan
        self.mtu = mtu
    }
}
