/// Every counter of a worker. The order is the order of `batonctl status`.
///
/// The equation that the tests check (invariant 6):
/// `received… + released + generated = transmitted… + taken + every dropped… + handedOver + waiting`, where `taken`
/// counts packets that enter a hold and `released` those that leave one, and `waiting` is the gauge of packets that a
/// port has not taken yet. So also: `taken - released` is the gauge `heldPackets`. `CounterBlock.imbalance` computes it.
public enum Counter: Int, CaseIterable, Sendable, BitwiseCopyable {
    case receivedFromClients, receivedFromServers, receivedHandedOver
    case transmittedToClients, transmittedToServers
    case handedOver
    case taken, released, generated

    // dropped, by reason
    case droppedTransmitFull, droppedOriginAfterCommit, droppedOriginWhileHeld, droppedHeldDuplicate
    case droppedClientReset, droppedRecovery, droppedHandOverFull, droppedForeignProxy, droppedTombstone
    /// Of virtual servers: SYNs that get no answer; segments of no connection; those that wait for nobody until a
    /// connection has a server; what comes of an origin's handshake; what cannot be translated, or is not the origin's to say.
    case droppedSYN, droppedStranger, droppedUnserved, droppedHandshake, droppedUntranslated, droppedForeignOrigin
    /// On the way to a proxy beyond layer 2: too long for it, which the client is told (`tooBigAnswered`, of which there
    /// are so many in a time); without room for what goes before it. And errors of routers on that way, once read.
    case droppedTooBig, droppedUnencapsulated, droppedTunnelError
    /// Of a forwarder: what is for none of its virtual servers; what has no classifier, since none is up. Of a classifier:
    /// encapsulated packets of somebody else than its forwarders, and those that cannot be read.
    case droppedElsewhere, droppedUnclassified, droppedForeignForwarder, droppedUnreadable
    /// Frames for the director itself: given to the control core, or lost since it has not taken those before.
    case ownReceived, droppedOwnFull

    // what happened; not verdicts
    case passedNotTCP, passedFragment, passedNotCandidate, passedBadChecksum, passedTableFull
    case passedProxyDown
    case flowsCreated, flowsExpired, flowsClosed, flowsEvicted, flowsMoved
    case requestsRecognised, requestsUnsuitable, requestsObserved, requestsIncomplete, requestsTooLong
    case answersFollowed, answersUnclear
    /// Requests that a client sent again before it had an answer from whom they were handed off to, as far as told.
    case requestsRepeated
    case holdsStarted, holdsCommitted, holdsAborted, holdsRefusedBound, holdsRefusedControlDead
    case originResetsSent, tombstoneResetsSent, optionsMuted, segmentsClamped
    /// ARP and Neighbor Discovery for virtual servers, and pings.
    case neighborsAnswered, echoesAnswered
    case icmpToProxy, retransmissionsAbsorbed, recoveryWithheld, bypassed
    case staleCommands, installsRefused
    /// Datagrams of a first flight; connection identifiers; packets of unknown tuples that one of them led to its proxy.
    case datagramsAsked, identifiersLearnt, steeredByIdentifier
    /// Verdicts, routes and announcements that name a proxy in another VLAN than the flow's.
    case refusedOtherVLAN
    /// Virtual servers: SYNs answered, cookies that came back good and bad, connections that an origin got or did not
    /// answer, SYNs to origins that were sent again, origins that do not keep what their virtual server promised.
    case synsAnswered, cookiesAccepted, cookiesRefused, flowsBound, bindsFailed, bindsRepeated, originsBelowOffer
    /// Packets that went to proxies beyond layer 2; clients that were told that theirs was too long for that way.
    case encapsulated, tooBigAnswered
    /// Packets that a forwarder sent to a classifier, and connections that it asked the proxies for; packets that came to a
    /// classifier from forwarders.
    case forwardedToClassifier, mappingsWanted, arrivals
    /// Turns that found something, and TSC clocks from the beginning of each to that of the next turn.
    case busyTurns, busyClocks
    /// Packets given to a capture, those that it had no room for, and those above its rate.
    case captured, captureLost, captureLimited
    /// The last one: gauges lie behind it (`allCases` would build an array on the packet way).
    case eventRingFull
}

/// One worker's counters and gauges: written by that worker alone, read by anyone, never reset.
///
/// Plain 64-bit stores and loads: on every machine DPDK runs on they do not tear, and a reader that is a moment
/// behind harms nobody.
public struct CounterBlock: @unchecked Sendable {
    @usableFromInline let base: UnsafeMutablePointer<UInt64>

    public init() {
        base = .allocate(capacity: Counter.allCases.count + Gauge.allCases.count)
        base.initialize(repeating: 0, count: Counter.allCases.count + Gauge.allCases.count)
    }

    @inlinable @inline(__always)
    public func add(_ counter: Counter, _ amount: UInt64 = 1) { base[counter.rawValue] &+= amount }

    @inlinable public subscript(counter: Counter) -> UInt64 { base[counter.rawValue] }
    /// By raw value, for walks over several.
    @inlinable public subscript(raw index: Int) -> UInt64 { base[index] }

    /// What the equation of `Counter` leaves over: 0 between two turns of the worker.
    public var imbalance: Int64 {
        let into: [Counter] = [.receivedFromClients, .receivedFromServers, .receivedHandedOver, .released, .generated]
        let out: [Counter] = [
            .transmittedToClients, .transmittedToServers, .taken, .handedOver,
            .droppedTransmitFull, .droppedOriginAfterCommit, .droppedOriginWhileHeld, .droppedHeldDuplicate,
            .droppedClientReset, .droppedRecovery, .droppedHandOverFull, .droppedForeignProxy, .droppedTombstone,
            .droppedSYN, .droppedStranger, .droppedUnserved, .droppedHandshake, .droppedUntranslated,
            .droppedForeignOrigin, .droppedTooBig, .droppedUnencapsulated, .droppedTunnelError, .ownReceived,
            .droppedOwnFull, .droppedElsewhere, .droppedUnclassified, .droppedForeignForwarder, .droppedUnreadable,
        ]
        let difference = into.reduce(0) { $0 &+ self[$1] } &- out.reduce(0) { $0 &+ self[$1] } &- self[.waitingPackets]
        return Int64(bitPattern: difference)
    }

    @inlinable public subscript(gauge: Gauge) -> UInt64 {
        get { base[Counter.eventRingFull.rawValue &+ 1 &+ gauge.rawValue] }
        nonmutating set { base[Counter.eventRingFull.rawValue &+ 1 &+ gauge.rawValue] = newValue }
    }
}

/// Present amounts of a worker.
public enum Gauge: Int, CaseIterable, Sendable {
    case flows, heldFlows, heldPackets, committedFlows, closedFlows
    /// Flows of UDP datagrams; `flows` is TCP's.
    case datagramFlows
    /// Packets that a port has not taken yet.
    case waitingPackets
}
