internal import CRTP
internal import InterCore
internal import Wire

// What comes from agents: a channel's life, answers to transfers, announcements.
extension ControlCore {
    package mutating func drainChannel(_ index: Int, now: UInt64) {
        if proxies[index].channel.actions.isEmpty { return }
        // One of two arrays is always the channel's: what is done here may make it act again.
        var pending: [ChannelAction] = []
        swap(&pending, &channelActions)
        swap(&pending, &proxies[index].channel.actions)
        for action in pending {
            switch action {
            case .transmit(let datagram, let endpoint):
                counters.add(.sent)
                actions.append(.transmit(datagram, to: endpoint))
            case .up(_, let agent): channelUp(index, agent ?? proxies[index].channel.agent, now: now)
            case .down(_, let reason): channelDown(index, reason, now: now)
            case .received(let frame, _): received(frame, from: index, now: now)
            case .status(let status, let roundTripMicroseconds):
                proxies[index].estimator.seed(microseconds: roundTripMicroseconds)
                proxies[index].update(status)
            }
        }
        pending.removeAll(keepingCapacity: true)
        channelActions = pending
    }

    /// Workers learn the next hop before any verdict can name the proxy: rings keep the order of commands.
    private mutating func channelUp(_ index: Int, _ agent: AgentDescription?, now: UInt64) {
        let known = proxies[index].agent?.epoch
        proxies[index].isUp = true
        trust(index)
        proxies[index].restsUntil = 0
        proxies[index].announcementTries = 0
        awaitAnnouncement(index, now: now)
        if let agent {
            proxies[index].agent = agent
            if let known, known != agent.epoch {
                refusals.clear()
                moves.forget(proxy: index)
                abandon(index, .restarted, now: now)
            }
            reviewOffers(now: now)
        }
        let name = proxies[index].configuration.name
        guard let hop = proxies[index].nextHop else {
            log(.error, "proxy has no MAC address") { _ in [("proxy", name)] }
            return
        }
        introduce(index, hop)
        if proxies[index].wish == .evacuate, evacuations[index] == nil { evacuate(index, now: now) }
        log(.info, "proxy up") { _ in [("proxy", name), ("mac", "\(hop.mac)"), ("vlan", "\(hop.vlan)")] }
    }

    /// No new transfers; pending ones go to the origin at once. Committed flows keep being forwarded.
    private mutating func channelDown(_ index: Int, _ reason: ChannelDown, now: UInt64) {
        proxies[index].isUp = false
        proxies[index].isInGroup = false
        commandAll(.proxyDown(proxies[index].index))
        proxies[index].announcement = .awaited
        proxies[index].announcementDeadline = nil
        log(.warning, "proxy down") { [("proxy", $0.proxies[index].configuration.name), ("reason", reason.rawValue)] }
        abandon(index, reason, now: now)
        blobs.forget(index)
        if reason == .silent, proxies[index].connection.isOpen {
            actions.append(.reconnect(proxies[index].configuration.address, .silent))
        }
    }

    mutating func abandon(_ index: Int, _ reason: ChannelDown, now: UInt64) {
        for slot in Array(transfers.slotsInUse) where transfers[slot].proxy == index {
            drive(slot: slot, .channelDown(reason), now: now)
        }
    }

