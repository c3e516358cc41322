import Testing
import Wire

/// What a SYN is answered with, and what the ACK to that tells.
@Suite struct SYNAnswerTests {
    private static let choice = [false, true]

    /// Every combination of what a client and an offer may say: the whole answer, byte for byte, and the whole state.
    @Test(arguments: choice, [nil, 7, 0xA007] as [UInt16?])
    func agreesOnWhatBothSaid(isV6: Bool, tag: UInt16?) throws {
        for clientOptions in 0..<8 {
            for (segmentSize, windowScale) in zip([nil, 536, 1_460, 9_000] as [UInt16?], [nil, 0, 7, 14] as [UInt8?]) {
                for offered in 0..<8 {
                    for offeredScale in [0xFF, 0, 9, 14] as [UInt8] {
                        var client = Client(
                            segmentSize: segmentSize, windowScale: windowScale, sack: clientOptions & 1 != 0,
                            timestamps: clientOptions & 2 != 0, ecn: clientOptions & 4 != 0)
                        client.isV6 = isV6
                        client.tag = tag
                        var responder = Responder()
                        responder.offer = HandshakeOffer(
                            maximumSegmentSize: 1_400, window: 8_192, windowScale: offeredScale, sack: offered & 1 != 0,
                            timestamps: offered & 2 != 0, ecn: offered & 4 != 0)
                        try check(client, responder)
                    }
                }
            }
        }
    }

    private func check(_ client: Client, _ responder: Responder) throws {
        let offer = responder.offer
        let syn = client.syn
        let answer = try #require(responder.answer(syn), "\(client) \(offer)")
        let timestamps = client.timestamps && offer.timestamps
        let isScaled = timestamps && client.windowScale != nil && offer.windowScale <= 14
        let sack = timestamps && client.sack && offer.sack
        let ecn = timestamps && client.ecn && offer.ecn

        let segmentSize = offer.maximumSegmentSize - (client.isV6 ? 20 : 0)
        var told: UInt32 = 0
        var options: [UInt8] = [2, 4] + big(segmentSize)
        if timestamps {
            told = UInt32(HandshakeSegment.number(answer.options, 8, 4))
            let carried = UInt32(isScaled ? client.windowScale! : 15) | (sack ? 16 : 0) | (ecn ? 32 : 0)
            #expect(told % 64 == carried && responder.milliseconds - told < 64)
            options += (sack ? [4, 2] : [1, 1]) + [8, 10]
            options += big(told) + big(client.timestamp)
            if isScaled { options += [1, 3, 3, offer.windowScale] }
        }
        var expected = HandshakeSegment(isV6: client.isV6, flags: ecn ? 0x52 : 0x12)
        expected.tag = client.tag
        (expected.source, expected.destination) = (syn.destination, syn.source)
        (expected.sourceMAC, expected.destinationMAC) = (syn.destinationMAC, syn.sourceMAC)
        (expected.sourcePort, expected.destinationPort) = (syn.destinationPort, syn.sourcePort)
        expected.sequence = answer.sequence
        expected.acknowledgement = client.isn &+ 1
        expected.window = offer.window
        expected.options = options
        expected.hops = 64
        expected.padding = [UInt8](repeating: 0, count: max(0, 60 - expected.bytes.count))
        #expect(answer == expected)

        for request in [[], Array("GET / HTTP/1.1\r\n\r\n".utf8)] {
            let state = HandshakeState(
                clientISN: SequenceNumber(client.isn), serverISN: SequenceNumber(answer.sequence),
                options: NegotiatedOptions(
                    clientMSS: carriedSize(of: client), serverMSS: segmentSize,
                    clientWindowScale: isScaled ? client.windowScale! : 0,
                    serverWindowScale: isScaled ? offer.windowScale : 0, windowScale: isScaled, sack: sack,
                    timestamps: timestamps),
                ecn: ecn, clientWindow: 501 << UInt32(isScaled ? client.windowScale! : 0), serverWindow: offer.window,
                serverTimestamp: told, clientTimestamp: timestamps ? client.timestamp &+ 3 : 0)
            #expect(responder.check(client.acknowledgement(of: answer, request: request)) == .accepted(state))
        }
    }

