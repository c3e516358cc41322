import CDPDKShim
import InterCore
import Wire

/// What a client's segment means to its flow.
extension Worker {
    mutating func handleClient(_ packet: Packet, _ flow: Flow?, _ key: PackedFlowKey, _ hash: UInt64) {
        let flags = packet.tcp.flags
        let opens = flags.has(.syn) && flags.lacks([.ack, .rst, .fin])
        guard let flow else {
            if opens { return open(packet, key, hash) }
            return passStranger(packet, key, hash)
        }
        if opens { return reopen(packet, flow, key, hash) }
        switch flow.pointee.state {
        case .opening where flow.pointee.marks.contains(.answered): clientAnswered(packet, flow, key, hash)
        case .opening: clientOpening(packet, flow)
        case .held: clientHeld(packet, flow)
        case .origin: clientPassing(packet, flow)
        case .committed: clientCommitted(packet, flow)
        case .routed:
            clientRouted(packet, flow)
            toProxy(packet, flow)
        case .closed: closedByClient(packet, flow)
        case .binding: clientBinding(packet, flow)
        case .translated: clientTranslated(packet, flow)
        }
    }

    /// No entry. While a restarted director does not know yet which flows are proxies', it gives none to the origin.
    /// What a route gives to a proxy went there before the entry was lost, and goes on doing so.
    mutating func passStranger(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64) {
        if rules.routeCount > 0, let proxy = route(of: key.key), proxies[Int(proxy.value)].mac != .zero,
            !isInOtherVLAN(proxy, key.vlan)
        {
            return resumeRouted(packet, key, hash, proxy)
        }
        if let server = virtualServer(of: key) { return meet(packet, key, hash, server) }
        if isWithheld(key) {
            counters.add(.recoveryWithheld)
            return drop(packet, .droppedRecovery)
        }
        counters.add(.passedNotCandidate)
        pass(packet)
    }

    /// A first SYN: routed, a candidate, or nobody's business.
    mutating func open(_ packet: Packet, _ packed: PackedFlowKey, _ hash: UInt64) {
        let key = packed.key
        let (route, server) = (route(of: key), virtualServer(of: packed))
        if let route, route.value != ProxyIndex.none.value || server == nil {
            return openRouted(packet, packed, hash, route)
        }
        if let server { return answerSYN(packet, server) }
        let rules = candidateRules(of: key, hash: hash)
        // An IPv4-mapped address has no business on the wire.
        guard rules != 0, packet.layout.payloadLength == 0, packed.isV6 != (key.client.isV4 || key.server.isV4) else {
            return passNew(packet, packed, hash)
        }
        guard !flows.isFull(isV6: packed.isV6), flows.hasFreePrelude else {
            counters.add(.passedTableFull)
            return pass(packet)
        }
        guard packet.hasValidChecksum else {
            counters.add(.passedBadChecksum)
            return pass(packet)
        }
        let options = TCPOptions(of: packet.tcp)
        guard !options.isAuthenticated, !options.isMalformed else { return passNew(packet, packed, hash) }
        guard let flow = makeFlow(packed, hash, packet, .opening, limit: configuration.synOnly) else { return }
        flows.givePrelude(flow)
        flows.prelude(flow).pointee.rules = rules
        flows.prelude(flow).pointee.rulesGeneration = self.rules.generation
        if isAsymmetric(rules) { flow.pointee.marks.insert(.asymmetric) }
        noteSYN(packet, flow, options)
        rewriteSYN(packet, muted: flow.pointee.marks.contains(.asymmetric))
        pass(packet)
    }

    /// A first SYN that is no candidate. Of a connection that begins during the recovery no proxy has anything: it is
    /// noted as the origin's, so that the rest of it is not withheld.
    mutating func passNew(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64) {
        if isWithheld(key), packet.hasValidChecksum {
            guard let flow = makeFlow(key, hash, packet, .origin, limit: configuration.synOnly) else { return }
            flow.pointee.marks.insert(.newInRecovery)
            flow.pointee.clientNext = packet.tcp.sequence + 1
        }
        passUnknown(packet)
    }

