import CRTP
import Testing
import Wire

/// Invariant 7: what is not authenticated, or has come before, changes nothing and costs its sender more.
@Suite struct HostileTests {
    @Test func invariant7AReplayedFrameIsCountedOnly() {
        var pair = Pair()
        pair.start()
        let frame = pair.initiator.send(Frame(.firstByte, transaction: 1))!
        pair.carry(frame, toAgent: true)
        pair.settle()
        pair.fromResponder = []
        for _ in 0..<5 { pair.carry(frame, toAgent: true) }
        pair.settle()
        #expect(pair.fromResponder.isEmpty)
        #expect(pair.responder.counters.replayed == 5)
    }

    /// The whole exchange is the same but for the key: numbers of session and sender, and the frame's place in it.
    @Test(arguments: [Protection.authenticated, .sealed])
    func invariant7ABlobSignedByAnotherKeyChangesNothing(protection: Protection) {
        var configuration = ChannelConfiguration()
        configuration.protection = protection
        var pair = Pair(configuration: configuration, agentConfiguration: configuration)
        let otherKeys = KeyRing(keys: [1: [UInt8](0x60...0x7F)], current: 1)
        var stranger = Pair(keys: otherKeys, configuration: configuration, agentConfiguration: configuration)
        pair.start()
        stranger.start()
        #expect(pair.initiator.session == stranger.initiator.session && pair.isUp && stranger.isUp)
        var sender = BlobSender()
        let isSending = sender.send([UInt8](repeating: 9, count: 100), identifier: 5, now: pair.now)
        guard isSending, case .send(let frame) = sender.actions[0] else { return #expect(Bool(false)) }
        func received(_ pair: Pair, _ isAgent: Bool) -> [Message] {
            (isAgent ? pair.fromResponder : pair.fromInitiator).compactMap(\.frame?.message)
        }
        let ways: [(forged: [UInt8], genuine: [UInt8], toAgent: Bool)] = [
            (stranger.initiator.send(frame)!, pair.initiator.send(frame)!, true),
            (
                stranger.responder.send(frame, to: directorEndpoint)!,
                pair.responder.send(frame, to: directorEndpoint)!, false
            ),
        ]
        for (forged, genuine, toAgent) in ways {
            #expect(forged.count == genuine.count)
            pair.carry(forged, toAgent: toAgent)
            pair.settle()
            #expect(received(pair, toAgent).isEmpty)
            #expect((toAgent ? pair.responder.counters : pair.initiator.counters).unauthenticated == 1)
            pair.carry(genuine, toAgent: toAgent)
            pair.settle()
            #expect(received(pair, toAgent) == [frame.message])
        }
    }

    @Test func framesDoNotWorkTheOtherWay() {
        var pair = Pair()
        pair.start()
        let frame = pair.initiator.send(Frame(.firstByte, transaction: 1))!
        pair.initiator.receive(frame, now: pair.now)
        #expect(pair.initiator.counters.unauthenticated == 1)
        #expect(pair.initiator.actions.isEmpty)
    }

    @Test func invariant7NoAnswerIsLargerThanItsQuestion() {
        var pair = Pair()
        pair.initiator.start(now: pair.now)
        var question = pair.initiator.actions.compactMap(\.bytes)
        for _ in 0..<3 {
            pair.initiator.actions = []
            for bytes in question {
                pair.responder.receive(bytes, from: directorEndpoint, now: pair.now)
                for answer in pair.responder.actions.compactMap(\.bytes) {
                    // KEEPALIVE's answer is longer, but only a director with the session's keys can ask for it.
                    #expect(answer.count < bytes.count || bytes[1] == MessageType.keepalive.rawValue)
                    pair.initiator.receive(answer, now: pair.now)
                }
                pair.responder.actions = []
            }
            question = pair.initiator.actions.compactMap(\.bytes)
        }
        #expect(pair.isUp)
        // A short INIT is not answered by something longer.
        var short = ChannelConfiguration()
        short.initiateBytes = 0
        let director = Pair(configuration: short)
        var initiator = director.initiator
        initiator.start(now: 1)
        #expect(initiator.actions.compactMap(\.bytes).map(\.count) == [256])
    }

    @Test func invariant7AnINITWithoutCookieLeavesNothing() {
        var pair = Pair()
        pair.initiator.start(now: pair.now)
        let initiate = pair.initiator.actions.compactMap(\.bytes)[0]
        for port in 1...2_000 {
            pair.responder.receive(initiate, from: Endpoint(IPAddress(v4: 1), port: UInt16(port)), now: pair.now)
        }
        #expect(pair.responder.nextDeadline == nil && pair.responder.directors.isEmpty)
    }

    @Test func cookiesAreForOneAddressOneNonceAndAShortTime() {
        var pair = Pair()
        pair.initiator.start(now: pair.now)
        let first = pair.initiator.actions.compactMap(\.bytes)[0]
        pair.initiator.actions = []
        pair.responder.receive(first, from: directorEndpoint, now: pair.now)
        pair.initiator.receive(pair.responder.actions.compactMap(\.bytes)[0], now: pair.now)
        pair.responder.actions = []
        let second = pair.initiator.actions.compactMap(\.bytes)[0]

        /// The type of what the responder says to `second`.
        func answer(from source: Endpoint, at time: UInt64) -> UInt8? {
            var responder = pair.responder
            responder.receive(second, from: source, now: time)
            return responder.actions.compactMap(\.bytes).first?[1]
        }
        let challenge = MessageType.challenge.rawValue
        let accept = MessageType.accept.rawValue
        #expect(answer(from: directorEndpoint, at: pair.now) == accept)
        #expect(answer(from: directorEndpoint, at: pair.now + 10_000_000) == accept)
        #expect(answer(from: directorEndpoint, at: pair.now + 10_000_001) == challenge)
        #expect(answer(from: directorEndpoint, at: pair.now - 1) == challenge)
        #expect(answer(from: Endpoint(directorEndpoint.address, port: 1), at: pair.now) == challenge)
        #expect(answer(from: agentEndpoint, at: pair.now) == challenge)
        // Another agent's secret.
        pair.restartResponder()
        #expect(answer(from: directorEndpoint, at: pair.now) == challenge)
    }

    @Test func aRecordedInitiationReplacesNothing() {
        var pair = Pair()
        pair.initiator.start(now: pair.now)
        var recorded: [[UInt8]] = []
        for _ in 0..<4 {
            recorded += pair.initiator.actions.compactMap(\.bytes)
            for bytes in pair.initiator.actions.compactMap(\.bytes) {
                pair.responder.receive(bytes, from: directorEndpoint, now: pair.now)
            }
            pair.initiator.actions = []
            for bytes in pair.responder.actions.compactMap(\.bytes) { pair.initiator.receive(bytes, now: pair.now) }
            pair.responder.actions = []
        }
        pair.initiator.reinitiate(now: pair.now)
        pair.run(for: 1_000)
        #expect(pair.isUp)
        pair.fromResponder = []
        let session = pair.initiator.session
        for bytes in recorded { pair.responder.receive(bytes, from: directorEndpoint, now: pair.now) }
        #expect(pair.responder.actions.allSatisfy { $0.bytes != nil })
        pair.responder.actions = []
        pair.run(for: 10_000_000)
        #expect(pair.isUp && pair.initiator.session == session)
        #expect(pair.fromResponder.isEmpty)
    }

    @Test func aRecordedRefusalIsOnlyAHint() {
        var pair = Pair()
        pair.start()
        // The agent forgets the session, and says so to a KEEPALIVE; somebody records the answer.
        let session = pair.initiator.session
        var amnesiac = ChannelResponder(keys: testKeys, description: describeAgent(), random: SeededGenerator(5))
        let frame = pair.initiator.send(Frame(.transfer(transferV4()), transaction: 1))!
        amnesiac.receive(frame, from: directorEndpoint, now: pair.now)
        let refusal = amnesiac.actions.compactMap(\.bytes)[0]
        #expect(refusal.count <= frame.count)

        pair.now += 1_000_000
        pair.fromInitiator = []
        pair.initiator.receive(refusal, now: pair.now)
        #expect(pair.initiator.state == .up && pair.initiator.session == session)
        #expect(pair.initiator.send(Frame(.firstByte, transaction: 1)) != nil)
        // One INIT, however often it is played.
        for _ in 0..<50 { pair.initiator.receive(refusal, now: pair.now) }
        #expect(pair.initiator.actions.count == 1)
        pair.run(for: 5_000_000)
        #expect(pair.isUp)
        #expect(pair.fromInitiator.allSatisfy { $0.downReason == nil && !$0.isUp })
        // A forged one is not even that.
        var forged = refusal
        forged[20] ^= 1
        let before = pair.initiator
        pair.initiator.receive(forged, now: pair.now)
        #expect(pair.initiator.counters.unauthenticated == before.counters.unauthenticated + 1)
        #expect(pair.initiator.actions.isEmpty)
    }

    @Test func aRepeatedChallengeIsAnsweredAFewTimesOnly() {
        var pair = Pair()
        pair.initiator.start(now: pair.now)
        let initiate = pair.initiator.actions.compactMap(\.bytes)[0]
        pair.initiator.actions = []
        var challenges: [[UInt8]] = []
        for step in 0..<20 {
            pair.responder.receive(initiate, from: directorEndpoint, now: pair.now + UInt64(step))
            challenges += pair.responder.actions.compactMap(\.bytes)
            pair.responder.actions = []
        }
        for challenge in challenges + challenges { pair.initiator.receive(challenge, now: pair.now) }
        #expect(pair.initiator.actions.count == 3)
    }

    @Test func strangersAreAnsweredSeldomAndNeverAtLength() {
        var pair = Pair()
        pair.start()
        var random = SeededGenerator(3)
        let good = pair.initiator.send(Frame(.keepalive(Keepalive(algorithm: .roundRobin)), transaction: 1))!
        for _ in 0..<1_000 {
            var forged = good
            for offset in 12..<16 { forged[offset] = random.bytes(1)[0] | 1 }
            pair.responder.receive(forged, from: agentEndpoint, now: pair.now)
        }
        let answers = pair.responder.actions.compactMap(\.bytes)
        #expect(answers.count <= 10 && answers.allSatisfy { $0.count <= good.count })
        #expect(pair.responder.counters.unknownSession == 1_000)
        pair.responder.actions = []
        // Nothing shorter than an ERROR is answered by one.
        var short = pair.initiator.send(Frame(.firstByte, transaction: 1))!
        short[12] ^= 1
        pair.responder.receive(short, from: directorEndpoint, now: pair.now + 5_000_000)
        #expect(pair.responder.actions.isEmpty)
    }

    @Test func anotherVersionIsToldOnceAndErrorsNever() {
        var pair = Pair()
        var future = [UInt8](repeating: 0, count: 100)
        future[0] = 0x24
        future[1] = 1
        pair.responder.receive(future, from: directorEndpoint, now: pair.now)
        let answer = pair.responder.actions.compactMap(\.bytes)
        #expect(answer.count == 1 && answer[0].count <= 100)
        pair.initiator.receive(answer[0], now: pair.now)
        #expect(pair.initiator.lastError == .badVersion)
        pair.responder.actions = []
        future[1] = 4
        pair.responder.receive(future, from: directorEndpoint, now: pair.now)
        pair.responder.receive(answer[0], from: directorEndpoint, now: pair.now)
        #expect(pair.responder.actions.isEmpty)
        #expect(balances(pair.responder.counters))
    }

    @Test func directorsAreBounded() {
        var configuration = ChannelConfiguration()
        configuration.maximumDirectors = 2
        var responder = ChannelResponder(
            keys: testKeys, description: describeAgent(), configuration: configuration, random: SeededGenerator(1))
        for number in 1...3 {
            let endpoint = Endpoint(IPAddress(v4: UInt32(number)), port: 9)
            var initiator = ChannelInitiator(
                peer: agentEndpoint, keys: testKeys, senderID: 1, epoch: 1, random: SeededGenerator(UInt64(number)))
            initiator.start(now: 5)
            for _ in 0..<4 {
                for bytes in initiator.actions.compactMap(\.bytes) { responder.receive(bytes, from: endpoint, now: 5) }
                initiator.actions = []
                for case .transmit(let bytes, let to) in responder.actions where to == endpoint {
                    initiator.receive(bytes, now: 5)
                }
                responder.actions = []
            }
            #expect(initiator.state == (number <= 2 ? .up : .initiating))
        }
        #expect(responder.directors.count == 2)
        #expect(responder.counters.refused > 0)
    }

    @Test func unreadableBodiesAreAnsweredWithinTheSession() {
        var pair = Pair()
        pair.initiator.start(now: pair.now)
        var forger: Forger?
        for _ in 0..<4 {
            for bytes in pair.initiator.actions.compactMap(\.bytes) {
                pair.responder.receive(bytes, from: directorEndpoint, now: pair.now)
            }
            pair.initiator.actions = []
            for bytes in pair.responder.actions.compactMap(\.bytes) {
                if bytes[1] == MessageType.accept.rawValue { forger = Forger(accept: bytes) }
                pair.initiator.receive(bytes, now: pair.now)
            }
            pair.responder.actions = []
        }
        guard var forger else {
            Issue.record("no session")
            return
        }
        /// What the agent says to a body that a director of its own could have sent: type and first byte of the body.
        func answer(to type: UInt8, _ body: [UInt8]) -> [UInt8]? {
            pair.responder.receive(forger.frame(type, body), from: directorEndpoint, now: pair.now)
            defer { pair.responder.actions = [] }
            guard let bytes = pair.responder.actions.compactMap(\.bytes).first else { return nil }
            return [bytes[1], forger.body(of: bytes)?.first ?? 0]
        }
        var transfer: [UInt8] = []
        MessageCodec.encode(.transfer(transferV4()), into: &transfer)
        let nack = [MessageType.transferNACK.rawValue, NACKReason.badTLV.rawValue]
        let error = [MessageType.error.rawValue, ErrorCode.badMessage.rawValue]
        #expect(answer(to: MessageType.transfer.rawValue, transfer + [0x81, 0, 0, 0]) == nack)
        #expect(answer(to: MessageType.transfer.rawValue, Array(transfer.dropLast())) == error)
        #expect(answer(to: MessageType.keepalive.rawValue, [1, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 0]) == error)
        #expect(answer(to: 0x7F, []) == error)
        #expect(answer(to: 0x80, []) == nil)
        #expect(answer(to: MessageType.error.rawValue, []) == nil)
        #expect(answer(to: MessageType.keepaliveResponse.rawValue, [UInt8](repeating: 0, count: 16)) == nil)
        #expect(pair.responder.counters.badMessage == 5 && pair.responder.counters.unexpected == 1)
        #expect(balances(pair.responder.counters))
        #expect(pair.isUp)
    }
}

/// Makes frames with a good tag, whatever their body is: both nonces are in the clear in INIT-ACK.
struct Forger {
    private let outbound: FrameProtection
    private let inbound: FrameProtection
    private let session: UInt32
    private var sequence: UInt64 = 1_000

