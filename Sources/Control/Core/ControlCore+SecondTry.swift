package import CRTP
package import InterCore
internal import Wire

// What a proxy that does not take a request leaves behind: the request for another one, a refusal to remember, or the
// suspicion that it is not well.
extension ControlCore {
    /// Asks another proxy instead, when `event` says that this one will not take the request, and time and proxies are
    /// left. False: the event takes its usual course.
    package mutating func passOn(_ slot: Int, _ event: TransferEvent, now: UInt64) -> Bool {
        guard transfers[slot].machine.endsAsking(event, now: now) else { return false }
        if !transfers[slot].siblings.isEmpty, leaveGroup(slot, event, now: now) { return true }
        let move = moves.number(target: slot)
        // Who has handed a connection back was asked by its client.
        let tries = configuration.crtp.choice.tries + (move == nil ? 0 : 1)
        guard !isBypassed, !transfers.isFull, var request = transfers[slot].request, request.asked.count < tries
        else { return false }
        let startedAt = transfers[slot].startedAt
        let end = startedAt + (request.blob == nil ? longestTimeoutMicroseconds : Self.blobPatience)
        let left = end - min(now, end)
        guard left >= configuration.timeout.floorMicroseconds,
            let next = choose(for: request, except: request.asked, now: now)
        else { return false }

        request.asked.insert(next)
        let handle = transfers[slot].handle
        transfers.releaseHandle(at: slot)
        var wanted: [TransferAction] = []
        let before = transfers[slot].machine.state
        let outcome = transfers[slot].machine.passOn(event, now: now, into: &wanted)
        if !traces.isEmpty {
            traceStep(slot, event, wanted, from: before, now: now)
            traceSelection(request, chosen: next, now: now)
        }
        count(slot, from: before, to: transfers[slot].machine.state)
        for action in wanted { _ = perform(action, slot, now: now) }
        let transaction = takeTransaction(for: next)
        passedOn(slot, outcome, to: transaction, next, now: now)
        let stays = transfers.contains(slot: slot)
        begin(
            request, transaction: transaction, proxy: next, handle: handle, isHeld: true, startedAt: startedAt,
            limitMicroseconds: left, move: move, now: now)
        // Not before the move has its next target: it would end with this one.
        if stays { dropRecallBeyondBound(slot, before: before, now: now) }
        return true
    }

    private mutating func passedOn(
        _ slot: Int, _ outcome: TransferOutcome, to transaction: UInt32, _ next: Int, now: UInt64
    ) {
        counters.add(.passedOn)
        proxies[transfers[slot].proxy].passedOn += 1
        history.append(
            TransferHistory.Entry(
                transaction: transfers[slot].transaction, proxy: transfers[slot].proxy, key: transfers[slot].key,
                request: transfers[slot].request.take(), outcome: outcome, isPassedOn: true,
                tookMicroseconds: now - min(transfers[slot].machine.begunAt, now), endedAt: now,
                answeredAt: transfers[slot].answeredAt))
        log(.info, "transfer passed on") {
            $0.fields(slot) + [
                ("reason", outcome.reason), ("to", $0.proxies[next].configuration.name), ("as", "\(transaction)"),
            ]
        }
    }

    /// The proxy to ask for a request; nil when there is none.
    package mutating func choose(for request: TransferRequest, except: ProxySet, now: UInt64) -> Int? {
        // Its rule may be another one by now, or gone.
        guard request.rulesGeneration == rulesGeneration else { return nil }
        let query = query(for: request, except: except, now: now)
        return selections[request.rule].choose(of: &proxies, for: query, random: &draws)
    }

    /// What the choice depends on: those who have refused the content lately are not asked.
    package func query(for request: TransferRequest, except: ProxySet, now: UInt64) -> Selection.Query {
        let connection = request.transfer.connection
        var query = Selection.Query(
            needs: Capabilities(neededFor: connection, application: request.transfer.application),
            content: request.content, now: now)
        if request.transfer.isAcknowledged { query.needs.insert(.handedBack) }
        if request.transfer.blob != nil { query.needs.insert(.blobs) }
        if request.isOneWay { query.needs.insert(.handOffs) }
        query.except = except
        query.except.formUnion(refusals.refusers(of: request.refusalKey, now: now))
        return query
    }

    // MARK: Refusals

    package mutating func remember(_ reason: NACKReason, transaction: UInt32, from index: Int, now: UInt64) {
        guard reason.isOfContent, let slot = transfers.slot(proxy: index, transaction: transaction),
            let request = transfers[slot].request, request.transfer.blob == nil
        else { return }
        refusals.insert(index, refusing: request.refusalKey, now: now)
    }

    // MARK: Suspicion

    /// A TRANSFER that was sent to the proxy at `sentAt` was not answered in time. What was under way already when the
    /// one before timed out met the same pause of the proxy, and does not count again: with a hundred requests in flight
    /// three milliseconds would look like a hundred failures.
    package mutating func suspect(_ index: Int, sentAt: UInt64, now: UInt64) {
        if proxies[index].consecutiveTimeouts > 0, sentAt < proxies[index].timeoutCountedAt { return }
        proxies[index].timeoutCountedAt = now
        proxies[index].consecutiveTimeouts += 1
        let limit = configuration.crtp.choice.setAsideAfter
        guard limit > 0, proxies[index].consecutiveTimeouts >= limit, !proxies[index].isSuspect else { return }
        proxies[index].isSuspect = true
        proxies[index].probeAt = now + configuration.crtp.choice.probeMicroseconds
        suspectCount += 1
        log(.warning, "proxy set aside") {
            [("proxy", $0.proxies[index].configuration.name), ("timeouts", "\($0.proxies[index].consecutiveTimeouts)")]
        }
    }

    /// The proxy has answered in time, or is a new one.
    package mutating func trust(_ index: Int) {
        proxies[index].consecutiveTimeouts = 0
        guard proxies[index].isSuspect else { return }
        proxies[index].isSuspect = false
        suspectCount -= 1
        log(.info, "proxy asked again") { [("proxy", $0.proxies[index].configuration.name)] }
    }

    /// One of the proxies that were set aside is asked what it would do with this request, whoever gets it: no client
    /// waits for the answer, and one in time brings the proxy back.
    package mutating func probe(for request: TransferRequest, handle: FlowHandle, now: UInt64) {
        let needs = Capabilities(
            neededFor: request.transfer.connection, application: request.transfer.application)
        let due = selections[request.rule].candidates.first {
            proxies[$0].isSuspect && now >= proxies[$0].probeAt && proxies[$0].isAble(to: needs, now: now)
        }
        guard let due, pendingCount < pendingLimit, !transfers.isFull else { return }
        proxies[due].probeAt = now + configuration.crtp.choice.probeMicroseconds
        proxies[due].probes += 1
        var question = request
        question.transfer.isHeld = false
        question.transfer.wantsFirstByte = false
        question.isProbe = true
        begin(
            question, transaction: takeTransaction(for: due), proxy: due, handle: handle, isHeld: false, startedAt: now,
            limitMicroseconds: longestTimeoutMicroseconds, now: now)
    }
}
