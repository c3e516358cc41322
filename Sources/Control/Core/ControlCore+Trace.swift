internal import CRTP
package import InterCore
package import Wire

// What an operator follows. Callers look at `traces.isEmpty` first: nothing here runs while nobody traces.
extension ControlCore {
    /// Follows a target, from now on if it is new, and gives what is known after event number `after`. A new target
    /// begins with what is remembered of it: transfers under way or ended. Nil when there are too many targets.
    public mutating func trace(_ target: TraceTarget, after: UInt64, limit: Int, now: UInt64) -> TraceStatus? {
        guard let (place, isNew) = traces.follow(target, now: now) else { return nil }
        if isNew { recall(target, place) }
        let trace = traces.active[place]
        var status = TraceStatus()
        status.nowMicroseconds = now
        // Numbers that are not known belong to a trace that was forgotten: from its beginning.
        let end = trace.firstNumber + UInt64(trace.events.count)
        let after = after < end ? after : 0
        let first = max(after + 1, trace.firstNumber)
        status.dropped = trace.suppressed + (after > 0 && first > after + 1 ? first - after - 1 : 0)
        let events = trace.events[Int(first - trace.firstNumber)...].prefix(limit)
        status.last = first - 1 + UInt64(events.count)
        status.events = events.map { event in
            var row = TraceStatus.Event()
            row.atMicroseconds = event.at
            row.flow = "\(event.key)"
            row.transfer = event.transfer
            row.proxy = event.proxy
            row.event = event.event
            row.detail = event.detail
            return row
        }
        return status
    }

    /// The last transfers that ended, as far as they are the target's, oldest first.
    private mutating func recall(_ target: TraceTarget, _ place: Int) {
        for entry in Array(history.newestFirst).reversed() where target.covers(entry.key, transfer: entry.transaction) {
            let name = entry.formerProxy ?? proxies[entry.proxy].configuration.name
            func event(_ at: UInt64, _ what: String, _ detail: String) -> TraceEvent {
                TraceEvent(
                    at: at, key: entry.key, transfer: entry.transaction, proxy: name, event: what, detail: detail)
            }
            let request = entry.request?.summary(limit: TransferHistory.textLimit)
            let asked = entry.endedAt - min(entry.tookMicroseconds, entry.endedAt)
            traces.append(
                event(
                    asked, "asked",
                    request.map { "\($0.host)\($0.path), rule \($0.rule)" } ?? ""),
                to: place)
            traces.append(
                event(entry.endedAt, entry.isPassedOn ? "passed on" : "decided", entry.outcome.reason), to: place)
        }
    }

    // MARK: what happens, as events

    package mutating func traceRequest(
        _ request: HeldRequest, isHeld: Bool, payload: UnsafeRawBufferPointer, now: UInt64
    ) {
        guard traces.covers(request.connection.key, transfer: nil) else { return }
        func text(_ range: ByteRange) -> String {
            String(decoding: range.of(payload).prefix(TransferHistory.textLimit), as: UTF8.self)
        }
        let rules = configuration.rules.indices.prefix(64).filter { request.rules & (1 << UInt64($0)) != 0 }
            .map { configuration.rules[$0].name }
        traces.append(
            TraceEvent(
                at: now, key: request.connection.key, event: isHeld ? "held" : "observed",
                detail: "\(text(request.request.host))\(text(request.request.path)), \(request.heldLength) bytes, "
                    + "rules \(rules.joined(separator: ", "))"))
    }

    /// Something that happens to a connection without a transfer.
    package mutating func trace(_ key: FlowKey, _ event: String, _ detail: String, now: UInt64) {
        traces.append(TraceEvent(at: now, key: key, event: event, detail: detail))
    }

    package func isTraced(_ slot: Int) -> Bool {
        traces.covers(transfers[slot].key, transfer: transfers[slot].transaction)
    }

