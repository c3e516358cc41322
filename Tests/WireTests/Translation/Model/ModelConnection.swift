import Wire

/// A client and a server that shook hands with somebody else each, and between them, on an unreliable way, what
/// translates.
struct ModelConnection {
    /// Per cent of the segments, on each of the two legs.
    struct Conditions {
        var loss = 0
        var duplication = 0
        /// One bit of the TCP segment, turned over.
        var damage = 0
        /// Steps that a segment takes, at most; above 1 they overtake each other.
        var delay = 1
    }

    private struct Travelling {
        var flight: ModelEndpoint.Flight
        var arrival: Int
        var isFromClient: Bool
        var isTranslated: Bool
        var isDamaged = false
    }

    let client: ModelEndpoint
    let server: ModelEndpoint
    private let translation: Translation
    private let clientKey: FlowKey
    private let serverKey: FlowKey
    private let conditions: Conditions
    private var random: RandomSegments
    private var travelling: [Travelling] = []
    /// Undamaged frames that were refused.
    private var refused: [String] = []
    private(set) var steps = 0

    init(seed: UInt64, _ conditions: Conditions) {
        self.conditions = conditions
        var random = RandomSegments(seed: seed)
        let (told, agreed) = random.modelViews()
        let isV6 = random.chance(50)
        let vlan = random.chance(40) ? UInt16(random.number(0...4_095)) : nil
        let ends = (0..<4).map { _ in (random.address(isV6: isV6), random.port()) }
        let (clientISS, clientClock) = (random.circular(), random.circular())

        func view(
            _ view: Translation.View, isClient: Bool, from source: ([UInt8], UInt16),
            to other: ([UInt8], UInt16)
        )
            -> ModelEndpoint.View
        {
            let options = view.options
            let scales =
                options.windowScale
                ? (Int(options.clientWindowScale), Int(options.serverWindowScale)) : (0, 0)
            let (serverISS, serverClock) = (view.serverSequence.value, view.serverTimestamp)
            return ModelEndpoint.View(
                source: source.0, destination: other.0, sourcePort: source.1, destinationPort: other.1,
                vlan: vlan,
                iss: isClient ? clientISS : serverISS, irs: isClient ? serverISS : clientISS,
                clock: isClient ? clientClock : serverClock,
                otherClock: isClient ? serverClock : clientClock,
                sendScale: isClient ? scales.0 : scales.1, readScale: isClient ? scales.1 : scales.0,
                hasSACK: options.sack, hasTimestamps: options.timestamps)
        }
        let clientView = view(told, isClient: true, from: ends[0], to: ends[1])
        let serverView = view(agreed, isClient: false, from: ends[3], to: ends[2])
        let request = random.bytes(random.number(1...4_000))
        let response = random.bytes(random.number(1...8_000))
        let clientCapacity = max(random.number(200...2_000), 3 << clientView.sendScale)
        let serverCapacity = max(random.number(200...2_000), 3 << serverView.sendScale)
        let segmentSize = random.number(40...150)
        client = ModelEndpoint(
            clientView, sends: request, receives: response.count, segmentSize: segmentSize,
            capacity: clientCapacity,
            otherCapacity: serverCapacity, seed: seed &+ 1)
        server = ModelEndpoint(
            serverView, sends: response, receives: request.count, segmentSize: segmentSize,
            capacity: serverCapacity,
            otherCapacity: clientCapacity, seed: seed &+ 2)
        client.other = server
        server.other = client
        translation = Translation(client: told, server: agreed)
        clientKey = FlowKey(client: ends[0], server: ends[1])
        serverKey = FlowKey(client: ends[2], server: ends[3])
        self.random = random
    }

    /// What was not so in somebody's view.
    var violations: [String] { refused + client.violations + server.violations }

    /// Runs until both have everything, something is not so, or nothing more is to be hoped for.
    mutating func run() {
        while steps < 40_000, !(client.isDone && server.isDone), violations.isEmpty {
            steps += 1
            let due = travelling.filter { $0.arrival <= steps }
            travelling.removeAll { $0.arrival <= steps }
            for one in due { arrive(one) }
            send(client.act(now: steps), isFromClient: true)
            send(server.act(now: steps), isFromClient: false)
        }
    }

    private mutating func arrive(_ one: Travelling) {
        if one.isTranslated {
            let end = one.isFromClient ? server : client
            send(end.receive(one.flight, now: steps), isFromClient: !one.isFromClient)
            return
        }
        let (translation, clientKey, serverKey) = (translation, clientKey, serverKey)
        let result = one.flight.frame.changed { frame, layout in
            one.isFromClient
                ? translation.toServer(frame, layout)
                    && serverKey.readdress(frame, layout, fromClient: true)
                : translation.toClient(frame, layout)
                    && clientKey.readdress(frame, layout, fromClient: false)
        }
        guard result.isChanged else {
            if !one.isDamaged { refused.append("refused: \(one.flight.frame)") }
            return
        }
        var translated = one
        translated.flight.frame = result.bytes
        translated.isTranslated = true
        travel(translated)
    }

    private mutating func send(_ flights: [ModelEndpoint.Flight], isFromClient: Bool) {
        for flight in flights {
            travel(
                Travelling(flight: flight, arrival: 0, isFromClient: isFromClient, isTranslated: false))
        }
    }

    private mutating func travel(_ one: Travelling) {
        if random.chance(conditions.loss) { return }
        for _ in 0..<(random.chance(conditions.duplication) ? 2 : 1) {
            var copy = one
            copy.arrival = steps + random.number(1...conditions.delay)
            // Once: two damages may make up for each other in a sum.
            if !copy.isDamaged, random.chance(conditions.damage) { damage(&copy) }
            travelling.append(copy)
        }
    }

    private mutating func damage(_ one: inout Travelling) {
        let segment =
            (one.flight.frame.word(12) == 0x8100 ? 18 : 14) + (client.view.source.count == 4 ? 20 : 40)
        // Behind the segment may be padding, which nobody sums.
        let place = random.number(segment...segment + 19)
        one.flight.frame[place] ^= 1 << UInt8(random.number(0...7))
        one.isDamaged = true
    }
}

extension RandomSegments {
    /// Two handshakes, with scales small enough for windows to matter.
    mutating func modelViews() -> (client: Translation.View, server: Translation.View) {
        var (client, server) = views()
        // The client's SYN was replayed: what it cannot do itself, nobody agrees on with the server.
        server.options.clientWindowScale = UInt8(number(0...7))
        client.options.clientWindowScale = server.options.clientWindowScale
        client.options.serverWindowScale = UInt8(chance(10) ? 14 : number(0...9))
        server.options.serverWindowScale = UInt8(number(0...7))
        server.options.windowScale = client.options.windowScale && chance(80)
        return (client, server)
    }
}