    mutating func passUnknown(_ packet: Packet) {
        counters.add(.passedNotCandidate)
        pass(packet)
    }

    /// A new entry; passes the packet and returns nil when the table is full.
    mutating func makeFlow(_ key: PackedFlowKey, _ hash: UInt64, _ packet: Packet, _ state: FlowState, limit: UInt64)
        -> Flow?
    {
        guard let flow = note(key, hash, state, limit: limit, now: packet.now) else {
            pass(packet)
            return nil
        }
        return flow
    }

    /// A new entry for a client's first packet; nil, and counted, when the table is full.
    mutating func note(_ key: PackedFlowKey, _ hash: UInt64, _ state: FlowState, limit: UInt64, now: UInt64) -> Flow? {
        guard let flow = flows.insert(key, hash: hash) else {
            counters.add(.passedTableFull)
            return nil
        }
        counters.add(.flowsCreated)
        setState(flow, state)
        touch(flow)
        timers.arm(flow, deadline: now &+ limit, in: &flows)
        updateGauges()
        return flow
    }

    mutating func noteSYN(_ packet: Packet, _ flow: Flow, _ options: TCPOptions) {
        let tcp = packet.tcp
        let prelude = flows.prelude(flow)
        prelude.pointee.psn = tcp.sequence + 1
        prelude.pointee.firstPSN = tcp.sequence + 1
        flow.pointee.clientNext = tcp.sequence + 1
        prelude.pointee.clientWindow = UInt32(tcp.window)
        prelude.pointee.clientMAC = packet.sourceMAC
        prelude.pointee.originMAC = packet.destinationMAC
        prelude.pointee.timeToLive = packet.timeToLive
        var negotiated = NegotiatedOptions(
            clientMSS: options.maximumSegmentSize != 0
                ? options.maximumSegmentSize : (packet.layout.isV6 ? 1_220 : 536),
            serverMSS: 0)
        if !flow.pointee.marks.contains(.asymmetric) {
            // What the client offers; the SYN/ACK says what comes of it.
            negotiated.windowScale = options.windowScale != 0xFF
            negotiated.clientWindowScale = negotiated.windowScale ? options.windowScale : 0
            negotiated.sack = options.sackPermitted
            negotiated.timestamps = options.hasTimestamps
            prelude.pointee.clientTimestamp = options.timestampValue
        }
        prelude.pointee.options = negotiated
    }

    /// A SYN on a tuple that has an entry (rule 9).
    mutating func reopen(_ packet: Packet, _ flow: Flow, _ key: PackedFlowKey, _ hash: UInt64) {
        if flow.pointee.marks.contains(.answered) { return reopenAnswered(packet, flow, key) }
        switch flow.pointee.state {
        case .committed:
            // The proxy's challenge ACK frees a client that has started anew.
            toProxy(packet, flow)
        case .opening where packet.tcp.sequence + 1 == flows.prelude(flow).pointee.firstPSN:
            // The same SYN again.
            guard packet.hasValidChecksum, flows.prelude(flow).pointee.following == .none else { return pass(packet) }
            if packet.layout.payloadLength > 0 {
                becomeOrigins(flow, packet.now)
            } else {
                rewriteSYN(packet, muted: flow.pointee.marks.contains(.asymmetric))
            }
            pass(packet)
        case .held where packet.tcp.sequence + 1 == flows.prelude(flow).pointee.firstPSN,
            .origin where packet.tcp.sequence + 1 == flow.pointee.clientNext:
            // An old duplicate: nothing begins anew.
            pass(packet)
        case .closed where isLateCopy(packet, flow):
            // The same, after the agent's FLOW_DONE: the proxy's kernel may still be sending.
            closedByClient(packet, flow)
        case .routed where !hasEnded(flow):
            toProxy(packet, flow)
        case .binding: drop(packet, .droppedSYN)
        case .translated where !hasEnded(flow):
            // The server's challenge ACK, likewise.
            toOrigin(packet, flow)
        case .opening, .held, .origin, .routed, .closed, .translated:
            guard packet.hasValidChecksum else {
                counters.add(.passedBadChecksum)
                return pass(packet)
            }
            if flow.pointee.state == .held { abort(flow, .superseded, now: packet.now) }
            guard isEndTold(flow) else { return passUntold(packet, flow) }
            removeFlow(flow)
            open(packet, key, hash)
        }
    }

