import CDPDKShim
import InterCore
import Wire

/// What the control core wants, a bounded part of it each turn.
extension Worker {
    mutating func takeCommands(now: UInt64) -> Int {
        var count = 0
        // A command may have an answer; while there is no room for one, commands wait in their ring.
        while count < 64, hasRoomForEvents(1), let command = links.commands.pop() {
            carryOut(command, now: now)
            count &+= 1
        }
        if isListing { listFlows(now: now) }
        return count
    }

    private mutating func carryOut(_ command: WorkerCommand, now: UInt64) {
        switch command {
        case .verdict(let handle, let verdict): carryOut(verdict, handle, now: now)
        case .proxy(let index, let hop):
            proxies[Int(index.value)] = hop
            proxiesUp[Int(index.value)] = true
        case .proxyDown(let index): proxiesUp[Int(index.value)] = false
        case .installFlow(let key, let proxy, let ticket): install(key, proxy, ticket, now: now)
        case .flowDone(let handle):
            if let flow = live(handle), flow.pointee.state == .committed { close(flow, .flowDone, now: now) }
        case .resetOrigin(let handle):
            guard let flow = live(handle), flow.pointee.marks.contains(.resetPending) else { return }
            flow.pointee.marks.remove(.resetPending)
            resetOriginOf(flow, now: now)
            rearm(flow, now: now, limit: configuration.committedIdle)
        case .bypass(let on):
            isBypassed = on
            if on { abortAll(.bypassed, now: now) }
        case .recoveryEnded: recoveryEnds = 0
        case .abortAllHolds: abortAll(.controlDead, now: now)
        case .listFlows(let cursor, let limit):
            listCursor = cursor
            listRemaining = Int(limit)
            isListing = true
        }
    }

    private mutating func carryOut(_ verdict: Verdict, _ handle: FlowHandle, now: UInt64) {
        guard let flow = live(handle), flow.pointee.state == .held, flow.pointee.marks.contains(.asked) else {
            counters.add(.staleCommands)
            return
        }
        switch verdict {
        case .origin: abort(flow, .verdictOrigin, now: now)
        case .proxy(let proxy, let resetOrigin): commit(flow, proxy, resetOrigin: resetOrigin, now: now)
        }
    }

    /// The flow that a handle names, unless it has ended.
    private func live(_ handle: FlowHandle) -> Flow? {
        guard Int(handle.index) < flows.capacity else { return nil }
        let flow = flows.at(handle.index)
        guard flows.isLive(flow), flow.pointee.generation == handle.generation else { return nil }
        return flow
    }

    private mutating func abortAll(_ reason: AbortReason, now: UInt64) {
        while asked.first != noFlow { abort(flows.at(asked.first), reason, now: now) }
        while collecting.first != noFlow { releaseToOrigin(flows.at(collecting.first), now: now) }
    }

    /// A flow that a proxy says it has (after this director's restart). One that no rule could have given it is none:
    /// an agent may not take any other connection over by naming it.
    private mutating func install(_ key: FlowKey, _ proxy: ProxyIndex, _ ticket: UInt32, now: UInt64) {
        guard matchesCandidate(key) else {
            counters.add(.installsRefused)
            return refuse(ticket)
        }
        let hash = flowHash(of: key, seed: configuration.hashSeed)
        guard flowOwner(ofHash: hash, workerCount: configuration.workerCount) == configuration.workerIndex,
            !isInOtherVLAN(proxy, key)
        else { return refuse(ticket) }
        if let flow = flows.find(key, hash: hash) {
            if flow.pointee.state == .committed, flow.pointee.proxy.value == proxy.value {
                _ = push(.flowInstalled(handle(flow), ticket: ticket))
                return
            }
            guard flow.pointee.state == .closed, isEndTold(flow) else { return refuse(ticket) }
            removeFlow(flow)
        }
        if flows.count == flows.capacity { evictOne() }
        guard let flow = flows.insert(key, hash: hash) else { return refuse(ticket) }
        counters.add(.flowsCreated)
        setState(flow, .committed)
        flow.pointee.proxy = proxy
        flow.pointee.marks = [.announced]
        flow.pointee.lastSeen = now
        flow.pointee.deadline = now &+ configuration.committedIdle
        timers.arm(flow, in: flows)
        updateGauges()
        _ = push(.flowInstalled(handle(flow), ticket: ticket))
    }

    /// Makes room for a flow that must have an entry (rule 6) at the cost of one that is well off without: its packets
    /// pass. Looks at a few entries, from where the last look ended.
    private mutating func evictOne() {
        var looked = 0
        while looked < 64 {
            let flow = flows.at(evictionCursor)
            evictionCursor = Int(evictionCursor) &+ 1 < flows.capacity ? evictionCursor &+ 1 : 0
            looked &+= 1
            guard flows.isLive(flow), flow.pointee.state == .opening || flow.pointee.state == .origin,
                !flow.pointee.marks.contains(.endUntold)
            else { continue }
            counters.add(.flowsEvicted)
            return removeFlow(flow)
        }
    }

    private func refuse(_ ticket: UInt32) { _ = push(.flowRefused(ticket: ticket)) }

    /// A few entries each turn, so that a long list does not hold packets up.
    private mutating func listFlows(now: UInt64) {
        var looked = 0
        while looked < 256, listRemaining > 0, Int(listCursor) < flows.capacity, hasRoomForEvents(2) {
            let flow = flows.at(listCursor)
            listCursor &+= 1
            looked &+= 1
            guard flows.isLive(flow) else { continue }
            listRemaining &-= 1
            let idle = (now &- flow.pointee.lastSeen) / configuration.microsecond / 1_000
            _ = push(
                .flow(
                    FlowSummary(
                        handle: handle(flow), key: flow.pointee.key, state: flow.pointee.state,
                        proxy: flow.pointee.proxy,
                        idleMilliseconds: UInt32(truncatingIfNeeded: min(idle, 0xFFFF_FFFF)),
                        packetsFromClient: flow.pointee.packetsFromClient, packetsToClient: flow.pointee.packetsToClient
                    )))
        }
        let isAtEnd = Int(listCursor) >= flows.capacity
        if listRemaining == 0 || isAtEnd, hasRoomForEvents(1) {
            _ = push(.endOfFlows(nextCursor: isAtEnd ? nil : listCursor))
            listRemaining = 0
            isListing = false
        }
    }
}
