import InterCore
import Wire

/// Flows whose proxy was not asked. The control core tells it of them by one datagram, after the commit, and nobody says
/// that it has arrived: so as long as the client acknowledges nothing and sends its request again, the control core hears
/// of that. A flow that waits for its answer keeps its prelude, which bounds how many do.
extension Worker {
    /// COMMITTED, to a proxy that will hear of it by the control core.
    mutating func handOff(_ flow: Flow, _ proxy: ProxyIndex, now: UInt64) {
        guard flows.hasSparePreludes else { return abort(flow, .bound, now: now) }
        // First, so that the prelude stays.
        flow.pointee.marks.insert(.handedOff)
        commit(flow, proxy, resetOrigin: true, now: now)
        guard flow.pointee.state == .committed else {
            flow.pointee.marks.remove(.handedOff)
            return
        }
        flows.prelude(flow).pointee.holdStarted = now
        rearm(flow, now: now, limit: timeLimit(flow))
    }

    /// A client that is silent for so long repeats nothing any more: the longest pause between two repetitions.
    var unanswered: UInt64 { 120 &* configuration.hertz }

    /// A client's segment of such a flow.
    mutating func clientUnanswered(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        guard tcp.flags.contains(.ack), tcp.flags.lacks(.syn), packet.hasValidChecksum else { return }
        let prelude = flows.prelude(flow)
        // As `noteCommitted` judges what a sender may claim.
        let heard = tcp.acknowledgement.distance(from: prelude.pointee.pan)
        if heard > 0, UInt32(heard) <= flow.pointee.longestServerStep {
            _ = endHandOff(flow)
            return
        }
        let length = UInt32(packet.layout.payloadLength)
        guard heard == 0, length > 0, tcp.sequence.distance(from: prelude.pointee.psn) >= 0,
            !(tcp.sequence + length).isAfter(flow.pointee.clientNext),
            packet.now &- prelude.pointee.holdStarted >= configuration.hertz / 10,
            push(.requestRepeated(handle(flow)))
        else { return }
        prelude.pointee.holdStarted = packet.now
        counters.add(.requestsRepeated)
    }

    /// Nothing more is to be told of it. False when there was no room to say so: that is tried again.
    mutating func endHandOff(_ flow: Flow) -> Bool {
        guard push(.handOffOver(handle(flow))) else { return false }
        flow.pointee.marks.remove(.handedOff)
        releasePrelude(flow)
        return true
    }

    /// A committed flow keeps its prelude for resets that are due, and as long as it waits for its answer.
    mutating func releasePrelude(_ flow: Flow) {
        if nextReset(flow) == nil, flow.pointee.marks.lacks(.handedOff) { flows.dropPrelude(flow) }
    }

    /// A tombstone that is nobody's: it lets the client's segments through to the origin, and the origin's resets back.
    mutating func disown(_ handle: FlowHandle, now: UInt64) {
        guard let flow = flows.live(handle), flow.pointee.state == .committed,
            flow.pointee.marks.contains(.handedOff)
        else {
            counters.add(.staleCommands)
            return
        }
        give(flow, to: .none)
        close(flow, .disowned, now: now)
        // Of a virtual server's connection no origin knows: what the client sends again begins it anew.
        if flow.pointee.marks.contains(.answered), isEndTold(flow) { removeFlow(flow) }
    }
}
