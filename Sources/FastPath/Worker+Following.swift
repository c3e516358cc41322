import CDPDKShim
import InterCore
import Wire

/// Later requests of a connection that is the origin's, for rules that ask for them (`follow-origin`).
///
/// The flow is `opening` again, for its fate is open again, with its prelude: `psn` is the end of the request that the
/// origin has, `pan` the next byte of its answer and, once that has been followed to it, the answer's end. A request that
/// begins exactly at the one and acknowledges exactly the other proves the rest: the origin has answered all that it
/// got, and the client has all that the origin said. What does not fit makes the connection the origin's for good.
extension Worker {
    /// A request that the hold consists of was read: should it be the origin's, its answer can be followed.
    mutating func noteFollowable(_ flow: Flow, _ request: RecognisedRequest, _ bytes: UnsafeRawBufferPointer) {
        guard request.application == .httpGet, let length = UInt16(exactly: request.headLength) else { return }
        flows.prelude(flow).pointee.requestLength = length
        flows.prelude(flow).pointee.answer = ResponseFollower(toHEAD: bytes[0] == 0x48)
    }

    /// Before the hold is emptied towards the origin: it is that request and nothing else, and both directions pass here.
    mutating func isFollowable(_ flow: Flow) -> Bool {
        let prelude = flows.prelude(flow)
        let length = UInt32(prelude.pointee.requestLength)
        return length != 0 && prelude.pointee.hold.bytes == length && !prelude.pointee.hold.holdsFinal
            && flow.pointee.marks.lacks(.asymmetric) && followsOrigin(rules(of: flow)) && flows.hasSparePreludes
    }

    /// The origin has the request now.
    mutating func follow(_ flow: Flow, now: UInt64) {
        let prelude = flows.prelude(flow)
        prelude.pointee.psn = prelude.pointee.psn + UInt32(prelude.pointee.requestLength)
        prelude.pointee.requestLength = 0
        prelude.pointee.following = .answer
        // What is still said of this request is not of the next one.
        flows.links(of: flow).pointee.generation &+= 1
        setState(flow, .opening)
        touch(flow)
        rearm(flow, now: now, limit: configuration.idle)
        updateGauges()
    }

    mutating func clientFollowed(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let length = Int32(packet.layout.payloadLength)
        let prelude = flows.prelude(flow)
        let offset = tcp.sequence.distance(from: prelude.pointee.psn)
        if tcp.flags.lacks([.syn, .rst, .fin]), length == 0 || offset &+ length <= 0 {
            // An acknowledgement, or the request again.
            noteClient(packet, flow)
            return pass(packet)
        }
        guard packet.hasValidChecksum else {
            counters.add(.passedBadChecksum)
            return pass(packet)
        }
        guard tcp.flags.has(.ack), tcp.flags.lacks([.syn, .rst, .fin]), prelude.pointee.following == .answered,
            offset == 0, tcp.acknowledgement == prelude.pointee.pan
        else {
            if tcp.flags.lacks([.rst, .fin]) { counters.add(.answersUnclear) }
            becomeOrigins(flow, packet.now)
            return clientPassing(packet, flow)
        }
        prelude.pointee.following = .none
        flow.pointee.clientNext = prelude.pointee.psn
        flow.pointee.serverNext = prelude.pointee.pan
        noteClient(packet, flow)
        beginHold(packet, flow)
    }

    mutating func serverFollowed(_ packet: Packet, _ flow: Flow) {
        let tcp = packet.tcp
        let length = Int32(packet.layout.payloadLength)
        let prelude = flows.prelude(flow)
        let offset = tcp.sequence.distance(from: prelude.pointee.pan)
        if tcp.flags.lacks([.syn, .rst, .fin]), length == 0 || offset &+ length <= 0 {
            // An acknowledgement, or what the client has been sent before, or the rest of a body of known length.
            touch(flow)
            noteServer(packet, flow)
            return pass(packet)
        }
        guard packet.hasValidChecksum else {
            counters.add(.passedBadChecksum)
            return pass(packet)
        }
        guard tcp.flags.has(.ack), tcp.flags.lacks([.syn, .rst, .fin]), prelude.pointee.following == .answer,
            offset == 0, tcp.acknowledgement == prelude.pointee.psn, read(packet, flow)
        else {
            if tcp.flags.lacks([.rst, .fin]) { counters.add(.answersUnclear) }
            becomeOrigins(flow, packet.now)
            endOnReset(packet, flow)
            return pass(packet)
        }
        touch(flow)
        noteServer(packet, flow)
        pass(packet)
    }

    /// The next bytes of the answer. False when nobody can say where it ends.
    private mutating func read(_ packet: Packet, _ flow: Flow) -> Bool {
        let count = Int(packet.layout.payloadLength)
        let start = UnsafeRawPointer(packet.bytes) + Int(packet.layout.payload)
        let prelude = flows.prelude(flow)
        switch prelude.pointee.answer.read(UnsafeRawBufferPointer(start: start, count: count)) {
        case .goesOn: prelude.pointee.pan = prelude.pointee.pan + UInt32(count)
        case .ends(let length):
            guard Int(length) >= count else { return false }
            prelude.pointee.pan = prelude.pointee.pan + length
            prelude.pointee.following = .answered
            counters.add(.answersFollowed)
        case .unclear: return false
        }
        return true
    }

    mutating func followsOrigin(_ bits: UInt64) -> Bool {
        var rest = bits
        while rest != 0 {
            if rules.candidates[rest.trailingZeroBitCount].followsOrigin { return true }
            rest &= rest &- 1
        }
        return false
    }
}
