package import CRTP
package import InterCore
package import Wire

// Flows that agents have and this director does not know: after a restart (rule 6 of a transfer).
extension ControlCore {
    package mutating func announced(
        _ key: FlowKey, transfer: UInt32, label: FlowLabel? = nil, transaction: UInt32, _ index: Int, now: UInt64
    ) {
        counters.add(.announcedFlows)
        if proxies[index].announcement == .underWay {
            if proxies[index].announced.count < InstallTable.capacity {
                proxies[index].announced[transaction] = transfer
            }
            // Connections that begin meanwhile are told in the same words, so the pause that says that the end was lost may
            // never come.
            proxies[index].announcementDeadline = min(
                now + ProxyRecord.announcementPatienceMicroseconds,
                proxies[index].announcementStartedAt + ProxyRecord.longestAnnouncementMicroseconds)
        }
        if configuration.role == .forwarder { flowQueries.found(key) }
        // A straggler from before the flow's end must not bring it back.
        if endedFlows.contains(proxy: index, transfer: transfer) { return }
        // Known, or being installed: a channel that was down for a while announces everything again.
        if transfers.slot(proxy: index, transaction: transfer) != nil { return }
        if installs.isAwaited(proxy: index, transfer: transfer) { return }
        guard !transfers.isFull, let ticket = installs.insert(proxy: index, transfer: transfer, key: key) else {
            counters.add(.refusedFlows)
            return
        }
        let owner = flowOwner(of: key, seed: hashSeed, workerCount: workerCount)
        let name = label.map { FlowName(identifier: $0.identifier, generation: $0.generation) } ?? .none
        actions.append(.command(.installFlow(key, proxies[index].index, ticket: ticket, name: name), worker: owner))
    }

    package mutating func announcementEnded(count: UInt32, transaction: UInt32, _ index: Int, now: UInt64) {
        guard proxies[index].announcement == .underWay else { return }
        // An announcement's transactions are consecutive: its own are the last `count` before its end.
        let own = proxies[index].announced.filter { transaction &- $0.key &- 1 < count }
        let received = own.count
        proxies[index].announcementDeadline = nil
        proxies[index].announcement = received >= count ? .complete : .incomplete
        let fields: [(name: String, value: String)] = [
            ("proxy", proxies[index].configuration.name), ("flows", "\(received)"), ("announced", "\(count)"),
        ]
        if received < count {
            counters.add(.announcementsIncomplete)
            log(.warning, "announcement of flows incomplete") { _ in fields }
            announceAgain(index, now: now)
        } else {
            proxies[index].announced = [:]
            endUnannounced(Set(own.values), index, now: now)
            log(.info, "flows announced") { _ in fields }
        }
        if isRecovering, proxies.allSatisfy({ $0.phase != .active || $0.announcement == .complete }) {
            endRecovery("all flows announced")
        }
    }

    package mutating func awaitAnnouncement(_ index: Int, now: UInt64) {
        proxies[index].announcement = .underWay
        proxies[index].announcementStartedAt = now
        proxies[index].announced = [:]
        proxies[index].announcementDeadline = now + ProxyRecord.announcementPatienceMicroseconds
        proxies[index].announcementTries += 1
    }

    /// Flows that the agent does not have any more, and whose FLOW_DONE it gave up telling while the channel was down.
    /// A young flow may be missing because its adoption has not read the request yet; a forwarder knows of none before.
    private mutating func endUnannounced(_ announced: Set<UInt32>, _ index: Int, now: UInt64) {
        let startedAt = proxies[index].announcementStartedAt
        let young = configuration.role == .forwarder ? 0 : ProxyRecord.unannouncedMicroseconds
        var ended = 0
        for slot in Array(transfers.slotsInUse)
        where transfers[slot].proxy == index && transfers[slot].machine.state == .committed
            && !transfers[slot].machine.isOfDatagrams
        {
            let age = startedAt - min(transfers[slot].committedAt, startedAt)
            guard age > young, !announced.contains(transfers[slot].transaction) else {
                continue
            }
            drive(slot: slot, .flowDone, now: now)
            ended += 1
        }
        guard ended > 0 else { return }
        log(.info, "flows ended unannounced") {
            [("proxy", $0.proxies[index].configuration.name), ("flows", "\(ended)")]
        }
    }

    /// Some of an announcement was lost, or its end: once more from the start. What is known already stays as it is.
    package mutating func announceAgain(_ index: Int, now: UInt64) {
        proxies[index].announcementDeadline = nil
        guard proxies[index].announcementTries < ProxyRecord.announcementLimit else { return }
        awaitAnnouncement(index, now: now)
        proxies[index].channel.reinitiate(now: now)
        drainChannel(index, now: now)
    }

    package mutating func endRecovery(_ reason: String) {
        isRecovering = false
        commandAll(.recoveryEnded)
        log(.info, "recovery ended") { _ in [("reason", reason)] }
    }

    package mutating func flowInstalled(_ handle: FlowHandle, ticket: UInt32, now: UInt64) {
        guard let install = installs.take(ticket: ticket) else { return counters.add(.strayEvent) }
        if install.end != nil || transfers.isFull || transfers.slot(handle: handle) != nil {
            command(install.end == .disowned ? .disown(handle) : .flowDone(handle), for: handle)
            return
        }
        let machine = TransferMachine(announcedWith: TransferTiming(timeoutMicroseconds: 0))
        let slot = transfers.insert(
            TransferRecord(
                machine: machine, transaction: install.transfer, proxy: install.proxy, handle: handle, key: install.key,
                request: nil, startedAt: now))
        count(slot, from: nil, to: transfers[slot].machine.state)
        counters.add(.announced)
        log(.debug, "flow installed") {
            [
                ("transfer", "\(install.transfer)"), ("flow", "\(install.key)"),
                ("proxy", $0.proxies[install.proxy].configuration.name),
            ]
        }
    }

    package mutating func flowRefused(ticket: UInt32) {
        guard let install = installs.take(ticket: ticket) else { return counters.add(.strayEvent) }
        counters.add(.refusedFlows)
        log(.warning, "flow refused by worker") { _ in
            [("transfer", "\(install.transfer)"), ("flow", "\(install.key)")]
        }
    }
}
