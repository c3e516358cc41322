import CDPDKShim
import InterCore
import Wire

/// A flow's first datagrams: held, shown to the control core, and given to the one who is to answer.
extension Worker {
    /// One more of a flow that waits.
    mutating func holdDatagram(_ packet: Packet, _ flow: Flow) {
        let prelude = datagrams.table.prelude(flow)
        let isFirst = prelude.pointee.hold.count == 0
        let isDNS = flow.pointee.marks.contains(.dns)
        if isDNS, !isFirst, !asksForTheSame(packet, prelude.pointee.hold) {
            // Two names at once from one port: the origin has both.
            return passUnknown(packet)
        }
        guard prelude.pointee.hold.count < DatagramFlows.flightLimit, heldPackets < configuration.heldPacketLimit,
            hasRoomForEvents(2)
        else {
            counters.add(.holdsRefusedBound)
            abortDatagrams(flow, .bound, now: packet.now)
            return pass(packet)
        }
        // In the order in which they came.
        prelude.pointee.hold.insert(
            packet.mbuf, sequence: SequenceNumber(prelude.pointee.hold.count), layout: packet.layout, isFinal: false)
        heldPackets &+= 1
        counters.add(.taken)
        updateGauges()
        if isDNS, !isFirst { return }
        let held = HeldDatagram(
            handle: datagramHandle(flow), key: datagrams.table.key(of: flow).key, application: isDNS ? .dns : .quic,
            rules: prelude.pointee.rules, rulesGeneration: prelude.pointee.rulesGeneration, heldAt: packet.now)
        if push(.datagramHeld(held), payload: payload(of: packet)) { counters.add(.datagramsAsked) }
    }

    /// A resolver asks for a name's IPv4 and IPv6 addresses at once, from one port.
    private func asksForTheSame(_ packet: Packet, _ hold: HoldList) -> Bool {
        guard let first = hold.first else { return true }
        let note = HeldNote.of(first)
        let earlier = UnsafeRawBufferPointer(
            start: UnsafeRawPointer(shim_mbuf_data(first)) + Int(note.pointee.payload), count: Int(note.pointee.length))
        return DNSQuestion.haveSameName(earlier, payload(of: packet))
    }

    mutating func carryOutForDatagrams(_ verdict: Verdict, _ handle: FlowHandle, now: UInt64) {
        guard let flow = datagrams.live(handle), flow.pointee.state == .held else {
            counters.add(.staleCommands)
            return
        }
        switch verdict {
        case .origin: abortDatagrams(flow, .verdictOrigin, now: now)
        case .proxy(let proxy, _), .handOff(let proxy): commitDatagrams(flow, proxy, now: now)
        }
    }

    /// COMMITTED: the held datagrams go to the proxy, and of QUIC all that follow.
    private mutating func commitDatagrams(_ flow: Flow, _ proxy: ProxyIndex, now: UInt64) {
        let hop = proxies[Int(proxy.value)]
        guard hop.mac != .zero else { return abortDatagrams(flow, .verdictOrigin, now: now) }
        guard !isInOtherVLAN(proxy, flow.pointee.vlan) else { return abortDatagrams(flow, .otherVLAN, now: now) }
        guard hop.mtu == 0 || datagrams.table.prelude(flow).pointee.hold.longestPacket <= Int(hop.mtu) else {
            return abortDatagrams(flow, .bound, now: now)
        }
        datagrams.held.remove(flow, in: &datagrams.table)
        while let packet = datagrams.table.prelude(flow).pointee.hold.removeFirst() {
            released()
            sendToProxy(packet, proxy)
        }
        let handle = datagramHandle(flow)
        settleDatagrams(flow, .committed, proxy)
        counters.add(.holdsCommitted)
        report(.committed(handle))
    }

    /// ABORTED: the held datagrams go to the origin, in order, as if nobody had asked.
    mutating func abortDatagrams(_ flow: Flow, _ reason: AbortReason, now: UInt64) {
        datagrams.held.remove(flow, in: &datagrams.table)
        while let packet = datagrams.table.prelude(flow).pointee.hold.removeFirst() {
            released()
            sendToServers(packet)
        }
        let handle = datagramHandle(flow)
        settleDatagrams(flow, .origin, .none)
        counters.add(.holdsAborted)
        report(.aborted(handle, reason))
    }

    mutating func abortDatagrams(_ reason: AbortReason, now: UInt64) {
        while datagrams.held.first != noFlow {
            abortDatagrams(datagrams.table.at(datagrams.held.first), reason, now: now)
        }
    }

    /// The next DNS query of a tuple may be for another name: such a flow ends here.
    private mutating func settleDatagrams(_ flow: Flow, _ state: FlowState, _ proxy: ProxyIndex) {
        if flow.pointee.marks.contains(.dns) { return removeDatagrams(flow) }
        setState(flow, state)
        give(flow, to: proxy)
        touch(flow)
        datagrams.table.dropPrelude(flow)
        updateGauges()
    }
}
