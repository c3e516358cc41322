import CDPDKShim
import InterCore
import Wire

/// Connections of a virtual server that an origin has: every segment of theirs is translated, and gets the other side's
/// addresses.
extension Worker {
    /// Packets of origins belong to the virtual server's connections: gives them those keys, so that one entry serves both
    /// directions, and one worker owns it.
    @inline(never)
    mutating func findOrigins(_ count: Int) {
        var index = 0
        while index < count {
            let segment = flows.lookup.slots[index].segment
            if segment.isPlain {
                let bytes = UnsafeRawPointer(shim_mbuf_data(burst.packets[index].unsafelyUnwrapped))
                let (address, port) = segment.isV6 ? IPv6Layout.source(bytes) : IPv4Layout.source(bytes)
                if let origin = virtuals.origin(address, port: port) {
                    let key =
                        segment.isV6
                        ? IPv6Layout.key(ofPlain: bytes, fromClient: false)
                        : IPv4Layout.key(ofPlain: bytes, fromClient: false)
                    give(index, origin, key, segment.ofOrigin)
                }
            } else if burst.layouts[index].kind == .tcp || burst.layouts[index].kind == .icmpError {
                let key = flows.lookup.keys[index].key
                if let origin = virtuals.origin(key.server, port: key.serverPort) {
                    give(index, origin, flows.lookup.keys[index], segment)
                }
            }
            index &+= 1
        }
    }

    /// The key of an origin's packet.
    private mutating func give(_ index: Int, _ origin: Int, _ packed: PackedFlowKey, _ segment: PlainSegment) {
        guard let server = virtuals.server(ofOrigin: origin) else { return }
        let endpoint = virtuals.servers[server].endpoint
        guard endpoint.address.isV4 != packed.isV6 else { return }
        var key = packed.key
        key.server = endpoint.address
        key.serverPort = endpoint.port
        flows.lookup.keys[index] = PackedFlowKey(key)
        flows.lookup.begin(index, flows.lookup.keys[index], segment)
    }

    /// The flow's own origin sent it.
    mutating func isOfItsOrigin(_ packet: Packet, _ flow: Flow) -> Bool {
        let bytes = UnsafeRawPointer(packet.bytes)
        let source = packet.layout.source(bytes, ipHeader: Int(packet.layout.network))
        let origin = virtuals.origins[flow.pointee.proxy.originIndex].endpoint
        return source == origin.address && bytes.wire16(Int(packet.layout.transport)) == origin.port
    }

    mutating func clientTranslated(_ packet: Packet, _ flow: Flow) {
        touch(flow)
        noteTranslatedEnd(packet, flow)
        toOrigin(packet, flow)
    }

    mutating func serverTranslated(_ packet: Packet, _ flow: Flow) {
        guard isOfItsOrigin(packet, flow) else { return drop(packet, .droppedForeignOrigin) }
        if packet.tcp.flags.has([.syn, .ack]) { return acknowledgeAgain(packet, flow) }
        touch(flow)
        noteTranslatedEnd(packet, flow)
        toClient(packet, flow)
    }

    /// Both sides have said that they are done, or one that it gives up. Who would have to see whether that was true
    /// does not know the numbers; so the entry only lives shorter after its last packet.
    private mutating func noteTranslatedEnd(_ packet: Packet, _ flow: Flow) {
        let flags = packet.tcp.flags
        guard flags.contains(.fin) || flags.contains(.rst), !hasEnded(flow), packet.hasValidChecksum else { return }
        if flags.contains(.rst) || packet.fromClient { flow.pointee.marks.insert(.clientFinished) }
        if flags.contains(.rst) || !packet.fromClient { flow.pointee.marks.insert(.serverFinished) }
        guard hasEnded(flow) else { return }
        counters.add(.flowsClosed)
        rearm(flow, now: packet.now, limit: configuration.closed)
        if isReplayed(flow) { tellEnd(flow) }
    }

    /// The origin has not heard the end of its handshake. The client is not to hear of its beginning.
    mutating func acknowledgeAgain(_ packet: Packet, _ flow: Flow) {
        let answer = TCPOptions(of: packet.tcp)
        if packet.hasValidChecksum, !answer.isMalformed {
            var segment = resetFor(packet)
            segment.flags = .ack
            segment.acknowledgement = packet.tcp.sequence + 1
            segment.window = 0xFFFF
            segment.options.hasTimestamps = answer.hasTimestamps
            segment.options.timestampValue = answer.timestampEcho
            segment.options.timestampEcho = answer.timestampValue
            if let made = make(segment) { sendToServers(made) }
        }
        drop(packet, .droppedHandshake)
    }

