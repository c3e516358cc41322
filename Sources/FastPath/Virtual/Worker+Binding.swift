import CDPDKShim
import InterCore
import Wire

/// Delayed binding: a virtual server's connection that no proxy has taken gets an origin. The worker shakes hands with it
/// in the client's name, with the client's own initial sequence number and timestamp; what the client has sent is held
/// until the origin has answered, and goes there translated.
extension Worker {
    /// The request is the origin's, and the connection with it; this segment is the last that has come of it.
    mutating func leaveToOrigin(_ packet: Packet, _ flow: Flow) {
        guard flow.pointee.marks.contains(.answered) else {
            becomeOrigins(flow, packet.now)
            return pass(packet)
        }
        keep(packet, flow)
        bind(flow, now: packet.now)
    }

    /// A segment of a hold that is not taken: an origin that knows of the connection gets it.
    mutating func passBeside(_ packet: Packet, isAnswered: Bool) {
        if isAnswered { drop(packet, .droppedUnserved) } else { pass(packet) }
    }

    /// Holds a segment for the origin, if there is room; without it the client sends it again.
    private mutating func keep(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let length = UInt32(packet.layout.payloadLength)
        let isFinal = tcp.flags.contains(.fin)
        let prelude = flows.prelude(flow)
        let offset = tcp.sequence.distance(from: prelude.pointee.psn)
        guard length > 0 || isFinal, offset >= 0, Int(offset) &+ Int(length) <= holdBound(flow),
            length > 0
                ? !prelude.pointee.hold.covers(tcp.sequence, length: length) : !prelude.pointee.hold.holdsFinal,
            prelude.pointee.hold.count < configuration.heldPacketsPerFlow, heldPackets < configuration.heldPacketLimit
        else { return drop(packet, .droppedUnserved) }
        take(packet, flow, isFinal: isFinal)
    }

    /// Finds the flow an origin. It must have left the queues of holds.
    mutating func bind(_ flow: Flow, now: UInt64) {
        setState(flow, .binding)
        touch(flow)
        flows.prelude(flow).pointee.bindTries = 0
        connect(flow, now: now)
        updateGauges()
    }

    /// Sends a SYN: to another origin than before when that one refused, or after half of all tries. At last gives up.
    mutating func connect(_ flow: Flow, isRefused: Bool = false, now: UInt64) {
        let tries = Int(flows.prelude(flow).pointee.bindTries)
        let wantsAnother = isRefused || tries == 0 || tries == configuration.bindTries / 2
        guard tries < configuration.bindTries, !wantsAnother || giveOrigin(flow), !isRefused || !isReplayed(flow) else {
            return isReplayed(flow) ? refuseReplay(flow) : refuse(flow, now: now)
        }
        flows.prelude(flow).pointee.bindTries &+= 1
        if tries > 0 { counters.add(.bindsRepeated) }
        sendSYN(flow)
        rearm(flow, now: now, limit: configuration.bindRetry &<< UInt64(min(tries, 4)))
    }

    /// Takes the next origin in turn that is up, another than the flow has if there is one. False when there is none.
    private mutating func giveOrigin(_ flow: Flow) -> Bool {
        let server = Int(flows.prelude(flow).pointee.virtualServer)
        guard server < virtuals.serverCount else { return false }
        let origins = virtuals.servers[server].origins
        var found: Int?
        var step = 0
        while step < origins.count {
            originTurn &+= 1
            let origin = origins.lowerBound &+ originTurn % origins.count
            step &+= 1
            guard virtuals.origins[origin].isUp, virtuals.origins[origin].hop.mac != .zero else { continue }
            let vlan = virtuals.origins[origin].hop.vlan
            guard !vlan.isTagged || vlan == flow.pointee.vlan else { continue }
            found = origin
            if flow.pointee.proxy.value != ProxyIndex.origin(origin).value { break }
        }
        guard let found else { return false }
        give(flow, to: .origin(found))
        return true
    }

    /// From the client's own address, number and clock: only the origin's differ from what the client was told.
    private mutating func sendSYN(_ flow: Flow) {
        let prelude = flows.prelude(flow)
        let told = prelude.pointee.options
        var options = TCPOptions()
        options.maximumSegmentSize = clamped(told.clientMSS, flow)
        options.sackPermitted = told.sack
        options.windowScale = told.windowScale ? told.clientWindowScale : 0xFF
        options.hasTimestamps = told.timestamps
        options.timestampValue = prelude.pointee.clientTimestamp
        var syn = segmentToOrigin(flow, .syn, options)
        syn.sequence = prelude.pointee.firstPSN - 1
        syn.window = UInt16(truncatingIfNeeded: min(prelude.pointee.clientWindow, 65_535))
        if let packet = make(syn) { sendToServers(packet) }
    }

    private mutating func clamped(_ size: UInt16, _ flow: Flow) -> UInt16 {
        let hop = virtuals.origins[flow.pointee.proxy.originIndex].hop
        let headers: UInt16 = flow.pointee.marks.contains(.isV6) ? 60 : 40
        let limit = hop.mtu > headers ? hop.mtu &- headers : UInt16.max
        return min(size, limit, configuration.maximumSegment == 0 ? UInt16.max : configuration.maximumSegment)
    }

    mutating func segmentToOrigin(_ flow: Flow, _ flags: TCPFlags, _ options: TCPOptions) -> TCPFrame {
        let key = flows.key(of: flow).key
        let origin = virtuals.origins[flow.pointee.proxy.originIndex]
        return TCPFrame(
            from: Endpoint(key.client, port: key.clientPort), at: flows.prelude(flow).pointee.clientMAC,
            to: origin.endpoint, at: origin.hop.mac, vlan: key.vlan, hops: flows.prelude(flow).pointee.timeToLive,
            flags: flags, sequence: flows.prelude(flow).pointee.firstPSN, options: options)
    }

