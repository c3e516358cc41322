package import CRTP
package import InterCore
internal import Wire

// Requests whose proxies have too much to do just now: they wait in line, held, for a short time.
extension ControlCore {
    /// No proxy could be asked. True when the request waits now for one that is busy; its place may have cost another
    /// one its own.
    package mutating func wait(_ request: TransferRequest, handle: FlowHandle, now: UInt64) -> Bool {
        guard queue.limit > 0, isAnyBusy(for: request, now: now) else { return false }
        if !traces.isEmpty { trace(request.transfer.connection.key, "waits", "for a busy proxy", now: now) }
        if let shed = queue.append(RequestQueue.Waiting(handle: handle, request: request, since: now)) {
            self.shed(shed, now: now)
        }
        return true
    }

    /// True when some proxy would do, if only it had fewer transfers under way or rested no more.
    private func isAnyBusy(for request: TransferRequest, now: UInt64) -> Bool {
        let needs = query(for: request, except: ProxySet(), now: now).needs
        let refusers = refusals.refusers(of: request.refusalKey, now: now)
        let patience = now + queue.patienceMicroseconds
        return selections[request.rule].usable.contains { index in
            !refusers.contains(index) && !proxies[index].isSuspect && proxies[index].restsUntil < patience
                && proxies[index].canGoOn(with: needs)
        }
    }

    /// Lets go who has waited too long, then serves in order as long as proxies can be asked.
    package mutating func serveQueue(now: UInt64) {
        lastServed = now
        while let expired = queue.removeExpired(now: now) { shed(expired, now: now) }
        var blocked = ProxySet()
        while pendingCount < pendingLimit, !transfers.isFull, let rule = queue.nextRule({ !blocked.contains($0) }),
            let first = queue.first(rule)
        {
            guard let proxy = choose(for: first.request, except: ProxySet(), now: now) else {
                // Those behind it want the same proxies.
                blocked.insert(rule)
                continue
            }
            _ = queue.removeFirst(rule)
            var request = first.request
            request.asked.insert(proxy)
            if !traces.isEmpty { traceSelection(request, chosen: proxy, now: now) }
            let end = first.since + longestTimeoutMicroseconds
            begin(
                request, transaction: takeTransaction(for: proxy), proxy: proxy, handle: first.handle, isHeld: true,
                startedAt: first.since, limitMicroseconds: end - min(now, end), now: now)
        }
    }

    /// When `serveQueue` is to look again if nothing comes: somebody's patience ends, or a proxy has rested.
    package var queueDeadline: UInt64? {
        guard let deadline = queue.nextDeadline else { return nil }
        return proxies.indices.reduce(deadline) { earliest, index in
            let rested = proxies[index].restsUntil
            return rested > lastServed ? min(earliest, rested) : earliest
        }
    }

    /// Rules have changed: who waits for one that is still there keeps the place, the others go to the origin.
    package mutating func renewQueue(now: UInt64) {
        var waiting: [RequestQueue.Waiting] = []
        while let rule = queue.nextRule({ _ in true }), let first = queue.removeFirst(rule) { waiting.append(first) }
        queue = makeQueue()
        for var one in waiting {
            let rule = configuration.rules.firstIndex { $0.name == one.request.ruleName && $0.match.mode != .off }
            guard let rule else {
                counters.add(.noRule)
                command(.verdict(one.handle, .origin), for: one.handle)
                continue
            }
            one.request.rule = rule
            one.request.rulesGeneration = rulesGeneration
            if let shed = queue.append(one) { self.shed(shed, now: now) }
        }
    }

    package func makeQueue() -> RequestQueue {
        RequestQueue(
            limit: configuration.crtp.queue.requests,
            patienceMicroseconds: configuration.crtp.queue.patienceMicroseconds,
            priorities: configuration.rules.map(\.priority))
    }

    private mutating func shed(_ waiting: RequestQueue.Waiting, now: UInt64) {
        counters.add(.shed)
        if !traces.isEmpty { trace(waiting.request.transfer.connection.key, "to origin", "shed", now: now) }
        shedByRule[waiting.request.rule] += 1
        decisionTimes.add(now - min(waiting.since, now))
        command(.verdict(waiting.handle, .origin), for: waiting.handle)
        log(.debug, "request to origin") {
            [
                ("flow", "\(waiting.request.transfer.connection.key)"), ("reason", "shed"),
                ("rule", $0.configuration.rules[waiting.request.rule].name),
            ]
        }
    }
}
