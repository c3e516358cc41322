import CDPDKShim
import InterCore
import Wire

/// What a UDP datagram means to its flow.
extension Worker {
    /// `key` and `hash` are its tuple's.
    @inline(never)
    mutating func handleDatagram(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64) {
        guard let flow = datagrams.table.find(key, hash: hash) else {
            if packet.fromClient { return openDatagrams(packet, key, hash) }
            return passDatagram(packet)
        }
        touch(flow)
        if packet.fromClient { clientDatagram(packet, flow, key, hash) } else { serverDatagram(packet, flow, key) }
    }

    private mutating func clientDatagram(_ packet: Packet, _ flow: Flow, _ key: PackedFlowKey, _ hash: UInt64) {
        if flow.pointee.state == .held { return holdDatagram(packet, flow) }
        let payload = payload(of: packet)
        if !flow.pointee.marks.contains(.established) {
            if isShortHeader(payload) { flow.pointee.marks.insert(.established) }
        } else if let header = QUICLongHeader(payload), header.opens(datagramOf: payload.count) {
            return reopenDatagrams(packet, flow, key, hash)
        }
        if flow.pointee.state == .committed {
            sendToProxy(packet.mbuf, flow.pointee.proxy)
        } else {
            pass(packet)
        }
    }

    /// A client that uses its port again, for another connection.
    private mutating func reopenDatagrams(_ packet: Packet, _ flow: Flow, _ key: PackedFlowKey, _ hash: UInt64) {
        guard packet.hasValidChecksum, tellDatagramsEnd(flow, .superseded) else {
            // Without room to say so, it goes on where it was.
            if flow.pointee.state == .committed { return sendToProxy(packet.mbuf, flow.pointee.proxy) }
            return pass(packet)
        }
        removeDatagrams(flow)
        openDatagrams(packet, key, hash)
    }

    /// Rule 5, for datagrams: after the commit only the chosen proxy speaks to the client.
    private mutating func serverDatagram(_ packet: Packet, _ flow: Flow, _ key: PackedFlowKey) {
        if flow.pointee.state == .committed {
            guard packet.sourceMAC == proxies[Int(flow.pointee.proxy.value)].mac else {
                return drop(packet, isProxy(packet.sourceMAC) ? .droppedForeignProxy : .droppedOriginAfterCommit)
            }
            learnIdentifier(packet, flow.pointee.proxy, key)
        }
        pass(packet)
    }

    private mutating func passDatagram(_ packet: Packet) {
        counters.add(.passedNotCandidate)
        pass(packet)
    }

    /// A datagram of a tuple without an entry.
    private mutating func openDatagrams(_ packet: Packet, _ packed: PackedFlowKey, _ hash: UInt64) {
        let key = packed.key
        let candidates = candidateRules(of: key, hash: hash, overUDP: true)
        // What has a destination of its own is not asked about.
        guard candidates != 0, packed.isV6 != (key.client.isV4 || key.server.isV4), route(of: key) == nil else {
            return passDatagram(packet)
        }
        let payload = payload(of: packet)
        if applications(candidates).contains(.quic), let proxy = proxyByIdentifier(payload, packed) {
            return steer(packet, packed, hash, proxy)
        }
        let application = application(of: payload, wanted: applications(candidates))
        guard !application.isEmpty, packet.hasValidChecksum else { return passDatagram(packet) }
        let rules = rules(candidates, for: application)
        guard holds(rules) else { return observeDatagram(packet, packed, rules, application) }
        guard canHold else {
            if isBypassed { counters.add(.bypassed) }
            return pass(packet)
        }
        guard datagrams.table.hasFreePrelude, let flow = makeDatagramFlow(packed, hash, .held, now: packet.now) else {
            counters.add(.passedTableFull)
            return pass(packet)
        }
        datagrams.table.givePrelude(flow)
        datagrams.table.prelude(flow).pointee.rules = rules
        datagrams.table.prelude(flow).pointee.rulesGeneration = self.rules.generation
        datagrams.table.prelude(flow).pointee.holdStarted = packet.now
        if application == .dns { flow.pointee.marks.insert(.dns) }
        datagrams.held.append(flow, in: &datagrams.table)
        counters.add(.holdsStarted)
        holdDatagram(packet, flow)
    }

