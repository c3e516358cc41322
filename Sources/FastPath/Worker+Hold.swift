import CDPDKShim
import InterCore
import Wire

/// Collecting a request, asking, and the two ways in which a hold ends.
extension Worker {
    /// Most bytes of a head: ten of the client's segments, for an unacknowledged client sends no more (rule 4).
    @inline(__always)
    func holdBound(_ flow: Flow) -> Int {
        let options = flows.prelude(flow).pointee.options
        var segment = Int(options.serverMSS == 0 ? options.clientMSS : min(options.clientMSS, options.serverMSS))
        if options.timestamps { segment &-= 12 }
        return min(max(segment, 1) &* 10, configuration.headLimit)
    }

    /// The first payload of a candidate.
    mutating func beginHold(_ packet: Packet, _ flow: Flow) {
        guard canHold else {
            if isBypassed { counters.add(.bypassed) }
            return leaveToOrigin(packet, flow)
        }
        guard wantsHold(flow) else { return observe(packet, flow) }
        setState(flow, .held)
        flows.prelude(flow).pointee.holdStarted = packet.now
        collecting.append(flow, in: &flows)
        counters.add(.holdsStarted)
        clientHeld(packet, flow)
    }

    var canHold: Bool {
        if isBypassed { return false }
        if !isControlAlive {
            counters.add(.holdsRefusedControlDead)
            return false
        }
        // Room for the outcome of every hold, besides its question.
        let holds = collecting.count &+ asked.count &+ datagrams.held.count
        guard holds < configuration.heldFlowLimit, heldPackets < configuration.heldPacketLimit,
            links.events.hasRoom(for: 2 &* holds &+ 2)
        else {
            counters.add(.holdsRefusedBound)
            return false
        }
        return true
    }

    /// A client's segment of a held flow.
    mutating func clientHeld(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let length = UInt32(packet.layout.payloadLength)
        let isAnswered = flow.pointee.marks.contains(.answered)
        guard packet.hasValidChecksum else {
            counters.add(.passedBadChecksum)
            return passBeside(packet, isAnswered: isAnswered)
        }
        if tcp.flags.contains(.rst) {
            if tcp.sequence == flow.pointee.clientNext { dropHold(flow, packet.now) }
            return passBeside(packet, isAnswered: isAnswered)
        }
        noteClient(packet, flow)
        let isFinal = tcp.flags.contains(.fin)
        let offset = tcp.sequence.distance(from: flows.prelude(flow).pointee.psn)
        guard length > 0 || isFinal else {
            // A bare ACK: the origin may hear what it knows, never of bytes that it has not got.
            if offset <= 0 { return passBeside(packet, isAnswered: isAnswered) }
            return drop(packet, .droppedHeldDuplicate)
        }
        // A keep-alive probe: nothing that the origin has not got.
        if offset < 0, Int(offset) &+ Int(length) <= 0, !isFinal { return passBeside(packet, isAnswered: isAnswered) }
        guard offset >= 0, Int(offset) &+ Int(length) <= holdBound(flow) else {
            return outgrown(packet, flow, .requestsTooLong)
        }
        if length > 0
            ? flows.prelude(flow).pointee.hold.covers(tcp.sequence, length: length)
            : flows.prelude(flow).pointee.hold.holdsFinal
        {
            return repeated(packet, flow)
        }
        guard flows.prelude(flow).pointee.hold.count < configuration.heldPacketsPerFlow,
            heldPackets < configuration.heldPacketLimit
        else { return outgrown(packet, flow, .holdsRefusedBound) }
        take(packet, flow, isFinal: isFinal)
        if !flow.pointee.marks.contains(.asked) { readHead(flow, now: packet.now) }
    }

    mutating func take(_ packet: Packet, _ flow: Flow, isFinal: Bool) {
        let tcp = packet.tcp
        flows.prelude(flow).pointee.hold.insert(
            packet.mbuf, sequence: tcp.sequence, layout: packet.layout, isFinal: isFinal)
        heldPackets &+= 1
        counters.add(.taken)
        updateGauges()
        let end = tcp.sequence + UInt32(packet.layout.payloadLength) + (isFinal ? 1 : 0)
        if end.isAfter(flow.pointee.clientNext) { flow.pointee.clientNext = end }
    }

