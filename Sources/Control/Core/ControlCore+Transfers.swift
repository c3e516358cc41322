package import CRTP
package import InterCore
internal import Wire

// A request's way: policy, selection, and the transfer machine with everything it wants done.
extension ControlCore {
    package mutating func decide(_ asked: HeldRequest, isHeld: Bool, payload: UnsafeRawBufferPointer, now: UInt64) {
        let request = renewed(asked)
        if !traces.isEmpty { traceRequest(request, isHeld: isHeld, payload: payload, now: now) }
        if isBypassed { return decline(request, isHeld, .bypassed, now) }
        if isHeld, let slot = transfers.slot(handle: request.handle) {
            // The same hold twice: the first one's transfer goes on. Another request of a flow whose adoption is still
            // being called back is the origin's.
            if transfers[slot].machine.state.isPending { return counters.add(.strayEvent) }
            return decline(request, isHeld, .recallUnderWay, now)
        }
        if queue.contains(request.handle) { return counters.add(.strayEvent) }
        switch policy.decide(request, payload: payload) {
        case .decline(let reason): decline(request, isHeld, reason, now)
        case .ask(let rule): ask(request, rule: rule, isHeld: isHeld, payload: payload, now: now)
        case .observe(let rule):
            if isHeld { command(.verdict(request.handle, .origin), for: request.handle) }
            ask(request, rule: rule, isHeld: false, payload: payload, now: now)
        }
    }

    /// To the origin, unasked.
    package mutating func decline(
        _ request: HeldRequest, _ isHeld: Bool, _ reason: TransferOutcome.Ending, _ now: UInt64
    ) {
        counters.add(reason)
        if !traces.isEmpty { trace(request.connection.key, "to origin", "\(reason)", now: now) }
        if isHeld { command(.verdict(request.handle, .origin), for: request.handle) }
        log(.debug, "request to origin") { _ in [("flow", "\(request.connection.key)"), ("reason", "\(reason)")] }
    }

    private mutating func ask(
        _ request: HeldRequest, rule: Int, isHeld: Bool, payload: UnsafeRawBufferPointer, now: UInt64
    ) {
        guard pendingCount < pendingLimit, !transfers.isFull else {
            return decline(request, isHeld, .pendingBound, now)
        }
        var asked = TransferRequest(request, rule: rule, isHeld: isHeld, payload: payload)
        asked.rulesGeneration = rulesGeneration
        asked.ruleName = configuration.rules[rule].name
        asked.transfer.wantsFirstByte =
            configuration.rules[rule].resetBy == .proxy && !request.request.application.isOverUDP
        asked.transfer.requirements = configuration.rules[rule].requirements
        asked.transfer.mayComeBack = isHeld && configuration.rules[rule].laterRequests == .move
        asked.isOneWay = isHeld && isHandedOff(request, rule)
        if suspectCount > 0 { probe(for: asked, handle: request.handle, now: now) }
        if isHeld, askGroup(asked, handle: request.handle, now: now) { return }
        // Whoever waits is served before; `handle` looks at the line next.
        if isHeld, !queue.isEmpty, wait(asked, handle: request.handle, now: now) { return }
        let chosen = choose(for: asked, except: ProxySet(), now: now)
        if !traces.isEmpty { traceSelection(asked, chosen: chosen, now: now) }
        guard let proxy = chosen else {
            if isHeld, wait(asked, handle: request.handle, now: now) { return }
            ruleCounts[rule].unasked += 1
            let isRefused = !refusals.refusers(of: asked.refusalKey, now: now).isEmpty
            return decline(request, isHeld, isRefused ? .refusedBefore : .noProxy, now)
        }
        asked.asked.insert(proxy)
        begin(
            asked, transaction: takeTransaction(for: proxy), proxy: proxy, handle: request.handle, isHeld: isHeld,
            startedAt: now, limitMicroseconds: longestTimeoutMicroseconds, now: now)
    }

