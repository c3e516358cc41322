package import CRTP
package import InterCore
internal import Wire

// Connections that move again (docs/decisions/0013-connections-that-move-again.md). Towards the other proxy a move is a
// transfer like any other, with the same machine; only the worker's part is another one: the flow changes hands in one
// step, and the first proxy, which is mute meanwhile, hears how it ended.
extension ControlCore {
    /// TRANSFER from an agent.
    package mutating func handedBack(_ transfer: Transfer, _ frame: Frame, _ proxy: Int, now: UInt64) {
        if let number = moves.number(proxy: proxy, offer: frame.transaction) {
            moves[number].attempt = frame.attempt
            return tell(number)
        }
        // The refusal was lost, or the agent has taken the offer back.
        guard !moves.isVoid(proxy: proxy, offer: frame.transaction) else {
            return tell(.expired, of: frame.transaction, attempt: frame.attempt, proxy)
        }
        guard let source = transfers.slot(proxy: proxy, transaction: transfer.handsBack),
            transfers[source].machine.state == .committed, transfers[source].key == transfer.connection.key,
            moves.number(source: source) == nil
        else { return refuse(transfer, frame, proxy, .unknownFlow, now: now) }
        // Not wanted, or not any more: what is in the middle of an answer moves only when an operator has said so.
        guard transfer.blob == nil || evacuations[proxy] != nil else {
            return refuse(transfer, frame, proxy, .policy, now: now)
        }
        // Its offer comes again.
        if let blob = transfer.blob, !blobs.arriving.has(blob) { return }
        guard var question = question(transfer, source) else {
            return refuse(transfer, frame, proxy, .policy, now: now)
        }
        guard pendingCount < pendingLimit, !transfers.isFull, !moves.isFull else {
            return refuse(transfer, frame, proxy, .busy, now: now)
        }
        // Not the one that has just said that it lacks the object.
        question.asked.insert(proxy)
        guard let next = choose(for: question, except: question.asked, now: now) else {
            return refuse(transfer, frame, proxy, .notFound, now: now)
        }
        if let blob = transfer.blob {
            guard blobs.hasRoom(for: Int(blob.length), to: next) else { return }
            question.blob = blobs.arriving.take(blob.identifier, now: now)
        }
        question.asked.insert(next)
        let number = moves.open(
            proxy: proxy, offer: frame.transaction, psn: transfer.connection.psn, attempt: frame.attempt,
            source: source)
        if !traces.isEmpty { traceMove(number, "handed back", question.summary().path, now: now) }
        begin(
            question, transaction: takeTransaction(for: next), proxy: next, handle: transfers[source].handle,
            isHeld: true, startedAt: now,
            limitMicroseconds: question.blob == nil ? longestTimeoutMicroseconds : Self.blobPatience, move: number,
            now: now)
    }

    /// What another proxy is asked, if the rule that the request falls under, as any other would, lets connections move.
    private func question(_ offer: Transfer, _ source: Int) -> TransferRequest? {
        guard !isBypassed, offer.isAcknowledged, !offer.isTruncated else { return nil }
        return offer.request.withUnsafeBytes { bytes in
            guard case .request(let request) = recogniseRequest(bytes, wanted: .httpGet),
                request.headLength == bytes.count
            else { return nil }
            let held = HeldRequest(
                handle: transfers[source].handle, connection: offer.connection, request: request,
                rules: suitableRules(offer.connection.key, request), rulesGeneration: rulesGeneration, recognisedAt: 0,
                heldLength: 0, payloadLength: UInt16(bytes.count))
            // What is wanted back may go on elsewhere, whatever becomes of later requests.
            guard case .ask(let rule) = policy.decide(held, payload: bytes),
                offer.blob != nil || configuration.rules[rule].laterRequests == .move
            else { return nil }
            var question = TransferRequest(held, rule: rule, isHeld: true, payload: bytes)
            question.rulesGeneration = rulesGeneration
            question.ruleName = configuration.rules[rule].name
            question.transfer.connectionID = offer.connectionID
            question.transfer.generation = offer.generation &+ 1
            question.transfer.requirements = configuration.rules[rule].requirements
            question.transfer.isAcknowledged = true
            question.transfer.mayComeBack = configuration.rules[rule].laterRequests == .move
            question.transfer.blob = offer.blob
            // It says so when it has begun.
            question.transfer.wantsFirstByte = true
            return question
        }
    }

