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
        while let flow = timers.next(now: now, steps: &steps, in: &flows) {
            expire(flow, now: now)
            steps &-= 1
        }
        expireDatagrams(now: now)
    }

    private mutating func expireHolds(now: UInt64) {
        var budget = 32
        while collecting.first != noFlow, budget > 0 {
            let flow = flows.at(collecting.first)
            guard now &- flows.prelude(flow).pointee.holdStarted >= configuration.incompleteHead else { break }
            counters.add(.requestsIncomplete)
            releaseToOrigin(flow, now: now)
            budget &-= 1
        }
        while asked.first != noFlow, budget > 0 {
            let flow = flows.at(asked.first)
            let isLate = now &- flows.prelude(flow).pointee.holdStarted >= configuration.backstop
            guard isLate || !isControlAlive else { break }
            abort(flow, isControlAlive ? .backstop : .controlDead, now: now)
            budget &-= 1
        }
    }

    /// An entry's time has come, unless it was used meanwhile.
    private mutating func expire(_ flow: Flow, now: UInt64) {
        if flow.pointee.marks.contains(.asymmetric), repeatReset(flow, now: now) { return }
        if flow.pointee.state == .binding {
            return flows.prelude(flow).pointee.isShaken ? expireReplay(flow, now: now) : connect(flow, now: now)
        }
        let limit = timeLimit(flow)
        let isTold = isEndTold(flow)
        let seen = lastSeen(flow, now: now)
        if flow.pointee.state == .held || now &- seen < limit {
            let deadline = isTold ? max(seen &+ limit, now &+ 1) : now &+ configuration.hertz / 10
            return timers.arm(flow, deadline: deadline, in: &flows)
        }
        if flow.pointee.marks.contains(.handedOff) {
            // Its client is silent, but may have been answered.
            let deadline = endHandOff(flow) ? seen &+ timeLimit(flow) : now &+ configuration.hertz / 10
            return timers.arm(flow, deadline: deadline, in: &flows)
        }
        if flow.pointee.state == .opening, flow.pointee.marks.contains(.answered) { return bind(flow, now: now) }
        if flow.pointee.state == .committed {
            flow.pointee.end = .idle
            flow.pointee.marks.insert(.endUntold)
        } else if flow.pointee.state == .translated, isReplayed(flow), !hasEnded(flow) {
            flow.pointee.marks.insert(.endUntold)
        }
        guard isEndTold(flow) else {
            // Still no room: the entry stays until it has been told.
            return timers.arm(flow, deadline: now &+ configuration.hertz / 10, in: &flows)
        }
        counters.add(.flowsExpired)
        removeFlow(flow)
    }

    mutating func timeLimit(_ flow: Flow) -> UInt64 {
        switch flow.pointee.state {
        case .opening where flow.pointee.marks.contains(.answered): configuration.unasked
        case .opening: flow.pointee.marks.contains(.handshakeKnown) ? configuration.idle : configuration.synOnly
        case .held: configuration.idle
        case .origin where flow.pointee.marks.contains(.newInRecovery):
            // Of no use afterwards.
            max(configuration.synOnly, configuration.recovery)
        case .origin: hasEnded(flow) ? configuration.closed : configuration.idle
        case .routed: hasEnded(flow) ? configuration.closed : configuration.idle
        case .committed where flow.pointee.marks.contains(.handedOff): min(unanswered, configuration.committedIdle)
        case .committed: configuration.committedIdle
        case .closed: configuration.closed
        case .binding: configuration.idle
        case .translated: hasEnded(flow) ? configuration.closed : configuration.committedIdle
        }
    }

    /// No tombstone sees an asymmetric origin's late packets, so its reset is repeated at 0.2, 1 and 3 s (rule 12),
    /// also when the flow has ended meanwhile.
    private mutating func repeatReset(_ flow: Flow, now: UInt64) -> Bool {
        guard flow.pointee.state == .committed || flow.pointee.state == .closed, let due = nextReset(flow) else {
            return false
        }
        if now >= due {
            resetOriginOf(flow, now: now)
            releasePrelude(flow)
        }
        timers.arm(flow, deadline: nextReset(flow) ?? now &+ timeLimit(flow), in: &flows)
        return true
    }

    /// When an asymmetric flow's reset is to be sent again; nil when it is not.
    mutating func nextReset(_ flow: Flow) -> UInt64? {
        guard flow.pointee.marks.isSuperset(of: [.asymmetric, .hasPrelude]) else { return nil }
        let prelude = flows.prelude(flow)
        switch prelude.pointee.resetsSent {
        case 1: return prelude.pointee.firstReset &+ configuration.hertz / 5
        case 2: return prelude.pointee.firstReset &+ configuration.hertz
        case 3: return prelude.pointee.firstReset &+ configuration.hertz &* 3
        default: return nil
        }
    }

    /// A packet of the flow passes.
    @inline(__always)
    func touch(_ flow: Flow) { flow.pointee.lastSeen = tick }

    /// TSC of a flow's last packet, exact to a tick of the wheel and never too early.
    mutating func lastSeen(_ flow: Flow, now: UInt64) -> UInt64 { timers.time(ofTick: flow.pointee.lastSeen, now: now) }

    /// A new time limit, from now on.
    mutating func rearm(_ flow: Flow, now: UInt64, limit: UInt64) {
        timers.disarm(flow, in: &flows)
        timers.arm(flow, deadline: nextReset(flow) ?? now &+ limit, in: &flows)
    }

    /// The end of a committed flow: its entry stays as a tombstone for the origin's late packets.
    mutating func close(_ flow: Flow, _ end: FlowEnd, now: UInt64) {
        setState(flow, .closed)
        touch(flow)
        flow.pointee.end = end
        // Nobody will ask for the origin's reset any more: the tombstone answers for it.
        flow.pointee.marks.remove([.resetPending, .handedOff])
        releasePrelude(flow)
        rearm(flow, now: now, limit: configuration.closed)
        counters.add(.flowsClosed)
        tellEnd(flow)
        updateGauges()
    }

    /// Tells the control core of a flow's end; without room in the ring, later.
    mutating func tellEnd(_ flow: Flow) {
        // A translated flow has no room to say how.
        if push(.flowEnded(handle(flow), flow.pointee.state == .translated ? .flowDone : flow.pointee.end)) {
            flow.pointee.marks.remove(.endUntold)
        } else {
            flow.pointee.marks.insert(.endUntold)
        }
    }

    /// False while an end waits for room in the ring; such an entry must not be removed. Tries once more.
    mutating func isEndTold(_ flow: Flow) -> Bool {
        if flow.pointee.marks.contains(.endUntold) { tellEnd(flow) }
        return !flow.pointee.marks.contains(.endUntold)
    }

    mutating func removeFlow(_ flow: Flow) {
        count(flow.pointee.state, -1)
        takeFromProxy(flow)
        timers.disarm(flow, in: &flows)
        flows.remove(flow)
        updateGauges()
    }

    /// Changes a flow's state and the gauges that count states.
    @inline(__always)
    func setState(_ flow: Flow, _ state: FlowState) {
        count(flow.pointee.state, -1)
        flow.pointee.state = state
        count(state, 1)
    }

    @inline(__always)
    func count(_ state: FlowState, _ change: Int) {
        if state == .committed { counters[.committedFlows] &+= UInt64(bitPattern: Int64(change)) }
        if state == .closed { counters[.closedFlows] &+= UInt64(bitPattern: Int64(change)) }
    }

    mutating func updateGauges() {
        counters[.flows] = UInt64(flows.count)
        counters[.datagramFlows] = UInt64(datagrams.table.count)
        counters[.heldFlows] = UInt64(collecting.count &+ asked.count &+ datagrams.held.count)
        counters[.heldPackets] = UInt64(heldPackets)
    }
}