    private func carriedSize(of client: Client) -> UInt16 {
        switch client.segmentSize {
        case nil: client.isV6 ? 1_220 : 536
        case 536: client.isV6 ? 516 : 536
        case 1_460: client.isV6 ? 1_440 : 1_460
        default: client.isV6 ? 8_940 : 8_960
        }
    }

    /// SYNs of any form: options in any order and of unknown kinds, IP options and extension headers, data, flags that say
    /// nothing here, numbers anywhere.
    @Test func answersSYNsOfAnyForm() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        for round in 0..<20_000 {
            let note: Comment = "seed \(seed), round \(round)"
            var client = Client(
                segmentSize: Bool.random(using: &random) ? UInt16.random(in: 536...9_000, using: &random) : nil,
                windowScale: Bool.random(using: &random) ? UInt8.random(in: 0...14, using: &random) : nil)
            client.isn =
                round % 3 == 0 ? UInt32.max - UInt32(round % 4) : UInt32.random(in: 0...UInt32.max, using: &random)
            client.timestamp = UInt32.random(in: 0...UInt32.max, using: &random)
            client.timestamps = Bool.random(using: &random)
            client.sack = Bool.random(using: &random)
            client.isV6 = Bool.random(using: &random)
            client.tag = Bool.random(using: &random) ? UInt16.random(in: 0...0xFFFF, using: &random) : nil
            var responder = Responder()
            responder.milliseconds = UInt32.random(in: 0...UInt32.max, using: &random)
            responder.key = CookieKey(
                secret: CookieSecret(low: random.next(), high: random.next()), minute: UInt32(round))

            var syn = client.syn
            syn.options = shuffled(client, &random)
            syn.flags |= [0, 0x08, 0x20, 0x28].randomElement(using: &random)!
            syn.payload = random.bytes([0, 0, 1, 19, 1_200].randomElement(using: &random)!)
            syn.padding = random.bytes([0, 6, 18].randomElement(using: &random)!)
            // All NOPs to IPv4; options that are to be skipped to IPv6.
            let optionLength = [0, 0, 8, 40].randomElement(using: &random)!
            syn.networkOptions = [UInt8](repeating: 1, count: optionLength)
            for bytes in [\HandshakeSegment.source, \.destination] {
                syn[keyPath: bytes].replaceSubrange(
                    client.isV6 ? 8..<16 : 1..<4, with: random.bytes(client.isV6 ? 8 : 3))
            }
            syn.sourcePort = UInt16.random(in: 1...0xFFFF, using: &random)

            let answer = try #require(responder.answer(syn), note)
            #expect(answer.acknowledgement == client.isn &+ 1 && answer.payload.isEmpty, note)
            #expect(answer.destinationPort == syn.sourcePort && answer.source == syn.destination, note)
            #expect(answer.padding.allSatisfy { $0 == 0 }, note)

            var ack = client.acknowledgement(of: answer)
            (ack.source, ack.destination, ack.sourcePort) = (syn.source, syn.destination, syn.sourcePort)
            guard case .accepted(let state) = responder.check(ack) else {
                Issue.record(note)
                continue
            }
            let size = client.segmentSize ?? (client.isV6 ? 1_220 : 536)
            #expect(state.options.clientMSS <= size && Int(state.options.clientMSS) * 7 > Int(size), note)
            #expect(state.options.timestamps == client.timestamps, note)
            #expect(state.options.sack == (client.sack && client.timestamps), note)
            #expect(state.options.windowScale == (client.windowScale != nil && client.timestamps), note)
            #expect(state.clientISN.value == client.isn && state.serverISN.value == answer.sequence, note)
        }
    }

    /// A client's options in any order, with others between them that nobody knows, at any alignment, ended by EOL or not.
    private func shuffled(_ client: Client, _ random: inout SplitMix64) -> [UInt8] {
        var parts: [[UInt8]] = []
        if let size = client.segmentSize { parts.append([2, 4] + big(size)) }
        if client.sack { parts.append([4, 2]) }
        if client.timestamps { parts.append([8, 10] + big(client.timestamp) + [0, 0, 0, 0]) }
        if let scale = client.windowScale { parts.append([3, 3, scale]) }
        for _ in 0..<Int.random(in: 0...3, using: &random) { parts.append([1]) }
        // Fast open, MPTCP, an experiment, one of no known kind, an MSS of a wrong length.
        let others: [[UInt8]] = [[34, 6, 1, 2, 3, 4], [30, 4, 0, 1], [254, 4, 0xF9, 0x89], [77, 2], [2, 3, 9]]
        parts += others.shuffled(using: &random).prefix(Int.random(in: 0...2, using: &random))
        var bytes = parts.shuffled(using: &random).flatMap { $0 }
        let missing = (4 - bytes.count % 4) % 4
        bytes +=
            missing > 0 && Bool.random(using: &random)
            ? [0] + random.bytes(missing - 1) : .init(repeating: 1, count: missing)
        return bytes
    }

    /// A client's MSS is rounded down, and never up unless it is absurd.
    @Test(arguments: choice) func carriesASegmentSizeThatTheClientTakes(isV6: Bool) throws {
        let shorter = isV6 ? 20 : 0
        let sizes = [216, 536, 1_240, 1_360, 1_400, 1_452, 1_460, 8_960].map { $0 - shorter }
        let all =
            sizes.flatMap { [$0 - 1, $0, $0 + 1] } + [0, 1, 48, 88, 9_000, 65_535]
            + Array(stride(from: 100, to: 2_000, by: 7))
        for size in all {
            var client = Client(segmentSize: UInt16(size))
            client.isV6 = isV6
            let responder = Responder()
            let answer = try #require(responder.answer(client.syn))
            guard case .accepted(let state) = responder.check(client.acknowledgement(of: answer)) else {
                Issue.record("\(size)")
                continue
            }
            #expect(Int(state.options.clientMSS) == sizes.last { $0 <= size } ?? sizes[0], "\(size)")
        }
    }

    /// TSvals never lie ahead of the time, stay within 64 ms behind it, and cross the end of 32 bits.
    @Test func timestampsCarryBitsWithoutRunningAhead() throws {
        for windowScale in [nil, 0, 14] as [UInt8?] {
            for start in [0 as UInt32, 1_000_000, UInt32.max - 40] {
                for step in 0..<130 as Range<UInt32> {
                    let client = Client(windowScale: windowScale, sack: step % 2 == 0, timestamps: true)
                    var responder = Responder()
                    responder.milliseconds = start &+ step
                    let answer = try #require(responder.answer(client.syn))
                    let told = UInt32(HandshakeSegment.number(answer.options, 8, 4))
                    #expect(responder.milliseconds &- told < 64)
                    #expect(told & 15 == UInt32(windowScale ?? 15) && (told & 16 != 0) == client.sack)
                    #expect(responder.accepts(client.acknowledgement(of: answer)))
                }
            }
        }
    }

    /// An answer may be longer than the SYN was; it never takes more than the room there is.
    @Test func staysWithinItsRoom() {
        let client = Client(segmentSize: nil, timestamps: true)
        var bare = client.syn
        bare.options = Client.padded([8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 3, 3, 2])
        let frame = bare.bytes
        #expect(frame.count == 70)
        for room in 60..<74 { #expect(Responder().answer(frame, room: room) == (.refused(.room), frame)) }
        #expect(Responder().answer(frame, room: 74).0 == .answered(length: 74))
    }
}