    /// The rule that decided, and what kept its other proxies from being asked.
    package mutating func traceSelection(_ request: TransferRequest, chosen: Int?, now: UInt64) {
        let key = request.transfer.connection.key
        guard traces.covers(key, transfer: nil), request.rulesGeneration == rulesGeneration else { return }
        let (rule, selection) = (configuration.rules[request.rule], selections[request.rule])
        let query = query(for: request, except: request.asked, now: now)
        let candidates = selection.candidates.map { index in
            let word = index == chosen ? "chosen" : obstacle(index, query) ?? "eligible"
            return "\(proxies[index].configuration.name) \(word)"
        }
        let detail = "\(selection.algorithm.name): \(candidates.joined(separator: ", "))"
        trace(key, "rule", rule.name, now: now)
        trace(key, "selection", detail, now: now)
    }

    /// An event of a transfer, and what the machine wants done about it.
    package mutating func traceStep(
        _ slot: Int, _ event: TransferEvent?, _ actions: [TransferAction], from before: TransferState, now: UInt64
    ) {
        guard isTraced(slot) else { return }
        let record = transfers[slot]
        func tell(_ what: String, _ detail: String) {
            traces.append(
                TraceEvent(
                    at: now, key: record.key, transfer: record.transaction,
                    proxy: proxies[record.proxy].configuration.name, event: what, detail: detail))
        }
        if let (what, detail) = event?.traced { tell(what, detail) }
        for action in actions { if let (what, detail) = action.traced { tell(what, detail) } }
        if record.machine.state != before { tell("state", "\(before.rawValue) to \(record.machine.state.rawValue)") }
    }
}

extension TransferEvent {
    /// nil for what the actions tell better.
    fileprivate var traced: (String, String)? {
        switch self {
        case .ack(let attempt): ("ACK", "to copy \(attempt + 1)")
        case .nack(let attempt, let reason): ("NACK", "\(reason), to copy \(attempt + 1)")
        case .firstByte: ("first byte", "the agent has read it")
        case .flowDone: ("flow done", "the agent says so")
        case .terminateResponse: ("TERMINATE answered", "")
        case .channelDown(let reason): ("channel down", reason.rawValue)
        case .committed: ("committed", "the held packets went to the proxy")
        case .aborted(let reason): ("aborted", "\(reason): the held packets went to the origin")
        case .flowEnded(let end): ("flow ended", "\(end)")
        case .requestRepeated: ("request again", "the client has no answer")
        case .timer: nil
        }
    }
}

extension TransferAction {
    /// nil for what is no news.
    fileprivate var traced: (String, String)? {
        switch self {
        case .transfer(let attempt, let valid): ("TRANSFER", "copy \(attempt + 1), valid for \(valid)us")
        case .handOff(let attempt): ("HANDOFF", "copy \(Int(attempt) + 1)")
        case .terminate(let cause): ("TERMINATE", "\(cause)")
        case .verdictOrigin: ("verdict", "origin")
        case .verdictProxy(let resetOrigin): ("verdict", resetOrigin ? "proxy" : "proxy, the origin's reset later")
        case .verdictHandOff: ("verdict", "proxy, unasked")
        case .resetOrigin: ("origin reset", "")
        case .disown: ("disowned", "the origin's reset ends it")
        case .countTimeout(let sentAt): ("timeout", "sent at \(sentAt)us")
        case .countLateACK: ("ACK late", "the origin has the request")
        case .countUnconfirmed: ("worker silent", "")
        case .countMisjudged(let reason): ("aborted after all", "\(reason)")
        case .countUnanswered: ("TERMINATE unanswered", "")
        case .countRefusedHandOff(let reason): ("HANDOFF refused", "\(reason)")
        case .decided(let outcome): ("decided", outcome.reason)
        case .sample(let microseconds): ("round trip", "\(microseconds)us")
        case .flowDone, .setTimer, .cancelTimer, .end: nil
        }
    }
}
