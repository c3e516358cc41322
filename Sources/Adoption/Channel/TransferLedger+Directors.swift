package import CRTP
package import Wire

// Channels that come and go: whose the connections are, what is announced, and ends that could not be told.
extension TransferLedger {
    /// A director has opened a channel: it is told of every connection that lives here by its doing. The director may
    /// have started anew, so its former answers mean nothing now. An address is one director: a killed one comes back by
    /// another port long before its old channel counts as silent, and must hear of its connections at once (rule 6).
    ///
    /// A forwarder is told of all connections, and of what becomes of them.
    package mutating func up(_ director: Endpoint, isForwarder: Bool = false) {
        let isDirectors = { (endpoint: Endpoint) in endpoint.address == director.address }
        directors = directors.filter { !isDirectors($0) }
        directors.insert(director)
        forwarders = forwarders.filter { !isDirectors($0) }
        if isForwarder {
            forwarders.insert(director)
            hasMetForwarders = true
        }
        answers = answers.filter { !isDirectors($0.key.director) }
        answerOrder.removeAll { isDirectors($0.director) }
        inherit(director)
        announce(to: director)
    }

    /// A director's channel is down. If it came back by another port before that was noticed, its connections are
    /// announced there.
    package mutating func down(_ director: Endpoint) {
        directors.remove(director)
        forwarders.remove(director)
        announcements[director] = nil
        let others = directors.filter { $0.address == director.address }
        if others.count == 1, let other = others.first, inherit(other) { announce(to: other) }
    }

    /// True for an endpoint of the director's address that has no channel: it was the director's before.
    private func isOrphaned(_ endpoint: Endpoint, _ director: Endpoint) -> Bool {
        endpoint.address == director.address && !directors.contains(endpoint)
    }

    /// What other endpoints of the director have left becomes the director's. False when there was nothing.
    @discardableResult
    private mutating func inherit(_ director: Endpoint) -> Bool {
        var isHeir = false
        for (number, adoption) in adoptions where isOrphaned(adoption.key.director, director) {
            move(number, to: director)
            isHeir = true
        }
        for (transaction, ending) in endings {
            if isOrphaned(ending.director, director) { endings[transaction]?.director = director }
            if endings[transaction]?.director == director { endings[transaction]?.next = 0 }
        }
        return isHeir
    }

    private mutating func announce(to director: Endpoint) {
        let isForwarder = forwarders.contains(director)
        let committed = adoptions.filter {
            $0.value.phase == .committed && (isForwarder || $0.value.key.director == director)
        }
        let flows = committed.map { number, adoption in
            isForwarder
                ? (key: adoption.connection.key, transfer: mapping(of: number), label: label(of: number))
                : (key: adoption.connection.key, transfer: adoption.key.transaction, label: nil)
        }
        // Consecutive transactions, whatever is told meanwhile.
        announcements[director] = Announcement(flows: flows, firstTransaction: nextTransaction)
        nextTransaction &+= UInt32(flows.count) &+ 1
        announceMore()
    }

    /// Something is still to be announced: `announceMore` is due.
    package var isAnnouncing: Bool { !announcements.isEmpty }

    /// The next burst of each announcement. A connection that has ended since the announcement began is named
    /// nevertheless: its FLOW_DONE is told as well.
    package mutating func announceMore() {
        for (director, announcement) in announcements {
            let count = announcement.flows.count
            let end = min(announcement.told + limits.announcementBurst, count)
            for index in announcement.told..<end {
                let (key, transfer, label) = announcement.flows[index]
                let frame = Frame(
                    .flowInformation(key, transfer: transfer, label: label),
                    transaction: announcement.firstTransaction &+ UInt32(index))
                actions.append(.send(frame, to: director))
            }
            announcements[director]?.told = end
            guard end == count else { continue }
            let frame = Frame(
                .flowInformationEnd(count: UInt32(count)),
                transaction: announcement.firstTransaction &+ UInt32(count))
            actions.append(.send(frame, to: director))
            announcements[director] = nil
        }
    }

    /// There was no channel for a frame that was to be sent. An end is told when there is one: this was no try.
    package mutating func unsent(_ frame: Frame, to director: Endpoint, now: UInt64) {
        guard let ending = endings[frame.transaction], ending.director == director,
            ending.frame.message == frame.message
        else { return }
        endings[frame.transaction]?.tries = max(0, ending.tries - 1)
        endings[frame.transaction]?.next = now + limits.unsentRetry
    }

    private mutating func move(_ number: UInt64, to director: Endpoint) {
        guard let key = adoptions[number]?.key else { return }
        if numbers[key] == number { numbers[key] = nil }
        let moved = Key(director: director, transaction: key.transaction)
        adoptions[number]?.key = moved
        numbers[moved] = number
    }
}
