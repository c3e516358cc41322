import CDPDKShim
import InterCore
import Wire

/// A forwarder: a client's packet goes, inside another, to the proxy that has its connection, or to a classifier. Nothing
/// is kept of a connection but the mapping that its proxy has announced: an entry in state `committed` whose numbers are the
/// connection's name (`FlowEntry.name`). Two networks are never joined here: what is for no virtual server goes nowhere.
extension Worker {
    /// One burst of the clients' side, probed already.
    @inline(never)
    mutating func forward(_ count: Int, now: UInt64) {
        burst.hasSYNs = false
        var next = 0
        while next < count {
            shim_prefetch_headroom(burst.packets[next].unsafelyUnwrapped)
            next &+= 1
        }
        let hasRoom = serverSide.makeRoom(count, counters)
        var index = 0
        while true {
            if hasRoom, !capture.isOn, !flows.hasChangedSinceProbe { index = forwardMapped(from: index, to: count) }
            guard index < count else { return }
            act(at: index, fromClient: true, now: now)
            index &+= 1
        }
    }

    /// One of the servers' side, from where only what is for the forwarder itself is taken.
    @inline(never)
    mutating func heedServers(_ count: Int, now: UInt64) {
        var index = 0
        while index < count {
            act(at: index, fromClient: false, now: now)
            index &+= 1
        }
    }

    /// The short way: plain segments of mapped connections, one after another, until one comes that needs a closer look.
    /// Gives its index, or `count`.
    @inline(__always)
    private mutating func forwardMapped(from start: Int, to count: Int) -> Int {
        let (burst, lookup, tunnels, tick) = (burst, flows.lookup, tunnels, tick)
        let (proxies, macs) = (UnsafePointer(proxies), UnsafePointer(proxyMACs))
        let own = (links.serverMAC.value &<< 16).bigEndian
        let waiting = serverSide.waiting + (serverSide.count &- start)
        var index = start
        while index < count {
            let packet = burst.packets[index].unsafelyUnwrapped
            let slot = lookup.slots[index]
            guard slot.probed != noFlow, slot.segment.isPlain else { break }
            let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
            let mapped =
                slot.segment.isV6 ? mapping(frame, slot, lookup.v6) : mapping(frame, slot, lookup.v4)
            guard let flow = mapped else { break }
            let proxy = flow.pointee.proxy
            let header = tunnels.header(of: proxy)
            let length =
                slot.segment.isV6
                ? 40 &+ Int(UnsafeRawPointer(frame).wire16(18)) : Int(UnsafeRawPointer(frame).wire16(16))
            let room = Int(proxies[Int(proxy.value)].mtu)
            guard header.length != 0, room == 0 || length <= room,
                // Without what Ethernet had to add to short frames.
                let first = shim_mbuf_wrap(
                    packet, UInt16(truncatingIfNeeded: header.length),
                    UInt16(truncatingIfNeeded: 14 &+ header.length &+ length))
            else { break }
            let outer = UnsafeMutableRawPointer(first)
            outer.storeDestination(macs[Int(proxy.value)])
            outer.storeSource(own)
            outer.setWire16(12, header.isV6 ? 0x86DD : 0x0800)
            header.write(
                before: frame + 14, count: length, flow: flow.pointee.name.identifier,
                entropy: UInt32(truncatingIfNeeded: slot.hash &>> 32))
            flow.pointee.lastSeen = tick
            waiting[index] = packet
            index &+= 1
        }
        counters.add(.encapsulated, UInt64(index &- start))
        serverSide.count &+= index &- start
        return index
    }

    @inline(__always)
    private func mapping<Layout: EntryLayout>(
        _ frame: UnsafeRawPointer, _ slot: BurstLookup.Slot, _ finder: FlowFinder<Layout>
    ) -> Flow? {
        Layout.matches(finder.place(slot.probed), plain: frame, fromClient: true) ? finder.at(slot.probed) : nil
    }

    // MARK: the long way

    /// Whatever is no plain segment of a mapped connection.
    @inline(never)
    mutating func forwardClosely(_ packet: Packet, _ flow: Flow?, _ key: PackedFlowKey, _ hash: UInt64) {
        switch packet.layout.kind {
        case .tcp, .icmpError:
            guard packet.fromClient, virtualServer(of: key) != nil else { return drop(packet, .droppedElsewhere) }
            guard let flow = flow.flatMap({ isOver(packet, $0) ? nil : $0 }) else { return classify(packet, key, hash) }
            touch(flow)
            sendThroughTunnel(packet.mbuf, flow.pointee.proxy, flow: flow.pointee.name.identifier, hash: hash)
        case .other:
            if packet.fromClient {
                if answerNeighbor(packet) || answerEcho(packet) { return }
            } else {
                if takeTunnels(packet) { return }
                if let own = links.own, takeOwn(packet, own) { return }
            }
            drop(packet, .droppedElsewhere)
        case .udp, .fragment: drop(packet, .droppedElsewhere)
        }
    }

