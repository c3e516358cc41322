import CDPDKShim
import InterCore
import Wire

/// What happens because time passes.
extension Worker {
    /// Bounded: a few holds and a few entries a turn.
    mutating func expire(now: UInt64) {
        if recoveryEnds != 0, now >= recoveryEnds { recoveryEnds = 0 }
        expireHolds(now: now)
        var steps = 64
        while let flow = timers.next(now: now, steps: &steps, in: flows) {
            expire(flow, now: now)
            steps &-= 1
        }
    }

    private mutating func expireHolds(now: UInt64) {
        var budget = 32
        while collecting.first != noFlow, budget > 0 {
            let flow = flows.at(collecting.first)
            guard now &- flow.pointee.holdStarted >= configuration.incompleteHead else { break }
            counters.add(.requestsIncomplete)
            releaseToOrigin(flow, now: now)
            budget &-= 1
        }
        while asked.first != noFlow, budget > 0 {
            let flow = flows.at(asked.first)
            let isLate = now &- flow.pointee.holdStarted >= configuration.backstop
            guard isLate || !isControlAlive else { break }
            abort(flow, isControlAlive ? .backstop : .controlDead, now: now)
            budget &-= 1
        }
    }

    /// An entry's time has come, unless it was used meanwhile.
    private mutating func expire(_ flow: Flow, now: UInt64) {
        if flow.pointee.resetsSent > 0, flow.pointee.state == .committed, repeatReset(flow, now: now) { return }
        let limit = timeLimit(flow)
        if flow.pointee.state == .held || now &- flow.pointee.lastSeen < limit {
            flow.pointee.deadline = max(flow.pointee.lastSeen &+ limit, now &+ 1)
            timers.arm(flow, in: flows)
            return
        }
        if flow.pointee.state == .committed { report(.flowEnded(handle(flow), .idle)) }
        counters.add(.flowsExpired)
        removeFlow(flow)
    }

    func timeLimit(_ flow: Flow) -> UInt64 {
        switch flow.pointee.state {
        case .opening: flow.pointee.marks.contains(.handshakeKnown) ? configuration.idle : configuration.synOnly
        case .held: configuration.idle
        case .origin, .routed: configuration.idle
        case .committed: configuration.committedIdle
        case .closed: configuration.closed
        }
    }

    /// No tombstone sees an asymmetric origin's late packets, so its reset is repeated at 0.2, 1 and 3 s (rule 12).
    private mutating func repeatReset(_ flow: Flow, now: UInt64) -> Bool {
        guard flow.pointee.marks.contains(.asymmetric), flow.pointee.resetsSent < 4 else { return false }
        resetOriginOf(flow, now: now)
        flow.pointee.deadline = now &+ nextReset(after: flow.pointee.resetsSent)
        timers.arm(flow, in: flows)
        return true
    }

    func nextReset(after sent: UInt8) -> UInt64 {
        switch sent {
        case 1: configuration.hertz / 5
        case 2: configuration.hertz / 5 &* 4
        case 3: configuration.hertz &* 2
        default: configuration.committedIdle
        }
    }

    /// A new time limit, from now on.
    mutating func rearm(_ flow: Flow, now: UInt64, limit: UInt64) {
        timers.disarm(flow, in: flows)
        flow.pointee.deadline = now &+ limit
        if flow.pointee.state == .committed, flow.pointee.marks.contains(.asymmetric), flow.pointee.resetsSent > 0 {
            flow.pointee.deadline = now &+ nextReset(after: flow.pointee.resetsSent)
        }
        timers.arm(flow, in: flows)
    }

    func touch(_ flow: Flow, now: UInt64, limit: UInt64) { flow.pointee.lastSeen = now }

    /// The end of a committed flow: its entry stays as a tombstone for the origin's late packets.
    mutating func close(_ flow: Flow, _ end: FlowEnd, now: UInt64) {
        flow.pointee.state = .closed
        flow.pointee.lastSeen = now
        rearm(flow, now: now, limit: configuration.closed)
        counters.add(.flowsClosed)
        report(.flowEnded(handle(flow), end))
        updateGauges()
    }

    mutating func removeFlow(_ flow: Flow) {
        timers.disarm(flow, in: flows)
        flows.remove(flow)
        updateGauges()
    }

    func updateGauges() {
        counters[.flows] = UInt64(flows.count)
        counters[.heldFlows] = UInt64(collecting.count &+ asked.count)
        counters[.heldPackets] = UInt64(heldPackets)
    }
}
