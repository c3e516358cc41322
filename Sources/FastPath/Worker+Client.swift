import CDPDKShim
import InterCore
import Wire

/// What a client's segment means to its flow.
extension Worker {
    mutating func handleClient(_ packet: Packet, _ flow: Flow?, _ key: FlowKey, _ hash: UInt64) {
        let flags = packet.tcp.flags
        let opens = flags.has(.syn) && flags.lacks([.ack, .rst, .fin])
        guard let flow else {
            if opens { return open(packet, key, hash) }
            return passStranger(packet, key)
        }
        flow.pointee.packetsFromClient &+= 1
        if opens { return reopen(packet, flow, key, hash) }
        switch flow.pointee.state {
        case .opening: clientOpening(packet, flow)
        case .held: clientHeld(packet, flow)
        case .origin: clientPassing(packet, flow)
        case .committed: clientCommitted(packet, flow)
        case .routed:
            clientRouted(packet, flow)
            toProxy(packet, flow)
        case .closed: closedByClient(packet, flow)
        }
    }

    /// No entry. While a restarted director does not know yet which flows are proxies', it gives none to the origin.
    mutating func passStranger(_ packet: Packet, _ key: FlowKey) {
        if recoveryEnds != 0, matchesCandidate(key) {
            counters.add(.recoveryWithheld)
            return drop(packet, .droppedRecovery)
        }
        counters.add(.passedNotCandidate)
        pass(packet)
    }

    /// A first SYN: routed, a candidate, or nobody's business.
    mutating func open(_ packet: Packet, _ key: FlowKey, _ hash: UInt64) {
        if let route = route(of: key) { return openRouted(packet, key, hash, route) }
        let rules = candidateRules(of: key, hash: hash)
        guard rules != 0, packet.layout.payloadLength == 0 else { return passUnknown(packet) }
        guard packet.hasValidChecksum else {
            counters.add(.passedBadChecksum)
            return pass(packet)
        }
        let options = TCPOptions(of: packet.tcp)
        guard !options.isAuthenticated, !options.isMalformed else { return passUnknown(packet) }
        guard let flow = makeFlow(key, hash, packet, .opening, limit: configuration.synOnly) else { return }
        flow.pointee.rules = rules
        if isAsymmetric(rules) { flow.pointee.marks.insert(.asymmetric) }
        noteSYN(packet, flow, options)
        rewriteSYN(packet, muted: flow.pointee.marks.contains(.asymmetric))
        pass(packet)
    }

    /// A first SYN with a destination of its own. Where that cannot be reached, the origin gets it.
    mutating func openRouted(_ packet: Packet, _ key: FlowKey, _ hash: UInt64, _ proxy: ProxyIndex) {
        guard proxy.value != ProxyIndex.none.value, proxies[Int(proxy.value)].mac != .zero, !isInOtherVLAN(proxy, key)
        else { return passUnknown(packet) }
        guard let flow = makeFlow(key, hash, packet, .routed, limit: configuration.idle) else { return }
        flow.pointee.proxy = proxy
        // The first acknowledgement tells where the proxy's numbers begin.
        flow.pointee.marks = .announced
        flow.pointee.clientNext = packet.tcp.sequence + 1 + UInt32(packet.layout.payloadLength)
        toProxy(packet, flow)
    }

    mutating func passUnknown(_ packet: Packet) {
        counters.add(.passedNotCandidate)
        pass(packet)
    }

    /// A new entry; passes the packet and returns nil when the table is full.
    mutating func makeFlow(_ key: FlowKey, _ hash: UInt64, _ packet: Packet, _ state: FlowState, limit: UInt64) -> Flow?
    {
        guard let flow = flows.insert(key, hash: hash) else {
            counters.add(.passedTableFull)
            pass(packet)
            return nil
        }
        counters.add(.flowsCreated)
        setState(flow, state)
        flow.pointee.packetsFromClient = 1
        flow.pointee.lastSeen = packet.now
        flow.pointee.deadline = packet.now &+ limit
        timers.arm(flow, in: flows)
        updateGauges()
        return flow
    }