    /// A first SYN on a mapping whose proxy is done with the connection: the tuple is another connection's, and the mapping
    /// is gone. On one that is in force the SYN goes to the proxy, whose challenge ACK frees a client that has started anew.
    private mutating func isOver(_ packet: Packet, _ flow: Flow) -> Bool {
        guard flow.pointee.state == .closed, packet.layout.kind == .tcp, opens(packet), packet.hasValidChecksum,
            isEndTold(flow)
        else { return false }
        removeFlow(flow)
        return true
    }

    private func opens(_ packet: Packet) -> Bool {
        packet.tcp.flags.has(.syn) && packet.tcp.flags.lacks([.ack, .rst, .fin])
    }

    /// No mapping: the connection begins, or is in a classifier's hands, or its proxy has not been heard.
    private mutating func classify(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64) {
        guard let classifier = virtuals.choice.classifier(of: key) else { return drop(packet, .droppedUnclassified) }
        if packet.layout.kind == .tcp, packet.tcp.flags.lacks([.syn, .rst]), questions.mayAsk(hash, in: tick) {
            counters.add(.mappingsWanted)
            _ = push(.flowWanted(key.key))
        }
        counters.add(.forwardedToClassifier)
        sendThroughTunnel(packet.mbuf, .origin(classifier), flow: 0, hash: hash)
    }

    /// Gives a connection a mapping, which a proxy has announced. False when somebody else has it by a higher generation,
    /// or there is no room.
    mutating func map(_ key: FlowKey, _ proxy: ProxyIndex, _ name: FlowName, now: UInt64) -> Flow? {
        let packed = PackedFlowKey(key)
        let hash = flowHash(of: packed, seed: configuration.hashSeed)
        guard virtualServer(of: packed) != nil, Encapsulation.flowIdentifiers.contains(name.identifier),
            flowOwner(ofHash: hash, workerCount: configuration.workerCount) == configuration.workerIndex
        else { return nil }
        if let flow = flows.find(packed, hash: hash) {
            // What has ended may be followed by another connection, whose generations begin anew.
            if flow.pointee.state == .committed {
                guard name.generation > flow.pointee.name.generation else { return nil }
                flow.pointee.end = .superseded
                flow.pointee.marks.insert(.endUntold)
            }
            guard isEndTold(flow) else { return nil }
            removeFlow(flow)
        }
        guard let flow = flows.insert(packed, hash: hash) else {
            counters.add(.passedTableFull)
            return nil
        }
        counters.add(.flowsCreated)
        setState(flow, .committed)
        give(flow, to: proxy)
        flow.pointee.name = name
        touch(flow)
        timers.arm(flow, deadline: now &+ configuration.committedIdle, in: &flows)
        updateGauges()
        return flow
    }

    /// The proxy has given the connection to another one, which has not been heard of yet.
    mutating func unmap(_ handle: FlowHandle) {
        guard let flow = flows.live(handle) else { return counters.add(.staleCommands) }
        if flow.pointee.state == .committed {
            flow.pointee.end = .disowned
            flow.pointee.marks.insert(.endUntold)
        }
        if isEndTold(flow) { removeFlow(flow) }
    }

    /// A mapping without a proxy that has announced it: for measurements. False without room.
    package mutating func installMapping(_ key: FlowKey, _ proxy: ProxyIndex, _ name: FlowName, now: UInt64) -> Bool {
        map(key, proxy, name, now: now) != nil
    }
}

extension FlowEntry {
    /// Of a forwarder's mapping, instead of the numbers that a connection has come to.
    var name: FlowName {
        @inline(__always) get { FlowName(identifier: clientNext.value, generation: serverNext.value) }
        set {
            clientNext = SequenceNumber(newValue.identifier)
            serverNext = SequenceNumber(newValue.generation)
        }
    }
}

extension UnsafeMutableRawPointer {
    /// Six bytes in the order of the wire in the lower bits.
    @inline(__always)
    fileprivate func storeSource(_ address: UInt64) {
        storeBytes(of: UInt32(truncatingIfNeeded: address), toByteOffset: 6, as: UInt32.self)
        storeBytes(of: UInt16(truncatingIfNeeded: address >> 32), toByteOffset: 10, as: UInt16.self)
    }
}