    // MARK: What became of it

    /// The flow is the other proxy's.
    package mutating func moved(_ handle: FlowHandle, now: UInt64) {
        guard let source = transfers.slot(handle: handle), let number = moves.number(source: source),
            case .asking(let target) = moves[number].phase
        else { return counters.add(.strayEvent) }
        moves.moved(number)
        proxies[moves[number].proxy].movedAway += 1
        finish(source, now: now)
        transfers.claimHandle(at: target)
        log(.info, "connection moved") {
            $0.fields(target) + [("from", $0.proxies[$0.moves[number].proxy].configuration.name)]
        }
        if !traces.isEmpty {
            traceMove(number, "moved", "to \(proxies[transfers[target].proxy].configuration.name)", now: now)
        }
        tell(number)
        let move = moves[number]
        drive(slot: target, .committed, now: now)
        if move.isTargetOver {
            command(.flowDone(handle), for: handle)
            moves.settle(number, now: now)
        } else if move.hasBegun {
            moves.settle(number, now: now)
        } else {
            tellTarget(number, now: now)
        }
    }

    package mutating func moveRefused(_ handle: FlowHandle, now: UInt64) {
        guard let source = transfers.slot(handle: handle), let number = moves.number(source: source) else { return }
        let end = moves[number].sourceEnd
        endMove(number, .policy, now: now)
        if let end { drive(slot: source, end, now: now) }
    }

    /// The worker's share in what the other proxy's transfer wants. False when that is as for any other.
    package mutating func performMove(_ action: TransferAction, _ slot: Int, now: UInt64) -> Bool {
        guard let number = moves.number(target: slot) else { return false }
        let move = moves[number]
        switch action {
        case .verdictProxy, .verdictHandOff:
            let (from, to) = (proxies[move.proxy].index, proxies[transfers[slot].proxy].index)
            command(.move(transfers[slot].handle, from: from, to: to), for: transfers[slot].handle)
        case .verdictOrigin:
            refuse(number, .notFound)
            moves.released.append(slot)
        case .resetOrigin:
            if move.isOpen { moves[number].hasBegun = true } else { moves.settle(number, now: now) }
        case .flowDone where move.isOpen:
            // The flow is the first proxy's, if the worker does not move it.
            moves[number].isTargetOver = true
        case .transfer, .terminate, .flowDone, .setTimer, .cancelTimer, .sample, .countTimeout, .countLateACK,
            .countUnconfirmed, .countMisjudged, .countUnanswered, .countRefusedHandOff, .handOff, .disown, .decided,
            .end:
            return false
        }
        return true
    }

    /// For the machine, a request that stays where it was is one that the origin has.
    package mutating func tellReleased(now: UInt64) {
        while let slot = moves.released.popLast() {
            guard transfers.contains(slot: slot) else { continue }
            drive(slot: slot, .aborted(.verdictOrigin), now: now)
        }
    }

    /// While the worker has the word, an end of the first proxy's transfer must not end the flow: it may be the other's.
    package mutating func withholds(_ slot: Int, _ event: TransferEvent, now: UInt64) -> Bool {
        guard let number = moves.number(source: slot), case .asking(let target) = moves[number].phase else {
            return false
        }
        switch event {
        case .flowDone, .channelDown(.restarted):
            guard transfers[target].machine.state != .asking else {
                endMove(number, .unknownFlow, now: now)
                return false
            }
            moves[number].sourceEnd = event
            return true
        case .ack, .nack, .firstByte, .terminateResponse, .committed, .aborted, .flowEnded, .requestRepeated, .timer,
            .channelDown(.silent), .channelDown(.disconnected), .channelDown(.administrative):
            return false
        }
    }

    /// The first proxy's transfer, or the other's, is over.
    package mutating func forgetMove(_ slot: Int, now: UInt64) {
        if let number = moves.number(target: slot) {
            if moves[number].isOpen { refuse(number, .notFound) } else { moves.settle(number, now: now) }
        }
        if let number = moves.number(source: slot), case .asking(let target) = moves[number].phase {
            refuse(number, .unknownFlow)
            moves.released.append(target)
        }
    }