    /// Sends the first TRANSFER to a proxy.
    /// - Parameters:
    ///   - limitMicroseconds: TO is not longer than this.
    ///   - move: The connection is another proxy's; its number in `moves`.
    package mutating func begin(
        _ request: TransferRequest, transaction: UInt32, proxy: Int, handle: FlowHandle, isHeld: Bool,
        startedAt: UInt64, limitMicroseconds: UInt64, move: UInt64? = nil, now: UInt64
    ) {
        let estimator = proxies[proxy].estimator
        var timing = TransferTiming(
            timeoutMicroseconds: min(estimator.timeoutMicroseconds, limitMicroseconds),
            retransmissionMicroseconds: proxies[proxy].configuration.transport.isStream
                ? nil : estimator.retransmissionMicroseconds)
        // Until then it is told again that it may begin.
        if move != nil { timing.firstByteMicroseconds = 120_000_000 }
        if let blob = request.blob {
            sendAlong(blob, with: request, to: proxy, within: limitMicroseconds, &timing, now: now)
        }
        var request = request
        if request.transfer.connectionID == 0 {
            request.transfer.connectionID = UInt64(senderID) << 32 | UInt64(transaction)
        }
        let machine = TransferMachine(
            isHeld: isHeld, wantsFirstByte: request.transfer.wantsFirstByte,
            isOfDatagrams: request.transfer.application.isOverUDP, isOneWay: isHeld && request.isOneWay && move == nil,
            timing: timing)
        let slot = transfers.insert(
            TransferRecord(
                machine: machine, transaction: transaction, proxy: proxy, handle: handle,
                key: request.transfer.connection.key, request: request, startedAt: startedAt))
        if transfers[slot].machine.isOneWay { handOffs.unanswered[slot] = request.transfer }
        if let move {
            // The flow's events are the first proxy's until it has moved.
            transfers.releaseHandle(at: slot)
            moves.ask(move, target: slot)
        }
        count(slot, from: nil, to: transfers[slot].machine.state)
        drive(slot: slot, nil, now: now)
    }

    /// A number that names no transfer of this proxy.
    package mutating func takeTransaction(for proxy: Int) -> UInt32 {
        repeat {
            nextTransaction &+= 1
        } while nextTransaction == 0 || transfers.slot(proxy: proxy, transaction: nextTransaction) != nil
            || installs.isAwaited(proxy: proxy, transfer: nextTransaction)
            || endedFlows.contains(proxy: proxy, transfer: nextTransaction)
        return nextTransaction
    }

    // MARK: Events

    package mutating func drive(_ handle: FlowHandle, _ event: TransferEvent, now: UInt64) {
        if let slot = transfers.slot(handle: handle) { return drive(slot: slot, event, now: now) }
        // `aborted` is also the answer to a verdict without a transfer.
        if case .aborted = event { return queue.remove(handle) }
        counters.add(.strayEvent)
    }

    /// Gives a transfer an event (nil: its beginning) and does what it wants.
    package mutating func drive(slot: Int, _ event: TransferEvent?, now: UInt64) {
        if let event {
            if !moves.isEmpty, withholds(slot, event, now: now) { return }
            if passOn(slot, event, now: now) { return }
        }
        var wanted: [TransferAction] = []
        swap(&wanted, &transferActions)
        let before = transfers[slot].machine.state
        if let event {
            transfers[slot].machine.handle(event, now: now, into: &wanted)
        } else {
            transfers[slot].machine.begin(now: now, into: &wanted)
        }
        let after = transfers[slot].machine.state
        if !traces.isEmpty { traceStep(slot, event, wanted, from: before, now: now) }
        count(slot, from: before, to: after)
        if before == .asking, after != .asking, !transfers[slot].siblings.isEmpty {
            dismissSiblings(of: slot, now: now)
        }
        if after == .committed, before != .committed {
            transfers[slot].committedAt = now
            if !evacuations.isEmpty { wantBack(slot) }
        }
        var isUnsent = false
        for action in wanted where !perform(action, slot, now: now) { isUnsent = true }
        wanted.removeAll(keepingCapacity: true)
        transferActions = wanted

        if !moves.released.isEmpty { tellReleased(now: now) }
        if isUnsent, transfers.contains(slot: slot), transfers[slot].machine.state.isPending {
            return drive(slot: slot, .channelDown(.silent), now: now)
        }
        dropRecallBeyondBound(slot, before: before, now: now)
    }

    package mutating func dropRecallBeyondBound(_ slot: Int, before: TransferState, now: UInt64) {
        guard recallCount > recallLimit, before != .recalling, transfers.contains(slot: slot),
            transfers[slot].machine.state == .recalling
        else { return }
        counters.add(.recallBound)
        finish(slot, now: now)
    }