    /// Before the head is complete, a retransmission means that the client has waited long enough; afterwards the
    /// verdict is at hand and it is absorbed.
    mutating func repeated(_ packet: Packet, _ flow: Flow) {
        if flow.pointee.marks.contains(.asked) {
            counters.add(.retransmissionsAbsorbed)
            return drop(packet, .droppedHeldDuplicate)
        }
        counters.add(.requestsIncomplete)
        let isAnswered = flow.pointee.marks.contains(.answered)
        releaseToOrigin(flow, now: packet.now)
        passBeside(packet, isAnswered: isAnswered)
    }

    /// A bound is reached: everything goes to the origin, this packet last.
    mutating func outgrown(_ packet: Packet, _ flow: Flow, _ bound: Counter) {
        counters.add(bound)
        flows.prelude(flow).pointee.requestLength = 0
        let isAnswered = flow.pointee.marks.contains(.answered)
        abort(flow, .bound, now: packet.now)
        passBeside(packet, isAnswered: isAnswered)
    }

    /// Reads what is there without a gap, and asks when it is a request.
    mutating func readHead(_ flow: Flow, now: UInt64) {
        let bound = holdBound(flow)
        let count = flows.prelude(flow).pointee.hold.gather(
            from: flows.prelude(flow).pointee.psn,
            into: UnsafeMutableRawBufferPointer(rebasing: scratch[0..<min(bound, scratch.count)]))
        let bytes = UnsafeRawBufferPointer(rebasing: scratch[0..<count])
        switch recogniseRequest(bytes, wanted: wanted(flow)) {
        case .incomplete:
            if Int(flows.prelude(flow).pointee.hold.bytes) >= bound || flows.prelude(flow).pointee.hold.holdsFinal {
                counters.add(.requestsTooLong)
                releaseToOrigin(flow, now: now)
            }
        case .unsuitable:
            counters.add(.requestsUnsuitable)
            releaseToOrigin(flow, now: now)
        case .request(let request):
            counters.add(.requestsRecognised)
            noteFollowable(flow, request, bytes)
            ask(flow, request, bytes, now: now)
        }
    }

    /// Hands the question to the control core.
    mutating func ask(_ flow: Flow, _ request: RecognisedRequest, _ bytes: UnsafeRawBufferPointer, now: UInt64) {
        let rules = suitableRules(rules(of: flow), request)
        guard rules != 0 else {
            counters.add(.requestsUnsuitable)
            return releaseToOrigin(flow, now: now)
        }
        let held = question(flow, request, rules, byteCount: bytes.count, now: now)
        let payload = UnsafeRawBufferPointer(rebasing: bytes[0..<Int(held.payloadLength)])
        guard holds(rules) else {
            if push(.requestObserved(held), payload: payload) { counters.add(.requestsObserved) }
            return releaseToOrigin(flow, now: now)
        }
        // One more for its own outcome.
        guard hasRoomForEvents(2), push(.requestHeld(held), payload: payload) else {
            return releaseToOrigin(flow, now: now)
        }
        flow.pointee.marks.insert(.asked)
        collecting.remove(flow, in: &flows)
        asked.insertByStart(flow, in: &flows)
    }

    /// Applications to look for: SMTP's client speaks after the greeting, all others before the server does.
    mutating func wanted(_ flow: Flow) -> Application {
        let all = applications(rules(of: flow))
        return flow.pointee.marks.contains(.greeted) ? all.intersection(.smtp) : all.subtracting(.smtp)
    }