    /// A SYN that begins shortly before what the client has come to: its first one again. The ISN itself is not kept so
    /// long. A new connection's lies there once in 65,536 times; its SYN is then lost until the entry has gone.
    func isLateCopy(_ packet: Packet, _ flow: Flow) -> Bool {
        (0..<65_536).contains(flow.pointee.clientNext.distance(from: packet.tcp.sequence + 1))
    }

    /// The end of a tuple's last flow could not be told yet, which only its entry can do. So the new connection goes
    /// without one of its own: the entry is the origin's until then.
    mutating func passUntold(_ packet: Packet, _ flow: Flow) {
        give(flow, to: .none)
        becomeOrigins(flow, packet.now)
        flow.pointee.clientNext = packet.tcp.sequence + 1
        rearm(flow, now: packet.now, limit: configuration.hertz / 10)
        pass(packet)
    }

    /// Handshake under way, or done with no payload yet.
    mutating func clientOpening(_ packet: Packet, _ flow: Flow) {
        if flows.prelude(flow).pointee.following != .none { return clientFollowed(packet, flow) }
        let tcp = packet.tcp
        let flags = tcp.flags
        if flags.contains(.rst) || flags.contains(.fin) && packet.layout.payloadLength == 0 {
            if packet.hasValidChecksum, tcp.sequence == flows.prelude(flow).pointee.psn {
                becomeOrigins(flow, packet.now, closing: true)
            }
            return pass(packet)
        }
        if packet.layout.payloadLength == 0 {
            if flow.pointee.marks.contains(.asymmetric) { learnAsymmetric(packet, flow) }
            noteClient(packet, flow)
            return pass(packet)
        }
        guard packet.hasValidChecksum else {
            counters.add(.passedBadChecksum)
            return pass(packet)
        }
        if flow.pointee.marks.contains(.asymmetric) { learnAsymmetric(packet, flow) }
        // SMTP's client speaks second.
        let serverMustSpeak = wantsOnlySMTP(flow)
        let prelude = flows.prelude(flow)
        let offset = tcp.sequence.distance(from: prelude.pointee.psn)
        guard flow.pointee.marks.contains(.handshakeKnown), flags.contains(.ack),
            tcp.acknowledgement == prelude.pointee.pan, !serverMustSpeak || flow.pointee.marks.contains(.greeted),
            offset >= 0, offset < Int32(holdBound(flow))
        else {
            becomeOrigins(flow, packet.now)
            return pass(packet)
        }
        noteClient(packet, flow)
        beginHold(packet, flow)
    }

    /// The SYN/ACK goes another way: the client's own ACK tells what it said.
    mutating func learnAsymmetric(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let prelude = flows.prelude(flow)
        guard !flow.pointee.marks.contains(.handshakeKnown), tcp.flags.contains(.ack), tcp.flags.lacks([.syn, .rst]),
            tcp.sequence == prelude.pointee.psn, packet.hasValidChecksum
        else { return }
        prelude.pointee.pan = tcp.acknowledgement
        flow.pointee.serverNext = tcp.acknowledgement
        prelude.pointee.serverWindowEdge = prelude.pointee.psn + 65_535
        flow.pointee.marks.insert(.handshakeKnown)
    }

    /// What each of the client's segments tells of it, before a transfer.
    mutating func noteClient(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        touch(flow)
        guard tcp.flags.contains(.ack), tcp.flags.lacks([.syn, .rst]) else { return }
        let prelude = flows.prelude(flow)
        prelude.pointee.clientWindow = UInt32(tcp.window) &<< UInt32(prelude.pointee.options.clientWindowScale)
        prelude.pointee.originMAC = packet.destinationMAC
        prelude.pointee.clientMAC = packet.sourceMAC
        prelude.pointee.timeToLive = packet.timeToLive
        if prelude.pointee.options.timestamps {
            let options = TCPOptions(of: tcp)
            if options.hasTimestamps { prelude.pointee.clientTimestamp = options.timestampValue }
        }
    }

