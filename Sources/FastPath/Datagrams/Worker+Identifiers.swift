import InterCore
import Wire

/// QUIC connections whose client's address or port changes (RFC 9000 section 9): the identifier by which their packets
/// are addressed, which the server chose, leads to the server still.
extension Worker {
    /// A short header begins with a 0 bit; its destination identifier follows (RFC 8999 section 5.2).
    @inline(__always)
    func isShortHeader(_ payload: UnsafeRawBufferPointer) -> Bool { !payload.isEmpty && payload[0] & 0x80 == 0 }

    /// The source identifier of a long header is what the server wants to be addressed by. Other workers are told: the
    /// client's next address may be one of theirs.
    mutating func learnIdentifier(_ packet: Packet, _ proxy: ProxyIndex, _ key: PackedFlowKey) {
        let payload = payload(of: packet)
        guard let header = QUICLongHeader(payload), let start = payload.baseAddress,
            ConnectionIdentifier.lengths.contains(Int(header.source.count))
        else { return }
        let identifier = ConnectionIdentifier(
            start + Int(header.source.start), count: Int(header.source.count),
            service: key.service(seed: configuration.hashSeed), proxy: proxy)
        guard datagrams.identifiers.learn(identifier) else { return }
        counters.add(.identifiersLearnt)
        if configuration.workerCount > 1 { _ = push(.identifierLearnt(identifier)) }
    }

    /// The proxy whose server has chosen the identifier that a packet is addressed to.
    mutating func proxyByIdentifier(_ payload: UnsafeRawBufferPointer, _ key: PackedFlowKey) -> ProxyIndex? {
        var lengths = datagrams.identifiers.lengths
        guard lengths != 0, !payload.isEmpty, let start = payload.baseAddress else { return nil }
        let service = key.service(seed: configuration.hashSeed)
        if !isShortHeader(payload) {
            guard let header = QUICLongHeader(payload),
                ConnectionIdentifier.lengths.contains(Int(header.destination.count))
            else { return nil }
            return datagrams.identifiers.proxy(
                of: ConnectionIdentifier(
                    start + Int(header.destination.start), count: Int(header.destination.count), service: service))
        }
        while lengths != 0 {
            let count = lengths.trailingZeroBitCount
            lengths &= lengths &- 1
            guard payload.count > count else { return nil }
            let identifier = ConnectionIdentifier(start + 1, count: count, service: service)
            if let proxy = datagrams.identifiers.proxy(of: identifier) { return proxy }
        }
        return nil
    }

    /// A packet of a tuple that is new here, but of a connection that is not. Without room for an entry it goes there all
    /// the same.
    mutating func steer(_ packet: Packet, _ key: PackedFlowKey, _ hash: UInt64, _ proxy: ProxyIndex) {
        guard proxies[Int(proxy.value)].mac != .zero, !isInOtherVLAN(proxy, key.vlan) else {
            return passUnknown(packet)
        }
        counters.add(.steeredByIdentifier)
        if packet.hasValidChecksum, let flow = makeDatagramFlow(key, hash, .committed, now: packet.now) {
            give(flow, to: proxy)
            flow.pointee.marks.insert(.steered)
            if isShortHeader(payload(of: packet)) { flow.pointee.marks.insert(.established) }
        }
        sendToProxy(packet.mbuf, proxy)
    }
}