    private mutating func received(_ frame: Frame, from index: Int, now: UInt64) {
        switch frame.message {
        case .transferACK:
            if isFirstAnswer(frame.transaction, index) { proxies[index].acks += 1 }
            noteAdoption(frame.transaction, index, now: now)
            answer(.ack(attempt: frame.attempt), to: frame.transaction, index, now: now)
        case .transferNACK(let reason, let retryAfterMilliseconds):
            if isFirstAnswer(frame.transaction, index) { proxies[index].nacks += 1 }
            rest(index, reason, milliseconds: retryAfterMilliseconds, now: now)
            remember(reason, transaction: frame.transaction, from: index, now: now)
            answer(.nack(attempt: frame.attempt, reason), to: frame.transaction, index, now: now)
        case .firstByte: answer(.firstByte, to: frame.transaction, index, now: now)
        case .terminateResponse:
            evacuations[index]?.heard(frame.transaction)
            answer(.terminateResponse, to: frame.transaction, index, now: now)
        case .terminate(let terminate): terminated(terminate, frame, index, now: now)
        case .flowInformation(let key, let transfer, let label):
            announced(key, transfer: transfer, label: label, transaction: frame.transaction, index, now: now)
        case .flowUnknown(let key): flowUnknown(key, index, now: now)
        case .flowInformationEnd(let count):
            announcementEnded(count: count, transaction: frame.transaction, index, now: now)
        case .transfer(let transfer): handedBack(transfer, frame, index, now: now)
        case .blob(let fragment): receive(fragment, frame, from: index, now: now)
        case .blobReceipt(let receipt): receive(receipt, frame, from: index, now: now)
        case .initiate, .challenge, .accept, .keepalive, .keepaliveResponse, .error, .handOff, .flowQuery:
            counters.add(.misplaced)
        }
    }

    /// Session and transaction must match, and the attempt (which the machine checks); else nothing changes.
    private mutating func answer(_ event: TransferEvent, to transaction: UInt32, _ index: Int, now: UInt64) {
        guard let slot = transfers.slot(proxy: index, transaction: transaction) else {
            counters.add(.staleAnswer)
            return
        }
        if transfers[slot].answeredAt == nil, transfers[slot].machine.outcome == nil {
            transfers[slot].answeredAt = now
        }
        drive(slot: slot, event, now: now)
    }

    /// Whether a transfer is answered for the first time: a TRANSFER that was sent again is answered again.
    private mutating func isFirstAnswer(_ transaction: UInt32, _ index: Int) -> Bool {
        guard let slot = transfers.slot(proxy: index, transaction: transaction), !transfers[slot].isAnswered else {
            return false
        }
        transfers[slot].isAnswered = true
        return true
    }

    /// How long the agent took, of a transfer that still waits for it.
    private mutating func noteAdoption(_ transaction: UInt32, _ index: Int, now: UInt64) {
        guard let slot = transfers.slot(proxy: index, transaction: transaction), transfers[slot].answeredAt == nil,
            transfers[slot].machine.state.isPending
        else { return }
        proxies[index].adoptionTimes.add(now - min(transfers[slot].machine.begunAt, now))
    }

    /// `busy` with a time: the proxy is left alone for so long, at most 10 s.
    private mutating func rest(_ index: Int, _ reason: NACKReason, milliseconds: UInt16, now: UInt64) {
        switch reason {
        case .busy, .draining, .resource:
            proxies[index].restsUntil = now + min(UInt64(milliseconds) * 1_000, 10_000_000)
        case .notFound, .tupleInUse, .optionsUnsupported, .methodUnsupported, .requestIncomplete, .pipelined, .tooBig,
            .expired, .noRoute, .policy, .unknownFlow, .badTLV, .internalError:
            break
        }
    }

    /// TERMINATE from the agent is answered always: known, unknown or the second time.
    private mutating func terminated(_ terminate: Terminate, _ frame: Frame, _ index: Int, now: UInt64) {
        switch terminate.cause {
        case .flowDone:
            if configuration.role == .forwarder { endedFlows.insert(proxy: index, transfer: terminate.transfer) }
            if let slot = transfers.slot(proxy: index, transaction: terminate.transfer) {
                let psn = transfers[slot].psn
                if psn == nil || psn == terminate.psn {
                    drive(slot: slot, .flowDone, now: now)
                } else {
                    counters.add(.staleAnswer)
                }
            } else if !installs.mark(.done, proxy: index, transfer: terminate.transfer) {
                endedFlows.insert(proxy: index, transfer: terminate.transfer)
                counters.add(.staleAnswer)
            }
        case .cancel where unmap(terminate, index): break
        case .cancel: return recalled(terminate, frame, index, now: now)
        // `administrative` is the channel's own business; the others only directors send.
        case .administrative, .late, .handBack:
            counters.add(.misplaced)
        }
        _ = send(Frame(.terminateResponse, transaction: frame.transaction, attempt: frame.attempt), to: index)
    }
}