    /// The origin's for good.
    mutating func clientPassing(_ packet: Packet, _ flow: Flow) {
        endOnReset(packet, flow)
        pass(packet)
    }

    mutating func clientCommitted(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        touch(flow)
        let isReset = tcp.flags.contains(.rst)
        if isReset {
            let isExact = tcp.sequence == flow.pointee.clientNext && !flow.pointee.marks.contains(.announced)
            if isExact, packet.hasValidChecksum { close(flow, .clientReset, now: packet.now) }
            return toProxy(packet, flow)
        }
        if flow.pointee.marks.contains(.handedOff) { clientUnanswered(packet, flow) }
        noteCommitted(packet, flow)
        toProxy(packet, flow)
    }

    /// How far both sides have come, by the client's account: the proxy's packets may return another way.
    ///
    /// These numbers decide which reset is exact (rule 3), so a sender who only guesses must not move them: a segment
    /// counts when it acknowledges about what the server has sent, and takes either number a step further that a window
    /// allows. A forger has to hit both windows first (RFC 5961 section 5.2). What does not count goes to the proxy like
    /// the rest, and so does a reset that is not exact: if it ends the connection, the agent says so.
    @inline(__always)
    func noteCommitted(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        guard tcp.flags.contains(.ack) else { return }
        let end = tcp.sequence + UInt32(packet.layout.payloadLength) + (tcp.flags.contains(.fin) ? 1 : 0)
        if flow.pointee.marks.contains(.announced) {
            guard packet.hasValidChecksum else { return }
            flow.pointee.marks.remove(.announced)
            flow.pointee.clientNext = end
            flow.pointee.serverNext = tcp.acknowledgement
        }
        advance(flow, end: end, acknowledged: tcp.acknowledgement)
    }

    @inline(__always)
    func advance(_ flow: Flow, end: SequenceNumber, acknowledged: SequenceNumber) {
        let heard = acknowledged.distance(from: flow.pointee.serverNext)
        let sent = end.distance(from: flow.pointee.clientNext)
        guard heard.magnitude <= flow.pointee.longestServerStep, sent.magnitude <= flow.pointee.longestClientStep else {
            return
        }
        if sent > 0 { flow.pointee.clientNext = end }
        if heard > 0 { flow.pointee.serverNext = acknowledged }
    }

    /// The client's last words belong to the proxy that served it, if one did. An agent says that a flow is done when
    /// it closes its descriptor, and its kernel may have much left to send then; where the proxy answers directly, only
    /// the client's acknowledgements tell of it. So the tombstone lives as long as they come.
    mutating func closedByClient(_ packet: Packet, _ flow: Flow) {
        guard flow.pointee.proxy.value != ProxyIndex.none.value else { return pass(packet) }
        touch(flow)
        if packet.tcp.flags.lacks(.rst) { noteCommitted(packet, flow) }
        toProxy(packet, flow)
    }

    @inline(__always)
    mutating func toProxy(_ packet: Packet, _ flow: Flow) {
        sendToProxy(packet.mbuf, flow.pointee.proxy)
    }

    /// FIN and RST of a flow that passes: its entry goes soon.
    mutating func endOnReset(_ packet: Packet, _ flow: Flow) {
        let flags = packet.tcp.flags
        touch(flow)
        guard flags.contains(.rst) || flags.contains(.fin), flow.pointee.state == .origin else { return }
        guard packet.hasValidChecksum else { return }
        if flags.contains(.fin) {
            guard !hasEnded(flow) else { return }
            flow.pointee.marks.insert(packet.fromClient ? .clientFinished : .serverFinished)
            guard hasEnded(flow) else { return }
            if let route = route(of: flows.key(of: flow).key), route.value != ProxyIndex.none.value {
                // The route's proxy was down. Without the entry the last acknowledgements would go there.
                counters.add(.flowsClosed)
                return rearm(flow, now: packet.now, limit: configuration.closed)
            }
        }
        guard isEndTold(flow) else { return }
        removeFlow(flow)
        counters.add(.flowsClosed)
    }
}