    /// TERMINATE(CANCEL) from the agent that has handed a connection back: it wants to know.
    package mutating func recalled(_ terminate: Terminate, _ frame: Frame, _ proxy: Int, now: UInt64) {
        guard let number = moves.number(proxy: proxy, offer: terminate.transfer) else {
            // The offer may still be on its way.
            moves.void(proxy: proxy, offer: terminate.transfer)
            _ = send(Frame(.terminateResponse, transaction: frame.transaction, attempt: frame.attempt), to: proxy)
            return
        }
        guard moves[number].psn == terminate.psn else { return counters.add(.misplaced) }
        switch moves[number].phase {
        // While the worker has the word there is no answer: the agent asks again.
        case .asking(let target): if transfers[target].machine.state == .asking { endMove(number, .expired, now: now) }
        case .moved: tell(number)
        }
    }

    private mutating func endMove(_ number: UInt64, _ reason: NACKReason, now: UInt64) {
        guard case .asking(let target) = moves[number].phase else { return }
        refuse(number, reason)
        drive(slot: target, .aborted(.verdictOrigin), now: now)
    }

    /// The first proxy keeps it.
    private mutating func refuse(_ number: UInt64, _ reason: NACKReason) {
        let move = moves[number]
        moves.remove(number)
        if transfers.contains(slot: move.source) {
            evacuations[move.proxy]?.isOver(transfers[move.source].transaction)
        }
        if !move.isForgotten { refuse(move.offer, attempt: move.attempt, move.proxy, reason) }
    }

    private mutating func refuse(
        _ transfer: Transfer, _ frame: Frame, _ proxy: Int, _ reason: NACKReason, now: UInt64
    ) {
        moves.void(proxy: proxy, offer: frame.transaction)
        if let blob = transfer.blob { _ = blobs.arriving.take(blob.identifier, now: now) }
        evacuations[proxy]?.isOver(transfer.handsBack)
        refuse(frame.transaction, attempt: frame.attempt, proxy, reason)
    }

    private mutating func refuse(_ offer: UInt32, attempt: UInt8, _ proxy: Int, _ reason: NACKReason) {
        counters.add(.moveRefused)
        proxies[proxy].movesRefused += 1
        log(.info, "connection stays where it was") {
            [("proxy", $0.proxies[proxy].configuration.name), ("offer", "\(offer)"), ("reason", "\(reason)")]
        }
        tell(reason, of: offer, attempt: attempt, proxy)
    }

    private mutating func tell(_ reason: NACKReason, of offer: UInt32, attempt: UInt8, _ proxy: Int) {
        let message = Message.transferNACK(reason, retryAfterMilliseconds: 0)
        _ = send(Frame(message, transaction: offer, attempt: attempt), to: proxy)
    }

    /// Tells the first proxy that the connection is another's; nothing while that is not known.
    private mutating func tell(_ number: UInt64) {
        let move = moves[number]
        guard !move.isOpen, !move.isForgotten else { return }
        _ = send(Frame(.transferACK, transaction: move.offer, attempt: move.attempt), to: move.proxy)
    }

    // MARK: Time

    /// FIRST_BYTE to the other proxy: the request that it has is its own. Again and again, until it has begun.
    private mutating func tellTarget(_ number: UInt64, now: UInt64) {
        guard case .moved(let target?) = moves[number].phase else { return }
        let delay = moves[number].tellDelayMicroseconds
        moves.schedule(number, at: now + delay)
        moves[number].tellDelayMicroseconds = min(delay * 2, MoveTable.tellCeiling)
        _ = send(Frame(.firstByte, transaction: transfers[target].transaction), to: transfers[target].proxy)
    }

    package mutating func advanceMoves(to now: UInt64) {
        for number in moves.due(at: now) {
            if moves[number].target == nil { moves.remove(number) } else { tellTarget(number, now: now) }
        }
    }

    private mutating func traceMove(_ number: UInt64, _ event: String, _ detail: String, now: UInt64) {
        let move = moves[number]
        let key = transfers[move.target ?? move.source].key
        guard traces.covers(key, transfer: nil) else { return }
        trace(key, event, "\(proxies[move.proxy].configuration.name): \(detail)", now: now)
    }
}