    mutating func question(
        _ flow: Flow, _ request: RecognisedRequest, _ rules: UInt64, byteCount: Int, now: UInt64
    ) -> HeldRequest {
        let prelude = flows.prelude(flow)
        let age =
            prelude.pointee.serverTimestampAt == 0
            ? 0 : (now &- prelude.pointee.serverTimestampAt) / configuration.microsecond
        let connection = ConnectionState(
            key: flows.key(of: flow).key, psn: prelude.pointee.psn, pan: prelude.pointee.pan,
            clientWindow: prelude.pointee.clientWindow,
            serverWindowEdge: prelude.pointee.serverWindowEdge, options: prelude.pointee.options,
            serverTimestamp: prelude.pointee.serverTimestamp, clientTimestamp: prelude.pointee.clientTimestamp,
            timestampAgeMicroseconds: UInt32(truncatingIfNeeded: min(age, 0xFFFF_FFFF)),
            timeToLive: prelude.pointee.timeToLive)
        let payloadLength = min(request.headLength, byteCount, HeldRequest.maximumPayload)
        return HeldRequest(
            handle: handle(flow), connection: connection, request: request, rules: rules,
            rulesGeneration: self.rules.generation, recognisedAt: now,
            heldLength: prelude.pointee.hold.bytes, payloadLength: UInt16(payloadLength))
    }

    /// A rule that only observes: what one segment shows is asked about, and nothing is held.
    mutating func observe(_ packet: Packet, _ flow: Flow) {
        let start = UnsafeRawPointer(packet.bytes) + Int(packet.layout.payload)
        let bytes = UnsafeRawBufferPointer(start: start, count: Int(packet.layout.payloadLength))
        if packet.tcp.sequence == flows.prelude(flow).pointee.psn,
            case .request(let request) = recogniseRequest(bytes, wanted: wanted(flow))
        {
            let rules = suitableRules(rules(of: flow), request)
            if rules != 0 {
                let question = question(flow, request, rules, byteCount: bytes.count, now: packet.now)
                let payload = UnsafeRawBufferPointer(rebasing: bytes[0..<Int(question.payloadLength)])
                if push(.requestObserved(question), payload: payload) { counters.add(.requestsObserved) }
            }
        }
        leaveToOrigin(packet, flow)
    }

    // MARK: the two ends of a hold

    /// COMMITTED: the origin's half is reset, the held packets go to the proxy.
    mutating func commit(_ flow: Flow, _ proxy: ProxyIndex, resetOrigin: Bool, now: UInt64) {
        let hop = proxies[Int(proxy.value)]
        // A proxy that nobody introduced, one in another VLAN, or a path that the request does not fit through,
        // or what may follow it.
        guard hop.mac != .zero else { return abort(flow, .verdictOrigin, now: now) }
        guard !isInOtherVLAN(proxy, flow.pointee.vlan) else { return abort(flow, .otherVLAN, now: now) }
        // What is too long for a tunnel later on, the client is told.
        let longest =
            tunnels.has(proxy) ? Int(flows.prelude(flow).pointee.hold.longestPacket) : longestPacket(flow)
        guard hop.mtu == 0 || longest <= Int(hop.mtu) else {
            return abort(flow, .bound, now: now)
        }
        // Of a virtual server's connection no origin knows.
        let hasOrigin = flow.pointee.marks.lacks(.answered)
        setState(flow, .committed)
        asked.remove(flow, in: &flows)
        flow.pointee.marks.remove(.asked)
        give(flow, to: proxy)
        touch(flow)
        if hasOrigin {
            if resetOrigin { resetOriginOf(flow, now: now) } else { flow.pointee.marks.insert(.resetPending) }
        }
        while let packet = flows.prelude(flow).pointee.hold.removeFirst() {
            released()
            if capture.isOn { captureReleased(packet, flow, to: proxy, now: now) }
            sendToProxy(packet, proxy)
        }
        let options = flows.prelude(flow).pointee.options
        flow.pointee.setLongestSteps(
            clientWindowScale: options.clientWindowScale, serverWindowScale: options.serverWindowScale)
        rearm(flow, now: now, limit: configuration.committedIdle)
        if resetOrigin || !hasOrigin { releasePrelude(flow) }
        counters.add(.holdsCommitted)
        report(.committed(handle(flow)))
        updateGauges()
    }

