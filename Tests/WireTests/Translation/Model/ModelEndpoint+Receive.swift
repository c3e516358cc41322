extension ModelEndpoint {
    /// Takes what has come; gives what it answers.
    func receive(_ flight: Flight, now: Int) -> [Flight] {
        // A wrong checksum is damage, and gone.
        guard let segment = SegmentValue(frame: flight.frame) else { return [] }
        check(
            segment.source == view.destination && segment.destination == view.source
                && segment.sourcePort == view.destinationPort && segment.destinationPort == view.sourcePort,
            "a segment of another connection")
        guard isRecent(segment, flight, now: now) else { return [self.segment(next..<next, now: now)] }
        takeAcknowledgement(segment, flight, now: now)
        guard !segment.payload.isEmpty else { return [] }
        takePayload(segment, flight)
        return [self.segment(next..<next, now: now)]
    }

    private func check(_ isTrue: Bool, _ violation: @autoclosure () -> String) {
        if !isTrue { violations.append(violation()) }
    }

    /// Where a sequence number lies in a stream, by the nearest way from a place that is known.
    private func place(_ number: UInt32, behind initial: UInt32, near place: Int) -> Int {
        place + Int(Int32(bitPattern: number &- initial &- 1 &- UInt32(place)))
    }

    /// PAWS (RFC 7323 section 5.3). By the options it must come out as by the times that only the model knows.
    private func isRecent(_ segment: SegmentValue, _ flight: Flight, now: Int) -> Bool {
        var result = true
        for case .timestamps(let value, let echo) in segment.options {
            check(view.hasTimestamps, "timestamps that were not agreed on")
            let echoed = Int(echo &- view.clock)
            check(echoed <= now, "an echo of \(echo), which has not been sent")
            result = Int32(bitPattern: value &- recent.value) >= 0
            check(result == (flight.sentAt >= recent.sentAt), "PAWS by \(value), \(recent)")
            let sequence = place(segment.sequence, behind: view.irs, near: arrived)
            if result, sequence <= lastAcknowledgement { recent = (value, flight.sentAt) }
        }
        if !result { pawsRejections += 1 }
        return result
    }

    private func takeAcknowledgement(_ segment: SegmentValue, _ flight: Flight, now: Int) {
        let number = place(segment.acknowledgement, behind: view.iss, near: acknowledged)
        check(number >= 0 && number <= sent, "acknowledged \(number) of \(sent)")
        if number > acknowledged {
            acknowledged = min(number, sent)
            next = max(next, acknowledged)
            timer = now + 40
        }
        let unit = 1 << view.readScale
        let window = Int(segment.window) * unit
        let expected = flight.window == 0 ? 0 : max(min(flight.window / unit, 65_535), 1) * unit
        check(window == expected, "a window of \(window) for \(flight.window)")
        edge = max(edge, number + window)
        for case .sack(let edges) in segment.options {
            check(view.hasSACK, "a SACK that was not agreed on")
            for index in stride(from: 0, to: edges.count, by: 2) {
                let start = place(edges[index], behind: view.iss, near: acknowledged)
                let end = place(edges[index + 1], behind: view.iss, near: acknowledged)
                guard start >= 0, start < end, end <= sent, other.received[start..<end].allSatisfy({ $0 })
                else {
                    check(false, "SACK of \(start) to \(end), of \(sent)")
                    continue
                }
                for byte in start..<end { sacked[byte] = true }
            }
        }
    }

    /// Nothing outside the window is taken.
    private func takePayload(_ segment: SegmentValue, _ flight: Flight) {
        let start = place(segment.sequence, behind: view.irs, near: arrived)
        let end = start + segment.payload.count
        // A window of less than one unit of the other's scale was rounded up to one.
        let excess = (1 << other.view.readScale) - 1
        check(start >= 0 && end <= incoming.count, "bytes \(start) to \(end) of \(incoming.count)")
        check(end <= promised + excess || flight.isProbe, "bytes up to \(end), promised \(promised)")
        guard start >= 0, end <= incoming.count else { return }
        if received[start..<end].contains(true), received[start] {
            duplicate = start..<(received[start..<end].firstIndex(of: false) ?? end)
        }
        for place in start..<end where place < promised && !received[place] {
            received[place] = true
            incoming[place] = segment.payload[place - start]
        }
        while arrived < received.count, received[arrived] { arrived += 1 }
    }
}
