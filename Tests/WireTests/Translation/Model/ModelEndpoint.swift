/// One end of a TCP connection, to the byte: window, retransmission, SACK with D-SACK (RFC 2018, RFC 2883), timestamps with
/// PAWS (RFC 7323). It lives in its own view of the connection and says so whenever what arrives cannot be true there.
///
/// Places in a stream count from 0, the first byte behind the SYN.
final class ModelEndpoint {
    /// This end as it knows the connection.
    struct View {
        var source: [UInt8]
        var destination: [UInt8]
        var sourcePort: UInt16
        var destinationPort: UInt16
        var vlan: UInt16?
        /// Initial sequence numbers: its own and the other's.
        var iss: UInt32
        var irs: UInt32
        /// Its clock at the handshake, and what it was told of the other's.
        var clock: UInt32
        var otherClock: UInt32
        /// Shift of the windows that it sends, and of those that it reads.
        var sendScale: Int
        var readScale: Int
        var hasSACK: Bool
        var hasTimestamps: Bool
    }

    /// A segment on its way, with what only its sender knows.
    struct Flight {
        var frame: [UInt8]
        var sentAt: Int
        /// In bytes.
        var window: Int
        var isProbe = false
    }

    let view: View
    let outgoing: [UInt8]
    let segmentSize: Int
    let capacity: Int
    unowned var other: ModelEndpoint!
    var random: RandomSegments
    var violations: [String] = []
    var pawsRejections = 0

    // What it sends.
    var acknowledged = 0
    var next = 0
    /// One behind the last byte that has ever been sent.
    var sent = 0
    var sacked: [Bool]
    /// Right edge of the other's window.
    var edge: Int
    var timer = 0

    // What it receives.
    var incoming: [UInt8] = []
    var received: [Bool] = []
    /// Contiguous up to here.
    var arrived = 0
    /// Read by the application up to here.
    var consumed = 0
    /// Right edge of its own window, never taken back.
    var promised: Int
    var duplicate: Range<Int>?
    var lastAcknowledgement = 0
    /// TS.Recent, and when it was really sent.
    var recent: (value: UInt32, sentAt: Int)

    init(
        _ view: View, sends outgoing: [UInt8], receives count: Int, segmentSize: Int, capacity: Int,
        otherCapacity: Int, seed: UInt64
    ) {
        self.view = view
        self.outgoing = outgoing
        self.segmentSize = segmentSize
        self.capacity = capacity
        random = RandomSegments(seed: seed)
        sacked = [Bool](repeating: false, count: outgoing.count)
        incoming = [UInt8](repeating: 0, count: count)
        received = [Bool](repeating: false, count: count)
        // The windows of SYN and SYN/ACK have no scale.
        edge = min(otherCapacity, 65_535)
        promised = min(capacity, 65_535)
        recent = (view.otherClock, 0)
    }

    var isDone: Bool { acknowledged == outgoing.count && consumed == incoming.count }

    /// What it has to send at this moment.
    func act(now: Int) -> [Flight] {
        var flights: [Flight] = []
        while next < min(edge, outgoing.count, acknowledged + 8 * segmentSize) {
            let end = min(next + segmentSize, edge, outgoing.count)
            flights.append(segment(next..<end, now: now))
            next = end
            timer = now + 40
        }
        sent = max(sent, next)
        if now >= timer, acknowledged < outgoing.count {
            flights += next > acknowledged ? retransmit(now: now) : [probe(now: now)]
            timer = now + 40
        }
        if consume() { flights.append(segment(next..<next, now: now)) }
        return flights
    }

    /// The first two pieces that nobody has told of.
    private func retransmit(now: Int) -> [Flight] {
        var flights: [Flight] = []
        var start = acknowledged
        while start < next, flights.count < 2 {
            guard !sacked[start] else {
                start += 1
                continue
            }
            var end = start
            while end < min(next, start + segmentSize), !sacked[end] { end += 1 }
            flights.append(segment(start..<end, now: now))
            start = end
        }
        return flights
    }

    /// One byte beyond a closed window (RFC 9293 section 3.8.6.1).
    private func probe(now: Int) -> Flight {
        sent = max(sent, next + 1)
        var flight = segment(next..<next + 1, now: now)
        flight.isProbe = true
        return flight
    }

    /// The application reads. True when that opens the window far enough to tell (RFC 9293 section 3.8.6.2.2).
    private func consume() -> Bool {
        if arrived > consumed, random.chance(30) { consumed += random.number(1...arrived - consumed) }
        let isWorthIt = consumed + capacity - promised >= min(capacity / 2, segmentSize)
        if isWorthIt { promised = consumed + capacity }
        return isWorthIt
    }

    func segment(_ range: Range<Int>, now: Int) -> Flight {
        lastAcknowledgement = arrived
        let window = min((promised - arrived) >> view.sendScale, 65_535)
        let value = SegmentValue(
            source: view.source, destination: view.destination, vlan: view.vlan,
            sourcePort: view.sourcePort,
            destinationPort: view.destinationPort, sequence: view.iss &+ 1 &+ UInt32(range.lowerBound),
            acknowledgement: view.irs &+ 1 &+ UInt32(arrived), flags: range.isEmpty ? 0x10 : 0x18,
            window: UInt16(window), options: options(now: now), payload: Array(outgoing[range]))
        return Flight(frame: value.frame, sentAt: now, window: window << view.sendScale)
    }

    // MARK: options

    /// At any offset.
    private func options(now: Int) -> [OptionValue] {
        var options: [OptionValue] = []
        func pad(_ count: Int) { options += [OptionValue](repeating: .noOperation, count: count) }
        if view.hasTimestamps {
            pad(random.number(0...3))
            options.append(.timestamps(view.clock &+ UInt32(now), recent.value))
        }
        let blocks = view.hasSACK ? sackBlocks().prefix(view.hasTimestamps ? 2 : 4) : []
        if !blocks.isEmpty {
            pad(random.number(0...3))
            options.append(
                .sack(
                    blocks.flatMap { [$0.lowerBound, $0.upperBound].map { view.irs &+ 1 &+ UInt32($0) } }))
        }
        pad((4 - options.reduce(0) { $0 + $1.bytes.count } % 4) % 4)
        duplicate = nil
        return options
    }

    /// What came twice, then what lies behind a gap.
    private func sackBlocks() -> [Range<Int>] {
        var blocks: [Range<Int>] = duplicate.map { [$0] } ?? []
        var start = arrived
        while start < received.count {
            guard received[start] else {
                start += 1
                continue
            }
            let end = received[start...].firstIndex(of: false) ?? received.count
            blocks.append(start..<end)
            start = end
        }
        return blocks
    }
}
