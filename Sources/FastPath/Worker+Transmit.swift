import CDPDKShim
import InterCore
import Wire

/// One side of the director: a queue pair, and packets that wait to leave by it.
struct Side {
    let queue: PortQueue
    /// With a burst's places beyond `capacity`, for `append`.
    let waiting: UnsafeMutablePointer<OpaquePointer?> = .allocate(capacity: Side.capacity + Burst.size)
    var count = 0
    /// TSC of the turn in which the first of them came, when there is a delay.
    private var waitingSince: UInt64 = 0

    /// Packets that a slow port may leave waiting from one turn to the next.
    static var capacity: Int { 1_024 }

    let sentCounter: Counter

    init(_ queue: PortQueue, _ sentCounter: Counter) {
        self.queue = queue
        self.sentCounter = sentCounter
    }

    /// Sends what waits unless `room` more packets fit, a burst at most; false when they still do not. After true, `append`
    /// need not look: it may go beyond `capacity` when the burst's other packets had more to send than themselves.
    @inline(__always)
    mutating func makeRoom(_ room: Int, _ counters: CounterBlock) -> Bool {
        if count &+ room > Side.capacity { flush(counters) }
        return count &+ room <= Side.capacity
    }

    /// There must be room.
    @inline(__always)
    mutating func append(_ packet: OpaquePointer) {
        waiting[count] = packet
        count &+= 1
    }

    @inline(__always)
    mutating func enqueue(_ packet: OpaquePointer, _ counters: CounterBlock) {
        if count >= Side.capacity { flush(counters) }
        if count >= Side.capacity {
            counters.add(.droppedTransmitFull)
            shim_mbuf_free(packet)
            return
        }
        append(packet)
    }

    /// `flush`, but fewer than a burst wait for others, `delay` ticks at most.
    @inline(__always)
    mutating func flushWhenDue(now: UInt64, delay: UInt64, _ counters: CounterBlock) {
        guard count > 0 else { return }
        if delay > 0, count < Burst.size {
            if waitingSince == 0 { waitingSince = now }
            if now &- waitingSince < delay { return }
        }
        waitingSince = 0
        flush(counters)
    }

    /// Sends what waits; what the port does not take goes on waiting.
    mutating func flush(_ counters: CounterBlock) {
        var sent = 0
        while sent < count {
            let batch = UInt16(truncatingIfNeeded: min(count &- sent, Burst.size))
            let taken = Int(shim_transmit(queue.port, queue.queue, waiting + sent, batch))
            if taken == 0 { break }
            sent &+= taken
        }
        counters.add(sentCounter, UInt64(sent))
        var index = sent
        while index < count {
            waiting[index &- sent] = waiting[index]
            index &+= 1
        }
        count &-= sent
    }
}

extension Worker {
    /// To the other side, unchanged.
    @inline(__always)
    mutating func pass(_ packet: Packet) {
        if packet.fromClient { sendToServers(packet.mbuf) } else { sendToClients(packet.mbuf) }
    }

    @inline(__always)
    mutating func sendToServers(_ packet: OpaquePointer) {
        serverSide.enqueue(packet, counters)
    }

    @inline(__always)
    mutating func sendToClients(_ packet: OpaquePointer) {
        clientSide.enqueue(packet, counters)
    }

    @inline(__always)
    func drop(_ packet: Packet, _ reason: Counter) {
        counters.add(reason)
        shim_mbuf_free(packet.mbuf)
    }

    /// Hands the packets to the ports: those of one turn together, of several if a delay is configured. What a port does
    /// not take waits for the next turn.
    mutating func transmit(now: UInt64) {
        clientSide.flushWhenDue(now: now, delay: configuration.transmitDelay, counters)
        serverSide.flushWhenDue(now: now, delay: configuration.transmitDelay, counters)
        counters[.waitingPackets] = UInt64(clientSide.count &+ serverSide.count)
    }

    /// Sends a client's packet to a proxy: the destination MAC changes, nothing else, if layer 2 of the servers reaches
    /// it. The tag stays as it is, for a proxy gets only flows of its own VLAN (`isInOtherVLAN`).
    @inline(__always)
    mutating func sendToProxy(_ packet: OpaquePointer, _ proxy: ProxyIndex) {
        if tunnels.has(proxy) { return sendThroughTunnel(packet, proxy) }
        if configuration.proxiesOnClientSide { return sendToPeer(packet, proxy) }
        UnsafeMutableRawPointer(shim_mbuf_data(packet)).storeDestination(proxyMACs[Int(proxy.value)])
        sendToServers(packet)
    }

    /// Back where it came from. Not what a peer has sent here: the two would never end. Nor to this host itself.
    @inline(never)
    private mutating func sendToPeer(_ packet: OpaquePointer, _ proxy: ProxyIndex) {
        let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
        guard proxies[Int(proxy.value)].mac != links.clientMAC, !isProxy(UnsafeRawPointer(frame).wireMAC(6)) else {
            return sendToServers(packet)
        }
        frame.storeDestination(proxyMACs[Int(proxy.value)])
        // Switches must not learn that the client is here.
        frame.setWireMAC(6, links.clientMAC)
        sendToClients(packet)
    }

    /// True, and counted, for a proxy that says it is in another VLAN than the connection. It gets none of it: its
    /// answers would come with a tag that the client does not know, and a tag cannot be added or taken away in place.
    mutating func isInOtherVLAN(_ proxy: ProxyIndex, _ connection: VLAN) -> Bool {
        let vlan = proxies[Int(proxy.value)].vlan
        guard vlan.isTagged, vlan != connection else { return false }
        counters.add(.refusedOtherVLAN)
        return true
    }
}