    func noteSYN(_ packet: Packet, _ flow: Flow, _ options: TCPOptions) {
        let tcp = packet.tcp
        flow.pointee.psn = tcp.sequence + 1
        flow.pointee.clientNext = tcp.sequence + 1
        flow.pointee.clientWindow = UInt32(tcp.window)
        flow.pointee.clientMAC = packet.sourceMAC
        flow.pointee.originMAC = packet.destinationMAC
        flow.pointee.timeToLive = packet.timeToLive
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
            flow.pointee.clientTimestamp = options.timestampValue
        }
        flow.pointee.options = negotiated
    }

    /// A SYN on a tuple that has an entry (rule 9).
    mutating func reopen(_ packet: Packet, _ flow: Flow, _ key: FlowKey, _ hash: UInt64) {
        switch flow.pointee.state {
        case .committed:
            // The proxy's challenge ACK frees a client that has started anew.
            toProxy(packet, flow)
        case .opening where packet.tcp.sequence + 1 == flow.pointee.psn:
            // The same SYN again.
            guard packet.hasValidChecksum else { return pass(packet) }
            if packet.layout.payloadLength > 0 {
                becomeOrigins(flow, packet.now)
            } else {
                rewriteSYN(packet, muted: flow.pointee.marks.contains(.asymmetric))
            }
            pass(packet)
        case .held where packet.tcp.sequence + 1 == flow.pointee.psn,
            .origin where packet.tcp.sequence + 1 == flow.pointee.psn:
            // An old duplicate: nothing begins anew.
            pass(packet)
        case .routed where !hasEnded(flow):
            toProxy(packet, flow)
        case .opening, .held, .origin, .routed, .closed:
            guard packet.hasValidChecksum else {
                counters.add(.passedBadChecksum)
                return pass(packet)
            }
            if flow.pointee.state == .held { abort(flow, .superseded, now: packet.now) }
            removeFlow(flow)
            open(packet, key, hash)
        }
    }

    /// Handshake under way, or done with no payload yet.
    mutating func clientOpening(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let flags = tcp.flags
        if flags.contains(.rst) || flags.contains(.fin) && packet.layout.payloadLength == 0 {
            if packet.hasValidChecksum, tcp.sequence == flow.pointee.psn {
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
        guard flow.pointee.marks.contains(.handshakeKnown), flags.contains(.ack),
            tcp.acknowledgement == flow.pointee.pan, !serverMustSpeak || flow.pointee.marks.contains(.greeted),
            tcp.sequence.distance(from: flow.pointee.psn) >= 0,
            tcp.sequence.distance(from: flow.pointee.psn) < Int32(holdBound(flow))
        else {
            becomeOrigins(flow, packet.now)
            return pass(packet)
        }
        noteClient(packet, flow)
        beginHold(packet, flow)
    }

    /// The SYN/ACK goes another way: the client's own ACK tells what it said.
    func learnAsymmetric(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        guard !flow.pointee.marks.contains(.handshakeKnown), tcp.flags.contains(.ack), tcp.flags.lacks([.syn, .rst]),
            tcp.sequence == flow.pointee.psn, packet.hasValidChecksum
        else { return }
        flow.pointee.pan = tcp.acknowledgement
        flow.pointee.serverNext = tcp.acknowledgement
        flow.pointee.serverWindowEdge = flow.pointee.psn + 65_535
        flow.pointee.marks.insert(.handshakeKnown)
    }

    /// What each of the client's segments tells of it, before a transfer.
    func noteClient(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        flow.pointee.lastSeen = packet.now
        guard tcp.flags.contains(.ack), tcp.flags.lacks([.syn, .rst]) else { return }
        flow.pointee.clientWindow = UInt32(tcp.window) &<< UInt32(flow.pointee.options.clientWindowScale)
        flow.pointee.originMAC = packet.destinationMAC
        flow.pointee.clientMAC = packet.sourceMAC
        flow.pointee.timeToLive = packet.timeToLive
        if flow.pointee.options.timestamps {
            let options = TCPOptions(of: tcp)
            if options.hasTimestamps { flow.pointee.clientTimestamp = options.timestampValue }
        }
    }

    /// The origin's for good.
    mutating func clientPassing(_ packet: Packet, _ flow: Flow) {
        endOnReset(packet, flow)
        pass(packet)
    }

    mutating func clientCommitted(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        flow.pointee.lastSeen = packet.now
        let isReset = tcp.flags.contains(.rst)
        if isReset {
            let isExact = tcp.sequence == flow.pointee.clientNext && !flow.pointee.marks.contains(.announced)
            if isExact, packet.hasValidChecksum { close(flow, .clientReset, now: packet.now) }
            return toProxy(packet, flow)
        }
        noteCommitted(packet, flow)
        toProxy(packet, flow)
    }

    /// How far both sides have come, by the client's account: the proxy's packets may return another way.
    @inline(__always)
    func noteCommitted(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let end = tcp.sequence + UInt32(packet.layout.payloadLength) + (tcp.flags.contains(.fin) ? 1 : 0)
        if flow.pointee.marks.contains(.announced) {
            guard tcp.flags.contains(.ack), packet.hasValidChecksum else { return }
            flow.pointee.marks.remove(.announced)
            flow.pointee.clientMAC = packet.sourceMAC
            flow.pointee.originMAC = packet.destinationMAC
            flow.pointee.clientNext = end
            flow.pointee.serverNext = tcp.acknowledgement
        }
        if end.isAfter(flow.pointee.clientNext) { flow.pointee.clientNext = end }
        if tcp.acknowledgement.isAfter(flow.pointee.serverNext) { flow.pointee.serverNext = tcp.acknowledgement }
        flow.pointee.clientWindow = UInt32(tcp.window) &<< UInt32(flow.pointee.options.clientWindowScale)
    }

    /// The client's last words belong to the proxy that served it, if one did.
    mutating func closedByClient(_ packet: Packet, _ flow: Flow) {
        if flow.pointee.proxy.value == ProxyIndex.none.value { pass(packet) } else { toProxy(packet, flow) }
    }

    @inline(__always)
    mutating func toProxy(_ packet: Packet, _ flow: Flow) {
        sendToProxy(packet.mbuf, flow.pointee.proxy)
    }

    /// FIN and RST of a flow that passes: its entry goes soon.
    mutating func endOnReset(_ packet: Packet, _ flow: Flow) {
        let flags = packet.tcp.flags
        flow.pointee.lastSeen = packet.now
        guard flags.contains(.rst) || flags.contains(.fin), flow.pointee.state == .origin else { return }
        guard packet.hasValidChecksum else { return }
        if flags.contains(.fin) {
            flow.pointee.marks.insert(packet.fromClient ? .clientFinished : .serverFinished)
            guard flow.pointee.marks.contains(.clientFinished), flow.pointee.marks.contains(.serverFinished) else {
                return
            }
        }
        removeFlow(flow)
        counters.add(.flowsClosed)
    }
}
