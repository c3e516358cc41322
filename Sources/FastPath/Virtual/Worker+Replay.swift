import CDPDKShim
import InterCore
import Wire

/// Adoption by replay, on a host: a connection that another director gives away goes to a server of this host that knows
/// nothing of it. The worker shakes hands with that server as the client would have done, with the client's own sequence
/// number, options and clock, and translates from then on (US 7,831,731 for the replayed handshake; the rest is what
/// `Worker+Binding` does for a director's own connections).
///
/// Until the client's first segment comes the flow is `binding`: that segment is the director's commit. Before it the
/// adoption can be undone, and nothing that the server says gets out; nothing here is ever said to a client but what the
/// server says afterwards.
extension Worker {
    mutating func takeReplayOrder(now: UInt64) {
        guard let order = links.replays?.pop() else { return }
        if !begin(order, now: now) { _ = push(.flowRefused(ticket: order.ticket)) }
    }

    /// False when that cannot even be tried: nobody replays for this endpoint, the client has another connection with it,
    /// or there is no room.
    private mutating func begin(_ order: ReplayOrder, now: UInt64) -> Bool {
        let connection = order.connection
        var key = connection.key
        // The agent's network has tags of its own.
        key.vlan = .untagged
        guard key.client.isV4 == key.server.isV4, let server = virtuals.server(key.server, port: key.serverPort),
            virtuals.servers[server].isReplayed
        else { return false }
        let packed = PackedFlowKey(key)
        let hash = flowHash(of: packed, seed: configuration.hashSeed)
        if let former = flows.find(packed, hash: hash) {
            guard former.pointee.state == .translated, hasEnded(former), isEndTold(former) else { return false }
            removeFlow(former)
        }
        guard flows.hasFreePrelude, let flow = note(packed, hash, .binding, limit: configuration.unasked, now: now)
        else {
            return false
        }
        flows.givePrelude(flow)
        let prelude = flows.prelude(flow)
        prelude.pointee.virtualServer = UInt8(truncatingIfNeeded: server)
        prelude.pointee.ticket = order.ticket
        prelude.pointee.firstPSN = connection.psn
        prelude.pointee.psn = connection.psn
        prelude.pointee.pan = connection.pan
        prelude.pointee.options = connection.options
        prelude.pointee.clientWindow = connection.clientWindow
        prelude.pointee.serverTimestamp = connection.serverTimestamp
        prelude.pointee.clientTimestamp = connection.clientTimestamp
        prelude.pointee.clientMAC = links.clientMAC
        prelude.pointee.timeToLive = max(connection.timeToLive, 2)
        bind(flow, now: now)
        return true
    }

    /// A flow that `begin` made, not a director's own.
    func isReplayed(_ flow: Flow) -> Bool { flow.pointee.marks.lacks(.answered) }

    /// The local server has answered. False when it is given up: a client that sends timestamps would drop what comes
    /// without them (RFC 7323 section 3.2).
    mutating func isGood(_ agreed: NegotiatedOptions, _ flow: Flow) -> Bool {
        agreed.timestamps == flows.prelude(flow).pointee.options.timestamps
    }

    /// The server has the connection, and waits for the request.
    mutating func settleReplay(_ flow: Flow, now: UInt64) {
        let prelude = flows.prelude(flow)
        prelude.pointee.isShaken = true
        rearm(flow, now: now, limit: configuration.unasked)
        if !push(.flowInstalled(handle(flow), ticket: prelude.pointee.ticket)) { undo(flow) }
    }

    /// A segment of the client while its connection is `binding`. The first one after the handshake begins it.
    mutating func clientReplayed(_ packet: Packet, _ flow: Flow) {
        guard flows.prelude(flow).pointee.isShaken, packet.hasValidChecksum, push(.committed(handle(flow))) else {
            return drop(packet, .droppedUnserved)
        }
        flows.dropPrelude(flow)
        setState(flow, .translated)
        counters.add(.flowsBound)
        rearm(flow, now: packet.now, limit: configuration.committedIdle)
        clientTranslated(packet, flow)
    }

    /// The server's segments between its handshake and the client's request: greetings of those that speak first, and
    /// complaints that nothing comes. They are sent again.
    mutating func serverReplayed(_ packet: Packet, _ flow: Flow) {
        if packet.tcp.flags.has([.syn, .ack]) { return acknowledgeAgain(packet, flow) }
        drop(packet, .droppedUnserved)
    }

    /// The server refuses, or says nothing.
    mutating func refuseReplay(_ flow: Flow) {
        counters.add(.bindsFailed)
        _ = push(.flowRefused(ticket: flows.prelude(flow).pointee.ticket))
        undo(flow)
    }

    /// The director has taken its word back. Told as an end, in any case.
    mutating func cancelReplay(_ handle: FlowHandle) {
        guard let flow = flows.live(handle), flow.pointee.state == .binding, isReplayed(flow) else {
            counters.add(.staleCommands)
            return
        }
        _ = push(.flowEnded(handle, .flowDone))
        undo(flow)
    }

    /// Nobody has asked for anything in all this time.
    mutating func expireReplay(_ flow: Flow, now: UInt64) {
        guard push(.flowEnded(handle(flow), .idle)) else {
            return timers.arm(flow, deadline: now &+ configuration.hertz / 10, in: &flows)
        }
        counters.add(.flowsExpired)
        undo(flow)
    }

    /// The server hears that the client is gone, the client hears nothing.
    private mutating func undo(_ flow: Flow) {
        if flow.pointee.proxy.value != ProxyIndex.none.value {
            var reset = segmentToOrigin(flow, .rst, TCPOptions())
            reset.sequence = flows.prelude(flow).pointee.firstPSN
            if let packet = make(reset) { sendToServers(packet) }
        }
        counters.add(.flowsClosed)
        removeFlow(flow)
    }
}
