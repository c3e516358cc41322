import CDPDKShim
import InterCore
import Wire

/// What a worker does for a capture, all of it out of line: while none is on, a packet meets none of this.
///
/// Packets that are wanted take the long way, one after another; the others go on as usual. What was done with one is read
/// from the counters, so that no stage need know of captures.
extension Worker {
    @inline(never)
    mutating func takeCaptureOrder() {
        while let order = links.capture.orders.pop() { capture.begin(order) }
    }

    /// Before the lookup: notes which of a burst are wanted, and takes the short way away from them.
    @inline(never)
    mutating func markWanted(_ count: Int, fromClient: Bool) {
        let order = capture.order
        var index = 0
        while index < count {
            if !flows.lookup.slots[index].segment.isLaidOut { layOut(index, fromClient: fromClient) }
            let layout = burst.layouts[index]
            let isWanted =
                layout.belongsToFlow ? order.accepts(flows.lookup.keys[index].key) : order.wantsEverything
            capture.isWanted[index] = isWanted
            if isWanted, layout.belongsToFlow {
                flows.lookup.slots[index].segment = .none(isV6: flows.lookup.keys[index].isV6)
            }
            index &+= 1
        }
    }

    /// A wanted packet: a copy of it as it came, then what becomes of it, then its record.
    @inline(never)
    mutating func actCaptured(_ packet: Packet, _ flow: Flow?, _ key: PackedFlowKey, _ hash: UInt64) {
        let length = Int(shim_mbuf_length(packet.mbuf))
        let kept = min(length, Int(capture.order.snapLength), capture.frame.count)
        capture.frame.copyMemory(
            from: UnsafeRawBufferPointer(start: shim_mbuf_data(packet.mbuf), count: kept))
        var record = CapturedPacket(
            timestamp: packet.now, length: UInt32(shim_mbuf_total_length(packet.mbuf)), isClientSide: packet.fromClient,
            verdict: packet.fromClient ? .toServers : .toClients)
        record.serial = capture.serial
        capture.serial &+= 1
        record.before = flow?.pointee.state
        if let flow { record.handle = handle(flow) }
        let belongs = packet.layout.belongsToFlow
        if belongs { record.key = key }

        capture.noteDrops(counters)
        let (taken, errors) = (counters[.taken], counters[.icmpToProxy])
        decide(packet, flow, key, hash)

        let left = belongs ? flows.find(key, hash: hash) : nil
        record.after = left?.pointee.state
        if let left { record.handle = handle(left) }
        let proxy = left?.pointee.proxy ?? .none
        guard capture.order.proxy == .none || capture.order.proxy == proxy else { return }
        if let reason = capture.drop(since: counters) {
            record.verdict = .dropped(reason)
        } else if counters[.taken] != taken {
            record.verdict = .held
        } else if packet.fromClient, packet.layout.kind == .tcp || counters[.icmpToProxy] != errors,
            isProxys(record.after), proxy != .none
        {
            record.verdict = .toProxy(proxy)
        }
        give(record, UnsafeRawBufferPointer(rebasing: capture.frame[0..<kept]))
    }

    private func isProxys(_ state: FlowState?) -> Bool { state == .committed || state == .routed || state == .closed }

    /// A held packet leaves; `proxy` is `none` for the origin.
    @inline(never)
    mutating func captureReleased(_ packet: OpaquePointer, _ flow: Flow, to proxy: ProxyIndex, now: UInt64) {
        let key = flows.key(of: flow)
        guard capture.order.accepts(key.key), capture.order.proxy == .none || capture.order.proxy == proxy else {
            return
        }
        let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
        // As it leaves.
        if proxy != .none { frame.storeDestination(proxyMACs[Int(proxy.value)]) }
        giveOwn(packet, proxy == .none ? .releasedToOrigin : .releasedToProxy(proxy), key, flow, now: now)
    }

    /// A reset in the client's name leaves.
    @inline(never)
    mutating func captureReset(_ packet: OpaquePointer, _ reset: TCPFrame, _ counter: Counter, now: UInt64) {
        let key = PackedFlowKey(
            FlowKey(
                client: reset.source.address, clientPort: reset.source.port, server: reset.destination.address,
                serverPort: reset.destination.port, vlan: reset.vlan))
        let flow = flows.find(key, hash: flowHash(of: key, seed: configuration.hashSeed))
        guard capture.order.accepts(key.key),
            capture.order.proxy == .none || capture.order.proxy == (flow?.pointee.proxy ?? .none)
        else { return }
        giveOwn(packet, .reset(counter), key, flow, now: now)
    }

    private mutating func giveOwn(
        _ packet: OpaquePointer, _ verdict: CaptureVerdict, _ key: PackedFlowKey, _ flow: Flow?, now: UInt64
    ) {
        var record = CapturedPacket(
            timestamp: now, length: UInt32(shim_mbuf_total_length(packet)), isClientSide: false, verdict: verdict)
        record.serial = capture.serial
        capture.serial &+= 1
        record.key = key
        if let flow {
            record.after = flow.pointee.state
            record.handle = handle(flow)
        }
        let kept = min(Int(shim_mbuf_length(packet)), Int(capture.order.snapLength))
        give(record, UnsafeRawBufferPointer(start: shim_mbuf_data(packet), count: kept))
    }

    private mutating func give(_ packet: CapturedPacket, _ frame: UnsafeRawBufferPointer) {
        var record = packet
        record.capture = capture.order.capture
        guard capture.hasCredit(now: record.timestamp, hertz: configuration.hertz) else {
            return counters.add(.captureLimited)
        }
        counters.add(links.capture.packets.push(record, payload: frame) ? .captured : .captureLost)
    }
}