    /// Bytes of IP of the longest packet that the client may send: one that is held, or a whole segment.
    mutating func longestPacket(_ flow: Flow) -> Int {
        let options = flows.prelude(flow).pointee.options
        var segment = options.clientMSS
        if options.serverMSS != 0 {
            segment = min(segment, options.serverMSS)
            // Both of them were told so.
            if configuration.maximumSegment != 0 { segment = min(segment, configuration.maximumSegment) }
        }
        return max(
            Int(flows.prelude(flow).pointee.hold.longestPacket),
            Int(segment) &+ (flow.pointee.marks.contains(.isV6) ? 60 : 40))
    }

    /// ABORTED: the held packets go to the origin, in order.
    mutating func abort(_ flow: Flow, _ reason: AbortReason, now: UInt64) {
        let wasAsked = flow.pointee.marks.contains(.asked)
        let handle = handle(flow)
        releaseToOrigin(flow, now: now)
        if wasAsked {
            counters.add(.holdsAborted)
            report(.aborted(handle, reason))
        }
    }

    /// Empties a hold towards the origin; the flow is the origin's from now on, or until the next request.
    mutating func releaseToOrigin(_ flow: Flow, now: UInt64) {
        leaveQueues(flow)
        if flow.pointee.marks.contains(.answered) { return bind(flow, now: now) }
        let isFollowable = isFollowable(flow)
        while let packet = flows.prelude(flow).pointee.hold.removeFirst() {
            released()
            if capture.isOn { captureReleased(packet, flow, to: .none, now: now) }
            sendToServers(packet)
        }
        if isFollowable { follow(flow, now: now) } else { becomeOrigins(flow, now) }
    }

    /// The client reset its connection: nobody wants the held packets any more.
    mutating func dropHold(_ flow: Flow, _ now: UInt64) {
        let wasAsked = flow.pointee.marks.contains(.asked)
        let handle = handle(flow)
        leaveQueues(flow)
        dropHeld(flow, .droppedClientReset)
        becomeOrigins(flow, now, closing: true)
        if wasAsked {
            counters.add(.holdsAborted)
            report(.aborted(handle, .clientReset))
        }
    }

    mutating func leaveQueues(_ flow: Flow) {
        guard flow.pointee.state == .held else { return }
        if flow.pointee.marks.contains(.asked) {
            asked.remove(flow, in: &flows)
            flow.pointee.marks.remove(.asked)
        } else {
            collecting.remove(flow, in: &flows)
        }
    }

    mutating func released() {
        heldPackets &-= 1
        counters.add(.released)
    }

    mutating func becomeOrigins(_ flow: Flow, _ now: UInt64, closing: Bool = false) {
        setState(flow, .origin)
        touch(flow)
        if flow.pointee.marks.contains(.hasPrelude) {
            flow.pointee.clientNext = flows.prelude(flow).pointee.firstPSN
            flows.dropPrelude(flow)
        }
        if closing {
            removeFlow(flow)
            counters.add(.flowsClosed)
        } else {
            rearm(flow, now: now, limit: configuration.idle)
        }
        updateGauges()
    }

    mutating func handle(_ flow: Flow) -> FlowHandle {
        FlowHandle(
            worker: UInt8(truncatingIfNeeded: configuration.workerIndex), index: flows.index(of: flow),
            generation: flows.links(of: flow).pointee.generation)
    }

    /// The outcome of an asked hold: `hasRoomForEvents` kept its place free. To be called after the hold has left
    /// `asked`.
    mutating func report(_ event: WorkerEvent) {
        if !links.events.push(event) { counters.add(.eventRingFull) }
        ringControl()
    }

    /// True when `count` events fit besides the outcomes of all asked holds.
    mutating func hasRoomForEvents(_ count: Int) -> Bool {
        links.events.hasRoom(for: asked.count &+ datagrams.held.count &+ count)
    }

    /// Any other event; false, and counted, when only the outcomes' places are left.
    mutating func push(_ event: WorkerEvent, payload: UnsafeRawBufferPointer = .init(start: nil, count: 0)) -> Bool {
        guard hasRoomForEvents(1), links.events.push(event, payload: payload) else {
            counters.add(.eventRingFull)
            return false
        }
        ringControl()
        return true
    }

    mutating func ringControl() {
        if links.controlDoorbell.isSleeperWaiting { shim_signal(links.controlDoorbell.descriptor) }
    }
}
