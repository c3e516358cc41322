import CDPDKShim
import InterCore
import Wire

/// The way that most packets go: plain segments whose connection is transferred, or the origin's, or nobody's. They
/// change nothing but numbers and time.
extension Worker {
    /// Forwards such segments, one after another, until one comes that needs a closer look: gives its index, or `count`.
    /// The burst must have been probed, the table must not have changed since, and there must be room in the other side.
    @inline(__always)
    mutating func forwardPlain(from start: Int, to count: Int, fromClient: Bool) -> Int {
        let (burst, lookup) = (burst, flows.lookup)
        let worker = PlainForwarder(
            proxyMACs: UnsafePointer(proxyMACs), tick: tick,
            strangersPass: !fromClient || rules.routeCount == 0 && recoveryEnds == 0 && virtuals.isEmpty)
        let side = fromClient ? serverSide : clientSide
        let waiting = side.waiting + (side.count &- start)
        let servesVirtually = !virtuals.isEmpty
        var strangers: UInt64 = 0
        var index = start
        while index < count {
            let packet = burst.packets[index].unsafelyUnwrapped
            let frame = UnsafeMutableRawPointer(shim_mbuf_data(packet))
            let slot = lookup.slots[index]
            if slot.probed == noFlow {
                guard worker.strangersPass, slot.segment.isPlain else { break }
                strangers &+= 1
            } else {
                let outcome =
                    slot.segment.isPlainIPv4
                    ? worker.note(frame, slot, lookup.v4, fromClient: fromClient)
                    : slot.segment.isPlainIPv6
                        ? worker.note(frame, slot, lookup.v6, fromClient: fromClient) : .left
                if outcome != .done {
                    guard servesVirtually, fromClient == (outcome == .translated),
                        fromClient
                            ? translateClients(frame, slot.probed, slot.segment.isV6) : translateOrigins(frame, index)
                    else { break }
                }
            }
            waiting[index] = packet
            index &+= 1
        }
        counters.add(.passedNotCandidate, strangers)
        if fromClient { serverSide.count &+= index &- start } else { clientSide.count &+= index &- start }
        return index
    }
}

extension Worker {
    /// Not with the whole slot: halves of it that were written apart would be read in one, which waits for both to have
    /// reached the cache (37 clocks a packet).
    @inline(__always)
    private func translateClients(_ frame: UnsafeMutableRawPointer, _ place: UInt32, _ isV6: Bool) -> Bool {
        isV6
            ? translateClientsIPv6(frame, flows.lookup.v6.at(place))
            : translateClientsIPv4(frame, flows.lookup.v4.at(place))
    }
}

/// What the short way needs of a worker, in registers.
private struct PlainForwarder: BitwiseCopyable {
    let proxyMACs: UnsafePointer<UInt64>
    let tick: UInt32
    let strangersPass: Bool

    /// What has become of a segment: all, or nothing. `translated`: its connection is an origin's behind a virtual server.
    enum Outcome { case done, left, translated }

    /// Of a slot that has a flow: notes there how far the segment takes the connection, and gives a client's its proxy's
    /// address, unless that is not all there is to do.
    @inline(__always)
    func note<Layout: EntryLayout>(
        _ frame: UnsafeMutableRawPointer, _ slot: BurstLookup.Slot, _ finder: FlowFinder<Layout>, fromClient: Bool
    ) -> Outcome {
        guard Layout.matches(finder.place(slot.probed), plain: frame, fromClient: fromClient) else { return .left }
        let flow = finder.at(slot.probed)
        let tcp = TCPHeader(UnsafeRawPointer(frame) + Layout.plainTransport)
        let end = tcp.sequence + slot.segment.payloadLength
        if flow.pointee.state == .committed {
            let isNoted =
                fromClient
                ? noteClient(frame, flow, end, acknowledged: tcp.acknowledgement) : noteProxy(frame, flow, end)
            guard isNoted else { return .left }
        } else if flow.pointee.state != .origin {
            return flow.pointee.state == .translated ? .translated : .left
        }
        flow.pointee.lastSeen = tick
        return .done
    }

    /// A step longer than the least that any window allows is looked at more closely, and so is the first of a flow
    /// whose numbers are not known.
    @inline(__always)
    private func noteClient(
        _ frame: UnsafeMutableRawPointer, _ flow: Flow, _ end: SequenceNumber, acknowledged: SequenceNumber
    ) -> Bool {
        let sent = end.value &- flow.pointee.clientNext.value
        let heard = acknowledged.value &- flow.pointee.serverNext.value
        guard flow.pointee.marks.lacks(.closerLook), sent | heard < FlowEntry.leastStep else { return false }
        frame.storeDestination(proxyMACs[Int(flow.pointee.proxy.value)])
        flow.pointee.clientNext = end
        flow.pointee.serverNext = acknowledged
        return true
    }

    /// Only the flow's own proxy may speak.
    @inline(__always)
    private func noteProxy(_ frame: UnsafeRawPointer, _ flow: Flow, _ end: SequenceNumber) -> Bool {
        let sent = end.value &- flow.pointee.serverNext.value
        guard frame.source == proxyMACs[Int(flow.pointee.proxy.value)], sent < FlowEntry.leastStep else { return false }
        flow.pointee.serverNext = end
        return true
    }
}

// Addresses of a frame, six bytes in the order of the wire in the lower bits.

extension UnsafeMutableRawPointer {
    @inline(__always)
    func storeDestination(_ address: UInt64) {
        storeBytes(of: UInt32(truncatingIfNeeded: address), as: UInt32.self)
        storeBytes(of: UInt16(truncatingIfNeeded: address >> 32), toByteOffset: 4, as: UInt16.self)
    }
}

extension UnsafeRawPointer {
    @inline(__always)
    fileprivate var source: UInt64 { loadUnaligned(fromByteOffset: 6, as: UInt64.self) & 0xFFFF_FFFF_FFFF }
}
