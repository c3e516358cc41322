import CDPDKShim
import InterCore
import Wire

/// What a segment from the servers' side means to its flow.
extension Worker {
    mutating func handleServer(_ packet: Packet, _ flow: Flow?, _ key: PackedFlowKey) {
        guard let flow else {
            if packet.tcp.flags.contains(.rst), isWithheld(key) {
                // The origin does not know a connection that a proxy may have: the client must not hear of it.
                counters.add(.recoveryWithheld)
                return drop(packet, .droppedRecovery)
            }
            counters.add(.passedNotCandidate)
            return pass(packet)
        }
        switch flow.pointee.state {
        case .opening where flow.pointee.marks.contains(.answered), .held where flow.pointee.marks.contains(.answered):
            // Nobody speaks for a virtual server before somebody has the connection.
            drop(packet, .droppedForeignOrigin)
        case .opening: serverOpening(packet, flow)
        case .held: serverHeld(packet, flow)
        case .origin:
            endOnReset(packet, flow)
            pass(packet)
        case .committed: serverCommitted(packet, flow)
        case .routed:
            serverRouted(packet, flow)
            pass(packet)
        case .closed:
            if flow.pointee.proxy.value == ProxyIndex.none.value { pass(packet) } else { serverCommitted(packet, flow) }
        case .binding: serverBinding(packet, flow)
        case .translated: serverTranslated(packet, flow)
        }
    }

    mutating func serverOpening(_ packet: Packet, _ flow: Flow) {
        if flows.prelude(flow).pointee.following != .none { return serverFollowed(packet, flow) }
        let tcp = packet.tcp
        let flags = tcp.flags
        touch(flow)
        if flags.has([.syn, .ack]) {
            if packet.hasValidChecksum, tcp.acknowledgement == flows.prelude(flow).pointee.psn {
                learnHandshake(packet, flow)
            }
            return pass(packet)
        }
        if speaks(packet) {
            if isExact(packet, flow), packet.hasValidChecksum { serverSpeaks(packet, flow) }
        } else {
            noteServer(packet, flow)
        }
        pass(packet)
    }

    mutating func speaks(_ packet: Packet) -> Bool {
        let flags = packet.tcp.flags
        return packet.layout.payloadLength > 0 || flags.contains(.fin) || flags.contains(.rst)
    }

    /// Rule 3: a server's RST with the very number that the client expects (of a refused SYN: its acknowledgement),
    /// payload or FIN that is new to the client and within its window. Nothing else changes a flow.
    mutating func isExact(_ packet: Packet, _ flow: Flow) -> Bool {
        let tcp = packet.tcp
        guard flow.pointee.marks.contains(.handshakeKnown) else {
            return tcp.flags.lacks(.rst)
                || tcp.flags.contains(.ack) && tcp.acknowledgement == flows.prelude(flow).pointee.psn
        }
        let offset = tcp.sequence.distance(from: flow.pointee.serverNext)
        if tcp.flags.contains(.rst) { return offset == 0 }
        let length = Int32(packet.layout.payloadLength) &+ (tcp.flags.contains(.fin) ? 1 : 0)
        return offset &+ length > 0
            && offset < Int32(truncatingIfNeeded: max(flows.prelude(flow).pointee.clientWindow, 65_535))
    }

    /// SYN/ACK: what the connection agreed on (RFC 7323, RFC 2018).
    mutating func learnHandshake(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let options = TCPOptions(of: tcp)
        guard !options.isMalformed, packet.layout.payloadLength == 0 else { return becomeOrigins(flow, packet.now) }
        let prelude = flows.prelude(flow)
        prelude.pointee.pan = tcp.sequence + 1
        flow.pointee.serverNext = tcp.sequence + 1
        var agreed = prelude.pointee.options
        agreed.serverMSS =
            options.maximumSegmentSize != 0 ? options.maximumSegmentSize : (packet.layout.isV6 ? 1_220 : 536)
        agreed.windowScale = agreed.windowScale && options.windowScale != 0xFF
        agreed.serverWindowScale = agreed.windowScale ? options.windowScale : 0
        if !agreed.windowScale { agreed.clientWindowScale = 0 }
        agreed.sack = agreed.sack && options.sackPermitted
        agreed.timestamps = agreed.timestamps && options.hasTimestamps
        prelude.pointee.options = agreed
        prelude.pointee.serverTimestamp = options.timestampValue
        prelude.pointee.serverTimestampAt = packet.now
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        prelude.pointee.serverWindowEdge = prelude.pointee.psn + UInt32(tcp.window)
        prelude.pointee.originMAC = packet.sourceMAC
        flow.pointee.marks.insert(.handshakeKnown)
        clampMSS(packet, options)
    }

