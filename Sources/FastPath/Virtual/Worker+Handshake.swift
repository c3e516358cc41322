import CDPDKShim
import InterCore
import Wire

/// Virtual servers: the director shakes hands itself, and keeps nothing of a client before the cookie that it was sent has
/// come back. The flow is `opening` then, like one whose handshake passed here, but `answered`: nobody else knows of the
/// connection, so its segments go nowhere until a proxy or an origin has it (`Worker+Binding`).
extension Worker {
    /// The virtual server that a connection is with.
    mutating func virtualServer(of key: PackedFlowKey) -> Int? {
        guard !virtuals.isEmpty else { return nil }
        let key = key.key
        return virtuals.answering(key.server, port: key.serverPort)
    }

    /// Milliseconds as TSvals and cookies count them, alike on all workers; reckoned once in a turn, with the cookies' minute.
    private mutating func milliseconds(_ now: UInt64) -> UInt32 {
        if handshakeClock.turn != now {
            let milliseconds = now / configuration.millisecond &+ UInt64(configuration.timestampOffset)
            let minute = UInt32(truncatingIfNeeded: milliseconds / UInt64(CookieKey.period))
            if cookieKey.minute != minute { cookieKey.advance(to: minute) }
            handshakeClock = (now, UInt32(truncatingIfNeeded: milliseconds))
        }
        return handshakeClock.milliseconds
    }

    /// A SYN becomes its own answer.
    @inline(never)
    mutating func answerSYN(_ packet: Packet, _ server: Int) {
        let milliseconds = milliseconds(packet.now)
        let answer = SYNAnswer.answer(
            packet.bytes, packet.layout, room: Int(shim_mbuf_room(packet.mbuf)), offer: virtuals.servers[server].offer,
            key: cookieKey, milliseconds: milliseconds)
        guard case .answered(let length) = answer else { return drop(packet, .droppedSYN) }
        shim_mbuf_resize(packet.mbuf, UInt16(truncatingIfNeeded: length))
        counters.add(.synsAnswered)
        sendToClients(packet.mbuf)
    }

    /// A segment of no connection that is known here: one that returns a cookie makes one, any other is told that there is
    /// none, unless a proxy may have it (rule 6).
    @inline(never)
    mutating func meet(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64, _ server: Int) {
        switch returnedCookie(packet, server) {
        case .accepted(let handshake):
            counters.add(.cookiesAccepted)
            guard !flows.isFull(isV6: key.isV6), flows.hasFreePrelude,
                let flow = note(key, hash, .opening, limit: configuration.unasked, now: packet.now)
            else { return drop(packet, .droppedStranger) }
            flow.pointee.marks.formUnion([.answered, .handshakeKnown])
            noteHandshake(packet, flow, handshake, server)
            clientAnswered(packet, flow, key, hash)
        case .refused(.cookie):
            if isWithheld(key) {
                counters.add(.recoveryWithheld)
                return drop(packet, .droppedRecovery)
            }
            counters.add(.cookiesRefused)
            // A forwarder that does not know yet whose it is has sent it here.
            if !configuration.isClassifier, let reset = make(resetFor(packet)) { sendToClients(reset) }
            drop(packet, .droppedStranger)
        case .refused: drop(packet, .droppedStranger)
        }
    }

    private mutating func returnedCookie(_ packet: Packet, _ server: Int) -> CookieReturn {
        let clock = milliseconds(packet.now)
        let (offer, former) = (virtuals.servers[server].offer, virtuals.servers[server].formerOffer)
        let returned = CookieReturn.check(
            UnsafeRawPointer(packet.bytes), packet.layout, offer: offer, key: cookieKey, milliseconds: clock)
        guard returned == .refused(.cookie), former != offer else { return returned }
        return CookieReturn.check(
            UnsafeRawPointer(packet.bytes), packet.layout, offer: former, key: cookieKey, milliseconds: clock)
    }

    /// What SYN and SYN/ACK would have told of the connection.
    private mutating func noteHandshake(
        _ packet: Packet, _ flow: Flow, _ handshake: HandshakeState, _ server: Int
    ) {
        let key = flows.key(of: flow)
        flows.givePrelude(flow)
        let prelude = flows.prelude(flow)
        prelude.pointee.virtualServer = UInt8(truncatingIfNeeded: server)
        prelude.pointee.rulesGeneration = rules.generation
        prelude.pointee.rules = candidateRules(of: key.key, hash: flowHash(of: key, seed: configuration.hashSeed))
        prelude.pointee.psn = handshake.clientISN + 1
        prelude.pointee.firstPSN = handshake.clientISN + 1
        prelude.pointee.pan = handshake.serverISN + 1
        prelude.pointee.options = handshake.options
        prelude.pointee.clientWindow = handshake.clientWindow
        prelude.pointee.serverWindowEdge = handshake.clientISN + 1 + UInt32(handshake.serverWindow)
        prelude.pointee.serverTimestamp = handshake.serverTimestamp
        prelude.pointee.serverTimestampAt = packet.now
        prelude.pointee.clientTimestamp = handshake.clientTimestamp
        prelude.pointee.clientMAC = packet.sourceMAC
        prelude.pointee.timeToLive = packet.timeToLive
        flow.pointee.clientNext = handshake.clientISN + 1
        flow.pointee.serverNext = handshake.serverISN + 1
    }