    /// Keeps the numbers of pending transfers, committed flows and recalls.
    package mutating func count(_ slot: Int, from before: TransferState?, to after: TransferState) {
        if before == after { return }
        let proxy = transfers[slot].proxy
        let pending = (after.isPending ? 1 : 0) - (before?.isPending == true ? 1 : 0)
        pendingCount += pending
        proxies[proxy].transfers += (before == nil ? 1 : 0) - (after == .ended ? 1 : 0)
        proxies[proxy].pending += pending
        proxies[proxy].committed += (after.isCommitted ? 1 : 0) - (before?.isCommitted == true ? 1 : 0)
        recallCount += (after.isRecall ? 1 : 0) - (before?.isRecall == true ? 1 : 0)
        if after == .recalling { counters.add(.cancelled) }
    }

    /// False when the agent cannot be reached.
    package mutating func perform(_ action: TransferAction, _ slot: Int, now: UInt64) -> Bool {
        if !moves.isEmpty, performMove(action, slot, now: now) { return true }
        let handle = transfers[slot].handle
        let proxy = transfers[slot].proxy
        switch action {
        case .transfer(let attempt, let validMicroseconds):
            guard var message = transfers[slot].request?.transfer else { return true }
            message.validMicroseconds = UInt32(clamping: validMicroseconds)
            // Who follows a connection wants to see its first byte; the origin's reset does not wait for that.
            if !traces.isEmpty, message.isHeld, isTraced(slot) { message.wantsFirstByte = true }
            let frame = Frame(.transfer(message), transaction: transfers[slot].transaction, attempt: attempt)
            if transfers[slot].siblings.isEmpty { return send(frame, to: proxy) }
            sendToGroup(frame, from: slot)
        case .handOff(let attempt): handOff(slot, attempt: attempt, now: now)
        case .terminate(let cause):
            let transaction = transfers[slot].transaction
            guard let psn = transfers[slot].psn else { return true }
            let terminate = Terminate(cause: cause, transfer: transaction, psn: psn)
            // Unsent is no matter: it is repeated.
            _ = send(Frame(.terminate(terminate), transaction: transaction), to: proxy)
        case .verdictOrigin: command(.verdict(handle, .origin), for: handle)
        case .verdictProxy(let resetOrigin):
            command(.verdict(handle, .proxy(proxies[proxy].index, resetOrigin: resetOrigin)), for: handle)
        case .verdictHandOff: command(.verdict(handle, .handOff(proxies[proxy].index)), for: handle)
        case .resetOrigin: command(.resetOrigin(handle), for: handle)
        case .flowDone: command(.flowDone(handle), for: handle)
        case .disown: command(.disown(handle), for: handle)
        case .setTimer(let deadline):
            if let timer = transfers[slot].timer { wheel.cancel(timer) }
            transfers[slot].timer = wheel.insert(slot, at: deadline)
        case .cancelTimer:
            if let timer = transfers[slot].timer { wheel.cancel(timer) }
            transfers[slot].timer = nil
        case .sample(let microseconds):
            proxies[proxy].estimator.sample(microseconds: microseconds)
            if now < transfers[slot].machine.deadline { trust(proxy) }
        case .countTimeout(let sentAt):
            guard transfers[slot].machine.timing.isMeasured else { return true }
            proxies[proxy].estimator.timedOut(sentAt: sentAt, now: now)
            proxies[proxy].timeouts += 1
            suspect(proxy, sentAt: sentAt, now: now)
        case .countLateACK:
            // Not late, but not the first.
            if transfers[slot].isDismissed { return true }
            counters.add(.late)
            proxies[proxy].lateACKs += 1
            log(.info, "transfer ACK late") { $0.fields(slot) }
        case .countUnconfirmed:
            counters.add(.unconfirmed)
            log(.warning, "worker silent after verdict") { $0.fields(slot) }
        case .countMisjudged(let reason):
            counters.add(.misjudged)
            log(.warning, "transfer was aborted after all") { $0.fields(slot) + [("reason", "\(reason)")] }
        case .countUnanswered:
            counters.add(.unanswered)
            log(.warning, "terminate never answered") { $0.fields(slot) }
        case .countRefusedHandOff(let reason):
            counters.add(.handOffRefused)
            log(.warning, "hand-off refused") { $0.fields(slot) + [("reason", "\(reason)")] }
        case .decided(let outcome): decided(outcome, slot, now: now)
        case .end: finish(slot, now: now)
        }
        return true
    }

