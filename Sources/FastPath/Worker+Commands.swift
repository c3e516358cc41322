import CDPDKShim
import InterCore
import Wire

/// What the control core wants, a bounded part of it each turn.
extension Worker {
    mutating func takeCommands(now: UInt64) -> Int {
        var count = 0
        // A command may have an answer, and end a flow besides; while there is no room for both, commands wait in their ring.
        while count < 64, hasRoomForEvents(2), let command = links.commands.pop() {
            carryOut(command, now: now)
            count &+= 1
        }
        if retiring != 0 { tellUnusedProxies() }
        return count
    }

    private mutating func carryOut(_ command: WorkerCommand, now: UInt64) {
        switch command {
        case .verdict(let handle, let verdict) where handle.isOfDatagrams:
            carryOutForDatagrams(verdict, handle, now: now)
        case .verdict(let handle, let verdict): carryOut(verdict, handle, now: now)
        case .proxy(let index, let hop): introduce(index, hop)
        case .encapsulate(let index, let encapsulation): encapsulate(index, encapsulation)
        case .proxyDown(let index): proxiesUp[Int(index.value)] = false
        case .retireProxy(let index, let number): retire(index, number)
        case .useRules(let table):
            rules = table
            if rules.watchesDatagrams { datagrams.areWatched = true }
            _ = push(.rulesInForce(table.generation))
        case .useVirtualServers(let table):
            virtuals = table
            _ = push(.virtualServersInForce(table.generation))
        case .installFlow(let key, let proxy, let ticket, let name) where configuration.isForwarder:
            guard let flow = map(key, proxy, name, now: now) else { return refuse(ticket) }
            _ = push(.flowInstalled(handle(flow), ticket: ticket))
        case .installFlow(let key, let proxy, let ticket, _): install(key, proxy, ticket, now: now)
        case .learnIdentifier(let identifier): datagrams.identifiers.learn(identifier)
        case .flowDone(let handle) where handle.isOfDatagrams: datagramsDone(handle)
        case .flowDone(let handle):
            if let flow = flows.live(handle), flow.pointee.state == .committed { close(flow, .flowDone, now: now) }
        case .resetOrigin(let handle):
            guard let flow = flows.live(handle), flow.pointee.marks.contains(.resetPending) else { return }
            flow.pointee.marks.remove(.resetPending)
            resetOriginOf(flow, now: now)
            releasePrelude(flow)
            rearm(flow, now: now, limit: configuration.committedIdle)
        case .move(let handle, let from, let to):
            _ = push(move(handle, from, to) ? .moved(handle) : .moveRefused(handle))
        case .disown(let handle) where configuration.isForwarder: unmap(handle)
        case .disown(let handle): disown(handle, now: now)
        case .bypass(let on):
            isBypassed = on
            if on { abortAll(.bypassed, now: now) }
        case .recoveryEnded: recoveryEnds = 0
        case .abortAllHolds: abortAll(.controlDead, now: now)
        case .listFlows(let query): walk.begin(query, isCount: false, now: now)
        case .findFlow(let key, let ticket): tell(of: key, ticket: ticket, now: now)
        case .countFlows(let query): walk.begin(query, isCount: true, now: now)
        case .capture: takeCaptureOrder()
        case .replay: takeReplayOrder(now: now)
        case .cancelReplay(let handle): cancelReplay(handle)
        case .transmitOwn: transmitOwn()
        }
    }

    private mutating func carryOut(_ verdict: Verdict, _ handle: FlowHandle, now: UInt64) {
        guard let flow = flows.live(handle), flow.pointee.state == .held, flow.pointee.marks.contains(.asked) else {
            counters.add(.staleCommands)
            return
        }
        switch verdict {
        case .origin: abort(flow, .verdictOrigin, now: now)
        case .proxy(let proxy, let resetOrigin): commit(flow, proxy, resetOrigin: resetOrigin, now: now)
        case .handOff(let proxy): handOff(flow, proxy, now: now)
        }
    }