    /// No origin answers: the client hears what it would have heard at once from a host without a server.
    private mutating func refuse(_ flow: Flow, now: UInt64) {
        let key = flows.key(of: flow).key
        let prelude = flows.prelude(flow)
        let reset = TCPFrame(
            from: Endpoint(key.server, port: key.serverPort), at: links.clientMAC,
            to: Endpoint(key.client, port: key.clientPort), at: prelude.pointee.clientMAC, vlan: key.vlan,
            flags: [.rst, .ack], sequence: prelude.pointee.pan, acknowledgement: flow.pointee.clientNext)
        counters.add(.bindsFailed)
        counters.add(.flowsClosed)
        dropHeld(flow, .droppedUnserved)
        removeFlow(flow)
        if let packet = make(reset) { sendToClients(packet) }
    }

    // MARK: while it waits

    /// What the client says meanwhile is held as well.
    mutating func clientBinding(_ packet: Packet, _ flow: Flow) {
        if isReplayed(flow) { return clientReplayed(packet, flow) }
        let tcp = packet.tcp
        guard packet.hasValidChecksum else { return drop(packet, .droppedUnserved) }
        if tcp.flags.contains(.rst) {
            if tcp.sequence == flow.pointee.clientNext {
                dropHeld(flow, .droppedClientReset)
                counters.add(.flowsClosed)
                removeFlow(flow)
            }
            return drop(packet, .droppedUnserved)
        }
        guard tcp.flags.contains(.ack), tcp.acknowledgement == flows.prelude(flow).pointee.pan else {
            return drop(packet, .droppedUnserved)
        }
        noteClient(packet, flow)
        keep(packet, flow)
    }

    /// The origin's answer to the SYN.
    mutating func serverBinding(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        guard isOfItsOrigin(packet, flow) else { return drop(packet, .droppedForeignOrigin) }
        if flows.prelude(flow).pointee.isShaken { return serverReplayed(packet, flow) }
        guard packet.hasValidChecksum, tcp.flags.contains(.ack),
            tcp.acknowledgement == flows.prelude(flow).pointee.firstPSN
        else { return drop(packet, .droppedHandshake) }
        if tcp.flags.contains(.rst) {
            connect(flow, isRefused: true, now: packet.now)
        } else if tcp.flags.has([.syn, .ack]) {
            complete(packet, flow)
        }
        drop(packet, .droppedHandshake)
    }

    /// SYN/ACK: from now on the origin's segments become what the client was promised.
    private mutating func complete(_ packet: Packet, _ flow: Flow) {
        let answer = TCPOptions(of: packet.tcp)
        guard !answer.isMalformed else { return }
        let prelude = flows.prelude(flow)
        let told = prelude.pointee.options
        var agreed = told
        agreed.windowScale = told.windowScale && answer.windowScale != 0xFF
        agreed.serverWindowScale = agreed.windowScale ? answer.windowScale : 0
        agreed.sack = told.sack && answer.sackPermitted
        agreed.timestamps = told.timestamps && answer.hasTimestamps
        if isReplayed(flow), !isGood(agreed, flow) { return refuseReplay(flow) }
        if told.timestamps != agreed.timestamps || told.sack != agreed.sack { counters.add(.originsBelowOffer) }
        let translation = Translation(
            client: .init(
                serverSequence: prelude.pointee.pan - 1, serverTimestamp: prelude.pointee.serverTimestamp,
                options: told),
            server: .init(
                serverSequence: packet.tcp.sequence, serverTimestamp: answer.timestampValue, options: agreed))
        touch(flow)
        // A segment that is held completes the handshake as well as an ACK would.
        if prelude.pointee.hold.count == 0 { acknowledge(packet, flow, agreed, answer) }
        flow.pointee.translation = PackedTranslation(translation)
        if isReplayed(flow) { return settleReplay(flow, now: packet.now) }
        setState(flow, .translated)
        counters.add(.flowsBound)
        while let held = flows.prelude(flow).pointee.hold.removeFirst() {
            released()
            let bytes = UnsafeRawPointer(shim_mbuf_data(held))
            let layout = PacketLayout(of: bytes, length: Int(shim_mbuf_length(held)))
            toOrigin(Packet(mbuf: held, layout: layout, fromClient: true, now: packet.now), flow)
        }
        flows.dropPrelude(flow)
        rearm(flow, now: packet.now, limit: configuration.committedIdle)
        updateGauges()
    }

    private mutating func acknowledge(
        _ packet: Packet, _ flow: Flow, _ agreed: NegotiatedOptions, _ answer: TCPOptions
    ) {
        let prelude = flows.prelude(flow)
        var options = TCPOptions()
        options.hasTimestamps = agreed.timestamps
        options.timestampValue = prelude.pointee.clientTimestamp
        options.timestampEcho = answer.timestampValue
        var segment = segmentToOrigin(flow, .ack, options)
        segment.acknowledgement = packet.tcp.sequence + 1
        let scale = UInt32(agreed.windowScale ? agreed.clientWindowScale : 0)
        segment.window = UInt16(truncatingIfNeeded: min(prelude.pointee.clientWindow &>> scale, 65_535))
        if let packet = make(segment) { sendToServers(packet) }
    }

    mutating func dropHeld(_ flow: Flow, _ reason: Counter) {
        while let packet = flows.prelude(flow).pointee.hold.removeFirst() {
            released()
            counters.add(reason)
            shim_mbuf_free(packet)
        }
    }
}
