package import CRTP
package import InterCore
internal import Wire

// One TRANSFER for all members of a group, and no selection: the first that accepts gets the request, the others are
// called back. Each member has a transfer of its own, all with one transaction; they share the hold, which at any time
// belongs to one of those that are still asked. `TransferMachine.md` says why that is a second try that begins at once.
extension ControlCore {
    /// A new session of the group, as at the start and with each key. Members are those who say that they know it.
    package mutating func renewGroup() {
        guard let settings = configuration.crtp.multicast else { return }
        var random = SystemRandomNumberGenerator()
        group = GroupSender(
            endpoint: settings.group, keys: keys.ring, senderID: senderID,
            protection: configuration.crtp.channel.protection, random: &random)
        for index in proxies.indices {
            proxies[index].isInGroup = false
            proxies[index].channel.group = group?.description
        }
    }

    /// Asks all members at once. False when there are not two that could take the request: one is asked alone then.
    package mutating func askGroup(_ request: TransferRequest, handle: FlowHandle, now: UInt64) -> Bool {
        guard let group, selections[request.rule].algorithm == .multicast else { return false }
        if group.isWornOut { renewGroup() }
        let needs = Capabilities(neededFor: request.transfer.connection, application: request.transfer.application)
        let refusers = refusals.refusers(of: request.refusalKey, now: now)
        let members = proxies.indices.filter { proxies[$0].isUp && proxies[$0].isInGroup }
        let wanted = members.filter { proxies[$0].canGoOn(with: needs) && !refusers.contains($0) }
        guard wanted.count > 1, transfers.count + members.count <= transfers.capacity else { return false }
        var asked = request
        for index in members { asked.asked.insert(index) }
        let transaction = takeTransaction(for: members)
        asked.transfer.connectionID = UInt64(senderID) << 32 | UInt64(transaction)
        let timing = groupTiming(of: wanted)
        var slots: [Int] = []
        for index in wanted + members.filter({ !wanted.contains($0) }) {
            let machine = TransferMachine(
                isHeld: true, wantsFirstByte: asked.transfer.wantsFirstByte,
                isOfDatagrams: asked.transfer.application.isOverUDP, timing: timing)
            let slot = transfers.insert(
                TransferRecord(
                    machine: machine, transaction: transaction, proxy: index, handle: handle,
                    key: asked.transfer.connection.key, request: asked, startedAt: now))
            transfers.releaseHandle(at: slot)
            count(slot, from: nil, to: .asking)
            slots.append(slot)
        }
        transfers.claimHandle(at: slots[0])
        for slot in slots { transfers[slot].siblings = slots }
        // Whoever hears TRANSFER without being wanted is called back before.
        for slot in slots.dropFirst(wanted.count) { dismiss(slot, now: now) }
        for slot in slots.prefix(wanted.count) { drive(slot: slot, nil, now: now) }
        return true
    }

    /// Long enough for the slowest that is worth waiting for.
    private func groupTiming(of members: [Int]) -> TransferTiming {
        let trusted = members.filter { !proxies[$0].isSuspect }
        let estimators = (trusted.isEmpty ? members : trusted).map { proxies[$0].estimator }
        return TransferTiming(
            timeoutMicroseconds: min(estimators.map(\.timeoutMicroseconds).max() ?? 0, longestTimeoutMicroseconds),
            retransmissionMicroseconds: estimators.compactMap(\.retransmissionMicroseconds).max())
    }

    /// A number that names no transfer of any of these proxies.
    private mutating func takeTransaction(for members: [Int]) -> UInt32 {
        while true {
            let transaction = takeTransaction(for: members[0])
            let isFree = members.dropFirst().allSatisfy { index in
                transfers.slot(proxy: index, transaction: transaction) == nil
                    && !installs.isAwaited(proxy: index, transfer: transaction)
                    && !endedFlows.contains(proxy: index, transfer: transaction)
            }
            if isFree { return transaction }
        }
    }

    /// Those of the same request whose members are still asked, in order.
    private func askedSiblings(of slot: Int) -> [Int] {
        transfers[slot].siblings.filter { sibling in
            sibling != slot && transfers.contains(slot: sibling)
                && transfers[sibling].transaction == transfers[slot].transaction
                && transfers[sibling].machine.state == .asking
        }
    }

    /// All machines of a group want the same copy of TRANSFER at the same time: one sends it, to all.
    package mutating func sendToGroup(_ frame: Frame, from slot: Int) {
        let siblings = transfers[slot].siblings
        let isFirst = askedSiblings(of: slot).allSatisfy { other in
            (siblings.firstIndex(of: slot) ?? 0) < (siblings.firstIndex(of: other) ?? 0)
        }
        guard isFirst, let endpoint = group?.description.endpoint, let datagram = group?.send(frame) else { return }
        counters.add(.sent)
        actions.append(.transmit(datagram, to: endpoint))
    }

    /// A member refused or is silent, and others are still asked: it leaves, without a word to the worker.
    package mutating func leaveGroup(_ slot: Int, _ event: TransferEvent, now: UInt64) -> Bool {
        guard let heir = askedSiblings(of: slot).first else { return false }
        if transfers.slot(handle: transfers[slot].handle) == slot {
            transfers.releaseHandle(at: slot)
            transfers.claimHandle(at: heir)
        }
        stopAsking(slot, event, now: now)
        return true
    }

    /// One member's transfer has the hold for good, or its worker has ended it: the others' are over.
    package mutating func dismissSiblings(of slot: Int, now: UInt64) {
        let others = askedSiblings(of: slot)
        if transfers.slot(handle: transfers[slot].handle) != slot {
            for sibling in others { transfers.releaseHandle(at: sibling) }
            transfers.claimHandle(at: slot)
        }
        for sibling in others { dismiss(sibling, now: now) }
    }

    private mutating func dismiss(_ slot: Int, now: UInt64) {
        transfers[slot].isDismissed = true
        stopAsking(slot, .channelDown(.silent), now: now)
    }

    private mutating func stopAsking(_ slot: Int, _ event: TransferEvent, now: UInt64) {
        var wanted: [TransferAction] = []
        let before = transfers[slot].machine.state
        _ = transfers[slot].machine.passOn(event, now: now, into: &wanted)
        count(slot, from: before, to: transfers[slot].machine.state)
        for action in wanted { _ = perform(action, slot, now: now) }
        transfers[slot].request = nil
        dropRecallBeyondBound(slot, before: before, now: now)
    }
}