    /// The server's word before the client's request: only SMTP's greeting leaves the flow a candidate.
    mutating func serverSpeaks(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        guard tcp.flags.lacks([.fin, .rst]), applications(rules(of: flow)).contains(.smtp),
            tcp.sequence == flow.pointee.serverNext, flow.pointee.marks.contains(.handshakeKnown)
        else { return becomeOrigins(flow, packet.now, closing: tcp.flags.contains(.rst)) }
        let end = UnsafeRawPointer(packet.bytes) + Int(packet.layout.payload) + Int(packet.layout.payloadLength)
        let endsLine = packet.layout.payloadLength >= 2 && end.wire16(-2) == 0x0D0A
        // 220-… goes on; 220 … is the last line. A greeting of several segments is left to the origin.
        let start = UnsafeRawPointer(packet.bytes) + Int(packet.layout.payload)
        guard endsLine, packet.layout.payloadLength >= 6, start.wire32(0) == 0x3232_3020 else {
            return becomeOrigins(flow, packet.now)
        }
        flow.pointee.serverNext = tcp.sequence + UInt32(packet.layout.payloadLength)
        flows.prelude(flow).pointee.pan = flow.pointee.serverNext
        flow.pointee.marks.insert(.greeted)
        noteServer(packet, flow)
    }

    /// What a server's segment tells before a transfer.
    mutating func noteServer(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        guard tcp.flags.contains(.ack), tcp.flags.lacks([.syn, .rst]) else { return }
        let prelude = flows.prelude(flow)
        let edge = tcp.acknowledgement + UInt32(tcp.window) &<< UInt32(prelude.pointee.options.serverWindowScale)
        if edge.isAfter(prelude.pointee.serverWindowEdge) { prelude.pointee.serverWindowEdge = edge }
        if prelude.pointee.options.timestamps {
            let options = TCPOptions(of: tcp)
            if options.hasTimestamps {
                prelude.pointee.serverTimestamp = options.timestampValue
                prelude.pointee.serverTimestampAt = packet.now
            }
        }
    }

    /// The origin speaks while its request is held: time-outs, mostly. The transfer is off.
    mutating func serverHeld(_ packet: Packet, _ flow: Flow) {
        if speaks(packet) {
            if isExact(packet, flow), packet.hasValidChecksum {
                flows.prelude(flow).pointee.requestLength = 0
                abort(flow, .originClosed, now: packet.now)
            }
        } else {
            noteServer(packet, flow)
        }
        pass(packet)
    }

    /// Rule 5: after the commit only the chosen proxy speaks to the client.
    mutating func serverCommitted(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let hop = proxies[Int(flow.pointee.proxy.value)]
        guard packet.sourceMAC == hop.mac else {
            if isProxy(packet.sourceMAC) { return drop(packet, .droppedForeignProxy) }
            if tcp.flags.lacks(.rst), !flow.pointee.marks.contains(.resetPending) { resetSender(of: packet) }
            return drop(packet, flow.pointee.state == .closed ? .droppedTombstone : .droppedOriginAfterCommit)
        }
        touch(flow)
        let isReset = tcp.flags.contains(.rst)
        let end = tcp.sequence + UInt32(packet.layout.payloadLength) + (tcp.flags.contains(.fin) ? 1 : 0)
        let sent = end.distance(from: flow.pointee.serverNext)
        if !isReset, sent > 0, UInt32(sent) <= flow.pointee.longestServerStep {
            flow.pointee.serverNext = end
        }
        if isReset, flow.pointee.state == .committed, tcp.sequence == flow.pointee.serverNext,
            !flow.pointee.marks.contains(.announced), packet.hasValidChecksum
        {
            close(flow, .proxyReset, now: packet.now)
        }
        pass(packet)
    }

    /// True for the address of a proxy, whichever.
    mutating func isProxy(_ address: MACAddress) -> Bool {
        var index = 0
        // Origins, which count from the end, are none.
        while index < 255 &- virtuals.originCount {
            if proxies[index].mac == address { return true }
            index &+= 1
        }
        return false
    }

    /// Rule 13: an ICMP error about a committed flow is its proxy's concern, also while the proxy sends the rest of one
    /// that its agent has done with.
    mutating func handleError(_ packet: Packet, _ flow: Flow?) {
        if let flow, flow.pointee.state == .translated {
            return packet.fromClient ? toOrigin(packet, flow) : toClient(packet, flow)
        }
        guard packet.fromClient, let flow,
            flow.pointee.state == .committed || flow.pointee.state == .routed || flow.pointee.state == .closed,
            flow.pointee.proxy.value != ProxyIndex.none.value
        else { return pass(packet) }
        let quoted = SequenceNumber(UnsafeRawPointer(packet.bytes).wire32(Int(packet.layout.payload) &+ 4))
        // Plausible: what the proxy may have under way, by the client's acknowledgements and largest window, or had a
        // little earlier (RFC 5927 section 4).
        let ahead = Int64(quoted.distance(from: flow.pointee.serverNext))
        guard
            ahead >= -1_048_576 && ahead <= Int64(flow.pointee.longestServerStep)
                || flow.pointee.marks.contains(.announced) || flow.pointee.state == .routed
        else { return pass(packet) }
        counters.add(.icmpToProxy)
        toProxy(packet, flow)
    }
}