    /// The client's segments until its request.
    mutating func clientAnswered(_ packet: Packet, _ flow: Flow, _ key: PackedFlowKey, _ hash: UInt64) {
        let tcp = packet.tcp
        guard packet.hasValidChecksum else { return drop(packet, .droppedUnserved) }
        let prelude = flows.prelude(flow)
        if tcp.flags.contains(.rst) {
            if tcp.sequence == prelude.pointee.psn {
                counters.add(.flowsClosed)
                removeFlow(flow)
            }
            return drop(packet, .droppedUnserved)
        }
        guard tcp.flags.contains(.ack), tcp.acknowledgement == prelude.pointee.pan else {
            return meetAgain(packet, flow, key, hash)
        }
        let offset = tcp.sequence.distance(from: prelude.pointee.psn)
        let isFinal = tcp.flags.contains(.fin)
        guard offset >= 0, offset < Int32(holdBound(flow)) else { return drop(packet, .droppedUnserved) }
        noteClient(packet, flow)
        // Nobody is asked; the server speaks first; or there is no room for those who take their time.
        let mustBind = rules(of: flow) == 0 || wantsOnlySMTP(flow) || !flows.hasSparePreludes
        if packet.layout.payloadLength > 0 || isFinal {
            if mustBind { leaveToOrigin(packet, flow) } else { beginHold(packet, flow) }
        } else {
            drop(packet, .droppedUnserved)
            if mustBind { bind(flow, now: packet.now) }
        }
    }

    /// Another handshake on the tuple of a connection that has come to nothing: if the client has finished that one, it
    /// knows of no other.
    private mutating func meetAgain(_ packet: Packet, _ flow: Flow, _ key: PackedFlowKey, _ hash: UInt64) {
        guard let server = virtualServer(of: key), case .accepted(let handshake) = returnedCookie(packet, server),
            handshake.clientISN + 1 != flows.prelude(flow).pointee.firstPSN
        else { return drop(packet, .droppedUnserved) }
        counters.add(.flowsClosed)
        removeFlow(flow)
        meet(packet, key, hash, server)
    }

    /// A SYN on a tuple that has an entry (rule 9). What the entry stands for is only given up when the client has proved
    /// that it is there, or when the connection has ended.
    mutating func reopenAnswered(_ packet: Packet, _ flow: Flow, _ key: PackedFlowKey) {
        let server = virtualServer(of: key)
        switch flow.pointee.state {
        case .committed: return toProxy(packet, flow)
        case .closed where isLateCopy(packet, flow): return closedByClient(packet, flow)
        case .translated where !hasEnded(flow): return toOrigin(packet, flow)
        case .closed, .translated:
            guard server != nil, packet.hasValidChecksum, isEndTold(flow) else { return drop(packet, .droppedSYN) }
            removeFlow(flow)
        case .opening: break
        case .held, .binding, .origin, .routed: return drop(packet, .droppedSYN)
        }
        guard let server else { return drop(packet, .droppedSYN) }
        answerSYN(packet, server)
    }
}

// MARK: the short way

extension Worker {
    /// Begins the lookup of a plain SYN. False, and nothing done, for any other frame.
    @inline(__always)
    mutating func parseSYN(_ index: Int) -> Bool {
        let frame = UnsafeRawPointer(shim_mbuf_data(burst.packets[index].unsafelyUnwrapped))
        let length = Int(shim_mbuf_length(burst.packets[index].unsafelyUnwrapped))
        guard let segment = PlainSegment(syn: frame, length: length) else { return false }
        let key =
            segment.isV6
            ? IPv6Layout.key(ofPlain: frame, fromClient: true) : IPv4Layout.key(ofPlain: frame, fromClient: true)
        flows.lookup.begin(index, key, segment)
        burst.hasSYNs = true
        return true
    }

    /// Answers a burst's plain SYNs to virtual servers, those that no flow is known of, before all else: what a flood
    /// consists of gets no further, and does not tear the others' short way into pieces. Closes the gaps, and returns how
    /// many packets are left; they find everything as it was.
    @inline(never)
    mutating func answerSYNs(_ count: Int, now: UInt64) -> Int {
        burst.hasSYNs = false
        guard rules.routeCount == 0 else { return count }
        let milliseconds = milliseconds(now)
        let (burst, lookup, virtuals) = (burst, flows.lookup, virtuals)
        var kept = 0
        var index = 0
        while index < count {
            let slot = lookup.slots[index]
            if slot.segment.isPlainSYN, slot.probed == noFlow,
                answerPlain(burst.packets[index].unsafelyUnwrapped, slot.segment, virtuals, milliseconds)
            {
                index &+= 1
                continue
            }
            burst.move(index, to: kept)
            lookup.move(index, to: kept)
            if capture.isOn { capture.isWanted[kept] = capture.isWanted[index] }
            kept &+= 1
            index &+= 1
        }
        counters.add(.synsAnswered, UInt64(count &- kept))
        return kept
    }

    /// False, and nothing done, when that is not the answer.
    @inline(__always)
    private mutating func answerPlain(
        _ packet: OpaquePointer, _ segment: PlainSegment, _ virtuals: VirtualServerTable, _ milliseconds: UInt32
    ) -> Bool {
        let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
        let (address, port) = segment.isV6 ? IPv6Layout.destination(frame) : IPv4Layout.destination(frame)
        guard let server = virtuals.answering(address, port: port) else { return false }
        let answer = SYNAnswer.answer(
            frame, PacketLayout(plainSYN: frame, segment), room: Int(shim_mbuf_room(packet)),
            offer: virtuals.servers[server].offer, key: cookieKey, milliseconds: milliseconds)
        guard case .answered(let length) = answer else { return false }
        shim_mbuf_resize(packet, UInt16(truncatingIfNeeded: length))
        sendToClients(packet)
        return true
    }
}