    /// A connection whose two handshakes were made elsewhere: for measurements. False without room.
    package mutating func installTranslated(
        _ key: FlowKey, origin: Int, _ translation: Translation, now: UInt64
    ) -> Bool {
        let packed = PackedFlowKey(key)
        let hash = flowHash(of: packed, seed: configuration.hashSeed)
        guard let flow = note(packed, hash, .translated, limit: configuration.committedIdle, now: now) else {
            return false
        }
        flow.pointee.marks.insert(.answered)
        give(flow, to: .origin(origin))
        flow.pointee.translation = PackedTranslation(translation)
        return true
    }

    /// A client's segment, or an error that quotes one of the origin's.
    mutating func toOrigin(_ packet: Packet, _ flow: Flow) {
        var key = flows.key(of: flow).key
        let origin = virtuals.origins[flow.pointee.proxy.originIndex]
        key.server = origin.endpoint.address
        key.serverPort = origin.endpoint.port
        guard flow.pointee.translation.translation.toServer(packet.bytes, packet.layout),
            key.readdress(packet.bytes, packet.layout, fromClient: true)
        else { return drop(packet, .droppedUntranslated) }
        packet.bytes.setWireMAC(0, origin.hop.mac)
        sendToServers(packet.mbuf)
    }

    /// An origin's segment, or an error that quotes one of the client's.
    mutating func toClient(_ packet: Packet, _ flow: Flow) {
        guard flow.pointee.translation.translation.toClient(packet.bytes, packet.layout),
            flows.key(of: flow).key.readdress(packet.bytes, packet.layout, fromClient: false)
        else { return drop(packet, .droppedUntranslated) }
        sendToClients(packet.mbuf)
    }
}

// MARK: the short way

// Out of line, so that other connections pay nothing for it. False, and nothing done, when that is not all there is to do.

extension Worker {
    /// A client's plain segment, and the translated connection that is its own.
    @inline(never)
    func translateClientsIPv4(_ frame: UnsafeMutableRawPointer, _ flow: Flow) -> Bool {
        toOrigin(frame, flow, IPv4Layout.self)
    }

    @inline(never)
    func translateClientsIPv6(_ frame: UnsafeMutableRawPointer, _ flow: Flow) -> Bool {
        toOrigin(frame, flow, IPv6Layout.self)
    }

    @inline(__always)
    private func toOrigin<Layout: EntryLayout>(_ frame: UnsafeMutableRawPointer, _ flow: Flow, _: Layout.Type) -> Bool {
        let rewrites = virtuals.rewrites + flow.pointee.proxy.originIndex
        guard
            flow.pointee.translation.translation.toServer(
                plain: frame + 14, frame + Layout.plainTransport, destination: rewrites.pointee.toOrigin,
                isV6: Layout.isV6)
        else { return false }
        frame.storeDestination(rewrites.pointee.destination)
        flow.pointee.lastSeen = tick
        return true
    }

    /// An origin's plain segment. It has a key that is not the frame's; only the flow's own origin may speak.
    @inline(never)
    func translateOrigins(_ frame: UnsafeMutableRawPointer, _ index: Int) -> Bool {
        let lookup = flows.lookup
        let slot = lookup.slots[index]
        guard slot.segment.isOfOrigin else { return false }
        return slot.segment.isV6
            ? toClient(frame, slot, lookup.keys + index, lookup.v6)
            : toClient(frame, slot, lookup.keys + index, lookup.v4)
    }

    @inline(__always)
    private func toClient<Layout: EntryLayout>(
        _ frame: UnsafeMutableRawPointer, _ slot: BurstLookup.Slot, _ key: UnsafePointer<PackedFlowKey>,
        _ finder: FlowFinder<Layout>
    ) -> Bool {
        let flow = finder.at(slot.probed)
        guard flow.pointee.state == .translated, Layout.matches(finder.place(slot.probed), key) else { return false }
        let index = flow.pointee.proxy.originIndex
        let origin = virtuals.origins[index].endpoint
        let (address, port) = Layout.source(frame)
        guard port == origin.port, address == origin.address,
            flow.pointee.translation.translation.toClient(
                plain: frame + 14, frame + Layout.plainTransport, source: virtuals.rewrites[index].toClient,
                isV6: Layout.isV6)
        else { return false }
        flow.pointee.lastSeen = tick
        return true
    }
}
