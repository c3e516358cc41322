// A receipt comes.
extension BlobSender {
    /// `attempt` is the frame's: with the receipt's index it says which copy is answered.
    package mutating func receive(_ receipt: BlobReceipt, attempt: UInt8, now: UInt64) {
        counters.receipts += 1
        guard let index = blobs.firstIndex(where: { $0.identifier == receipt.blob }) else {
            counters.unknownReceipts += 1
            return
        }
        guard blobs[index].isCopy(attempt, of: Int(receipt.index)) else {
            counters.staleReceipts += 1
            return
        }
        counters.used += 1
        heardAt = now
        isProbing = false
        func isAnswered(_ flight: Flight) -> Bool {
            flight.blob == receipt.blob && flight.index == Int(receipt.index) && flight.attempt == attempt
        }
        let answered = flights.first(where: isAnswered) ?? givenUp.first(where: isAnswered)
        if let answered { timer.sample(now >= answered.sentAt ? now - answered.sentAt : 0) }
        switch receipt.state {
        case .receiving: merge(receipt, index, answered: answered, now: now)
        case .complete:
            lastProgress = now
            settle(flights.count { $0.blob == receipt.blob }, answered.map { [$0] } ?? [])
            counters.delivered += 1
            actions.append(.delivered(receipt.blob))
            remove(receipt.blob)
        case .refused(.checksum) where !blobs[index].wasDamaged: beginAnew(index, isDamaged: true, now: now)
        case .refused(let reason):
            counters.refused += 1
            actions.append(.failed(receipt.blob, .refused(reason)))
            remove(receipt.blob)
        }
        noticeLosses(now)
        pump(now)
    }

    private mutating func merge(_ receipt: BlobReceipt, _ index: Int, answered: Flight?, now: UInt64) {
        let news = blobs[index].merge(receipt, now: now)
        lastProgress = max(lastProgress, blobs[index].lastProgress)
        let blob = blobs[index]
        let landed = flights.filter { $0.blob == receipt.blob && blob.isReceived($0.index) }
        flights.removeAll { $0.blob == receipt.blob && blob.isReceived($0.index) }
        // Of a fragment that was sent twice only the answer tells which copy has arrived.
        let known = landed.filter { $0.attempt == blob.firstAttempt || $0.order == answered?.order }
        if news > 0 { settle(landed.count, known) }
        // It would have said so.
        if blob.received == blob.count { beginAnew(index, isDamaged: false, now: now) }
    }

    /// Something has been received that had not been before; `landed` of it were under way.
    private mutating func settle(_ landed: Int, _ known: [Flight]) {
        timer.settle()
        window.received(landed)
        for flight in known { note(flight) }
    }

    private mutating func note(_ flight: Flight) {
        arrivals.note(flight.order)
        guard let index = blobs.firstIndex(where: { $0.identifier == flight.blob }) else { return }
        blobs[index].arrivals.note(flight.order)
    }

    /// A copy is lost when three that were sent later have arrived. Copies of other blobs count only when they were sent
    /// behind the last one of its own blob: until then up to three of them may have arrived without a receipt.
    private mutating func noticeLosses(_ now: UInt64) {
        guard let oldest = flights.first, arrivals.haveOvertaken(oldest.order) else { return }
        func isLost(_ flight: Flight) -> Bool {
            guard let blob = blobs.first(where: { $0.identifier == flight.blob }) else { return true }
            return blob.arrivals.haveOvertaken(flight.order)
                || blob.isSent && arrivals.haveOvertaken(blob.lastOrder)
        }
        let lost = flights.filter(isLost)
        guard !lost.isEmpty else { return }
        var hasHalved = false
        for flight in lost {
            counters.overtaken += 1
            if window.lost(order: flight.order, next: nextOrder) { hasHalved = true }
            giveUp(flight)
        }
        flights.removeAll { flight in lost.contains { $0.order == flight.order } }
        // The first of them does not wait until the window has emptied to its half (RFC 5681 section 3.2, step 3).
        if hasHalved { transmitNext(now) }
    }

    private mutating func beginAnew(_ index: Int, isDamaged: Bool, now: UInt64) {
        counters.restarts += 1
        let identifier = blobs[index].identifier
        flights.removeAll { $0.blob == identifier }
        blobs[index].beginAnew(isDamaged: isDamaged, now: now)
    }
}