    init?(accept: [UInt8]) {
        let session = accept[12..<16].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        func derive(_ direction: Direction) -> FrameProtection? {
            KeySchedule(testKeys).session(
                session, keyID: 1, protection: .sealed, initiatorNonce: Array(accept[32..<48]),
                responderNonce: Array(accept[48..<64]), direction: direction)
        }
        guard let outbound = derive(.fromInitiator), let inbound = derive(.fromResponder) else { return nil }
        self.session = session
        self.outbound = outbound
        self.inbound = inbound
    }

    mutating func frame(_ type: UInt8, _ body: [UInt8]) -> [UInt8] {
        sequence += 1
        let header = FrameHeader(
            type: type, keyID: 1, protection: .sealed, senderID: 0x0A0B_0C01, session: session, sequence: sequence,
            transaction: 1, attempt: 0)
        var frame = FrameCodec.encode(.firstByte, header: header, protection: outbound)
        frame.removeLast(16)
        frame += body
        frame[4] = UInt8((frame.count + 16) >> 8)
        frame[5] = UInt8((frame.count + 16) & 0xFF)
        return outbound.protect(frame, sequence: sequence)
    }

    func body(of datagram: [UInt8]) -> [UInt8]? {
        guard case .header(let header) = datagram.withUnsafeBytes(FrameHeader.parse) else { return nil }
        return inbound.open(datagram, sequence: header.sequence)
    }
}