    /// What a flow may begin with: a QUIC client's first Initial packet, or a DNS query. Others pass: packets of
    /// connections that began before, or elsewhere, and versions that nobody here can read.
    private func application(of payload: UnsafeRawBufferPointer, wanted: Application) -> Application {
        if wanted.contains(.quic), let header = QUICLongHeader(payload), header.opens(datagramOf: payload.count) {
            return .quic
        }
        return wanted.contains(.dns) && DNSQuestion.isQuery(payload) ? .dns : []
    }

    private mutating func observeDatagram(
        _ packet: Packet, _ packed: PackedFlowKey, _ rules: UInt64, _ application: Application
    ) {
        let observed = HeldDatagram(
            handle: FlowHandle(
                worker: UInt8(truncatingIfNeeded: configuration.workerIndex), index: noFlow, generation: 0),
            key: packed.key, application: application, rules: rules, rulesGeneration: self.rules.generation,
            heldAt: packet.now)
        if push(.datagramObserved(observed), payload: payload(of: packet)) { counters.add(.requestsObserved) }
        pass(packet)
    }

    // MARK: entries

    /// Nil when the table is full.
    mutating func makeDatagramFlow(_ key: PackedFlowKey, _ hash: UInt64, _ state: FlowState, now: UInt64) -> Flow? {
        guard let flow = datagrams.table.insert(key, hash: hash) else { return nil }
        counters.add(.flowsCreated)
        setState(flow, state)
        touch(flow)
        datagrams.timers.arm(flow, deadline: now &+ configuration.datagramIdle, in: &datagrams.table)
        updateGauges()
        return flow
    }

    mutating func removeDatagrams(_ flow: Flow) {
        count(flow.pointee.state, -1)
        takeFromProxy(flow)
        datagrams.timers.disarm(flow, in: &datagrams.table)
        datagrams.table.remove(flow)
        updateGauges()
    }

    mutating func datagramHandle(_ flow: Flow) -> FlowHandle {
        FlowHandle(
            worker: UInt8(truncatingIfNeeded: configuration.workerIndex),
            index: datagrams.table.index(of: flow) | FlowHandle.datagramBit,
            generation: datagrams.table.links(of: flow).pointee.generation)
    }

    /// True when there is nothing left to be told of a flow that ends.
    mutating func tellDatagramsEnd(_ flow: Flow, _ end: FlowEnd) -> Bool {
        guard flow.pointee.state == .committed, !flow.pointee.marks.contains(.steered) else { return true }
        return push(.flowEnded(datagramHandle(flow), end))
    }

    /// The control core has done with a flow: nobody is to answer for it any more but the origin.
    mutating func datagramsDone(_ handle: FlowHandle) {
        guard let flow = datagrams.live(handle), flow.pointee.state == .committed else { return }
        if tellDatagramsEnd(flow, .flowDone) { removeDatagrams(flow) }
    }

    /// Bounded, like all that time does: holds whose verdict is late, and a few entries.
    mutating func expireDatagrams(now: UInt64) {
        var budget = 32
        while datagrams.held.first != noFlow, budget > 0 {
            let flow = datagrams.table.at(datagrams.held.first)
            let waited = now &- datagrams.table.prelude(flow).pointee.holdStarted
            guard waited >= configuration.backstop || !isControlAlive else { break }
            abortDatagrams(flow, isControlAlive ? .backstop : .controlDead, now: now)
            budget &-= 1
        }
        var steps = 64
        while let flow = datagrams.timers.next(now: now, steps: &steps, in: &datagrams.table) {
            steps &-= 1
            let idle = now &- lastSeen(flow, now: now)
            if flow.pointee.state == .held || idle < configuration.datagramIdle {
                let rest = configuration.datagramIdle &- min(idle, configuration.datagramIdle)
                datagrams.timers.arm(flow, deadline: now &+ max(rest, 1), in: &datagrams.table)
            } else if tellDatagramsEnd(flow, .idle) {
                counters.add(.flowsExpired)
                removeDatagrams(flow)
            } else {
                datagrams.timers.arm(flow, deadline: now &+ configuration.hertz / 10, in: &datagrams.table)
            }
        }
    }

    @inline(__always)
    func payload(of packet: Packet) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: UnsafeRawPointer(packet.bytes) + Int(packet.layout.payload), count: Int(packet.layout.payloadLength))
    }
}