    private mutating func decided(_ outcome: TransferOutcome, _ slot: Int, now: UInt64) {
        // A probe is nobody's request.
        if transfers[slot].request?.isProbe == true {
            return log(.debug, "probe ended") { $0.fields(slot) + [("reason", outcome.reason)] }
        }
        counters.add(outcome.ending)
        let took = now - min(transfers[slot].startedAt, now)
        decisionTimes.add(took)
        // It is not asked for again: a flow may live for days, and its request with it.
        let request = transfers[slot].request.take()
        if let request { count(outcome.ending, of: request) }
        history.append(
            TransferHistory.Entry(
                transaction: transfers[slot].transaction, proxy: transfers[slot].proxy, key: transfers[slot].key,
                request: request, outcome: outcome, tookMicroseconds: took, endedAt: now,
                answeredAt: transfers[slot].answeredAt))
        log(.info, outcome.ending == .committed ? "transfer committed" : "transfer to origin") {
            $0.fields(slot) + [("reason", outcome.reason), ("took_us", "\(took)")]
        }
    }

    /// Under the rule's place by now, if there is such a rule still.
    private mutating func count(_ ending: TransferOutcome.Ending, of request: TransferRequest) {
        let isRecent = request.rulesGeneration == rulesGeneration
        guard let rule = isRecent ? request.rule : ruleCounts.firstIndex(where: { $0.name == request.ruleName })
        else { return }
        switch ending {
        case .committed: ruleCounts[rule].committed += 1
        case .observedACK, .observedNACK, .observedTimeout: ruleCounts[rule].observed += 1
        default: ruleCounts[rule].origin += 1
        }
    }

    package func fields(_ slot: Int) -> [(name: String, value: String)] {
        let record = transfers[slot]
        return [
            ("transfer", "\(record.transaction)"), ("flow", "\(record.key)"),
            ("proxy", proxies[record.proxy].configuration.name),
        ]
    }

    /// Forgets a transfer, wherever it stands.
    package mutating func finish(_ slot: Int, now: UInt64) {
        guard transfers.contains(slot: slot) else { return }
        if !moves.isEmpty { forgetMove(slot, now: now) }
        if let timer = transfers[slot].timer { wheel.cancel(timer) }
        count(slot, from: transfers[slot].machine.state, to: .ended)
        if !handOffs.unanswered.isEmpty { handOffs.unanswered[slot] = nil }
        if !evacuations.isEmpty { evacuations[transfers[slot].proxy]?.isOver(transfers[slot].transaction) }
        switch transfers[slot].machine.outcome?.ending {
        case .committed, .announced:
            // A forwarder's mapping may only have been idle: it is over when its agent says so.
            if configuration.role != .forwarder {
                endedFlows.insert(proxy: transfers[slot].proxy, transfer: transfers[slot].transaction)
            }
        default: break
        }
        transfers.remove(at: slot)
    }

    // MARK: Ways out

    /// Sends a frame; false when the channel is not up.
    package mutating func send(_ frame: Frame, to proxy: Int) -> Bool {
        guard let datagram = proxies[proxy].channel.send(frame) else {
            counters.add(.unsendable)
            return false
        }
        counters.add(.sent)
        actions.append(.transmit(datagram, to: proxies[proxy].configuration.address))
        return true
    }

    package mutating func command(_ command: WorkerCommand, for handle: FlowHandle) {
        actions.append(.command(command, worker: Int(handle.worker)))
    }
}

extension TransferState {
    /// The client waits, or the agent is asked without that.
    package var isPending: Bool {
        switch self {
        case .observing, .asking, .granting: true
        case .releasing, .recalling, .recalled, .committed, .closing, .ended: false
        }
    }

    package var isCommitted: Bool {
        switch self {
        case .committed, .closing: true
        case .observing, .asking, .granting, .releasing, .recalling, .recalled, .ended: false
        }
    }

    package var isRecall: Bool {
        switch self {
        case .recalling, .recalled: true
        case .observing, .asking, .granting, .releasing, .committed, .closing, .ended: false
        }
    }
}