    /// One field, one writer: from this instant client's packets go to the other proxy, and the first one's are dropped.
    private mutating func move(_ handle: FlowHandle, _ from: ProxyIndex, _ to: ProxyIndex) -> Bool {
        guard let flow = flows.live(handle), flow.pointee.state == .committed,
            flow.pointee.proxy.value == from.value, flow.pointee.marks.lacks(.resetPending)
        else {
            counters.add(.staleCommands)
            return false
        }
        let (hop, former) = (proxies[Int(to.value)], proxies[Int(from.value)])
        // The client's segments are as long as the first proxy's way allowed.
        guard hop.mac != .zero, hop.mtu == 0 || former.mtu != 0 && hop.mtu >= former.mtu || tunnels.has(to),
            !isInOtherVLAN(to, flow.pointee.vlan)
        else { return false }
        give(flow, to: to)
        touch(flow)
        // Whoever hands a connection back has answered on it.
        if flow.pointee.marks.contains(.handedOff) { _ = endHandOff(flow) }
        counters.add(.flowsMoved)
        return true
    }

    private mutating func abortAll(_ reason: AbortReason, now: UInt64) {
        while asked.first != noFlow { abort(flows.at(asked.first), reason, now: now) }
        while collecting.first != noFlow { releaseToOrigin(flows.at(collecting.first), now: now) }
        abortDatagrams(reason, now: now)
    }

    /// A flow that a proxy says it has (after this director's restart). One that no rule could have given it is none:
    /// an agent may not take any other connection over by naming it.
    private mutating func install(_ key: FlowKey, _ proxy: ProxyIndex, _ ticket: UInt32, now: UInt64) {
        guard matchesCandidate(key) else {
            counters.add(.installsRefused)
            return refuse(ticket)
        }
        let packed = PackedFlowKey(key)
        let hash = flowHash(of: packed, seed: configuration.hashSeed)
        guard flowOwner(ofHash: hash, workerCount: configuration.workerCount) == configuration.workerIndex,
            !isInOtherVLAN(proxy, key.vlan)
        else { return refuse(ticket) }
        if let flow = flows.find(packed, hash: hash) {
            if flow.pointee.state == .committed, flow.pointee.proxy.value == proxy.value {
                _ = push(.flowInstalled(handle(flow), ticket: ticket))
                return
            }
            guard flow.pointee.state == .closed, isEndTold(flow) else { return refuse(ticket) }
            removeFlow(flow)
        }
        if flows.isFull(isV6: packed.isV6) { evictOne(of: flows.positions(isV6: packed.isV6)) }
        guard let flow = flows.insert(packed, hash: hash) else { return refuse(ticket) }
        counters.add(.flowsCreated)
        setState(flow, .committed)
        give(flow, to: proxy)
        flow.pointee.marks.insert(.announced)
        touch(flow)
        timers.arm(flow, deadline: now &+ configuration.committedIdle, in: &flows)
        updateGauges()
        _ = push(.flowInstalled(handle(flow), ticket: ticket))
    }

    /// Makes room for a flow that must have an entry (rule 6) at the cost of one that is well off without: its packets
    /// pass. Looks at a few entries, from where the last look ended.
    private mutating func evictOne(of positions: Range<Int>) {
        var looked = 0
        while looked < 64 {
            evictionCursor = positions.contains(evictionCursor &+ 1) ? evictionCursor &+ 1 : positions.lowerBound
            looked &+= 1
            guard let flow = flows.flow(atPosition: evictionCursor),
                flow.pointee.state == .opening || flow.pointee.state == .origin,
                !flow.pointee.marks.contains(.endUntold)
            else { continue }
            counters.add(.flowsEvicted)
            return removeFlow(flow)
        }
    }

    private mutating func refuse(_ ticket: UInt32) { _ = push(.flowRefused(ticket: ticket)) }
}
