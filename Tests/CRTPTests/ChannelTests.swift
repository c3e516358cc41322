import CRTP
import Testing
import Wire

@Suite struct ChannelTests {
    @Test(arguments: Protection.allCases) func comesUp(_ protection: Protection) {
        var configuration = ChannelConfiguration()
        configuration.protection = protection
        var pair = Pair(configuration: configuration, agentConfiguration: configuration)
        #expect(pair.initiator.state == .idle)
        #expect(pair.initiator.send(Frame(.firstByte, transaction: 1)) == nil)
        pair.initiator.start(now: pair.now)
        #expect(pair.initiator.state == .initiating)
        pair.run(for: 1_000)
        #expect(pair.isUp)
        #expect(pair.initiator.agent == describeAgent())
        #expect(pair.fromInitiator.first == .up(peer: agentEndpoint, describeAgent()))
        #expect(pair.fromResponder == [.up(peer: directorEndpoint, nil)])
        var status = AgentStatus()
        status.heldKeys = [1, 2]
        #expect(pair.fromInitiator.dropFirst() == [.status(status, roundTripMicroseconds: 0)])
        // INIT, CHALLENGE, INIT, ACCEPT, KEEPALIVE, its answer.
        #expect(pair.initiator.counters.sent == 3 && pair.responder.counters.sent == 3)
        #expect(pair.initiator.counters.accepted == 3 && pair.responder.counters.accepted == 3)
    }

    @Test func theStrongerProtectionIsUsed() {
        var weak = ChannelConfiguration()
        weak.protection = .authenticated
        for (director, agent) in [(weak, ChannelConfiguration()), (ChannelConfiguration(), weak)] {
            var pair = Pair(configuration: director, agentConfiguration: agent)
            pair.start()
            #expect(pair.isUp)
            #expect(pair.initiator.send(Frame(.firstByte, transaction: 1))?[7] == Protection.sealed.rawValue)
        }
    }

    @Test func framesGoBothWays() {
        var pair = Pair()
        pair.start()
        pair.fromInitiator = []
        pair.fromResponder = []
        let transfer = Frame(.transfer(transferV4()), transaction: 77, attempt: 1)
        pair.carry(pair.initiator.send(transfer)!, toAgent: true)
        pair.settle()
        #expect(pair.fromResponder == [.received(transfer, from: directorEndpoint)])
        let answer = Frame(.transferACK, transaction: 77, attempt: 1)
        pair.carry(pair.responder.send(answer, to: directorEndpoint)!, toAgent: false)
        pair.settle()
        #expect(pair.fromInitiator == [.received(answer, from: agentEndpoint)])
        #expect(pair.responder.send(answer, to: agentEndpoint) == nil)
    }

    @Test func keepaliveBringsStatusAndRoundTrip() {
        var pair = Pair()
        pair.start()
        pair.responder.status = AgentStatus(connections: 5, credits: 9, processorLoad: 100, isDraining: true)
        pair.initiator.algorithm = .leastConnections
        pair.fromInitiator = []
        pair.maximumDelay = 400
        pair.run(for: 1_100_000)
        guard case .status(let status, let roundTrip) = pair.fromInitiator.last else {
            Issue.record("no status")
            return
        }
        var expected = pair.responder.status
        expected.heldKeys = [1, 2]
        #expect(status == expected)
        #expect(roundTrip <= 800)
    }

    @Test func silenceIsNoticedAtBothEnds() {
        var pair = Pair()
        pair.start()
        pair.run(for: 2_500_000)
        pair.fromInitiator = []
        pair.fromResponder = []
        pair.lossPercent = 100
        pair.run(for: 3_400_000)
        #expect(pair.initiator.state == .up)
        pair.run(for: 1_700_000)
        #expect(pair.initiator.state == .initiating)
        #expect(pair.fromInitiator.compactMap(\.downReason) == [.silent])
        #expect(pair.fromResponder.compactMap(\.downReason) == [.silent])
        #expect(pair.responder.directors.isEmpty && pair.responder.nextDeadline == nil)
        pair.lossPercent = 0
        pair.run(for: 6_000_000)
        #expect(pair.isUp)
        #expect(pair.fromInitiator.filter(\.isUp).count == 1 && pair.fromResponder.filter(\.isUp).count == 1)
    }

    @Test func pausesBetweenInitiationsGrow() {
        var pair = Pair()
        pair.lossPercent = 100
        pair.start()
        var times: [UInt64] = []
        var sent = pair.initiator.counters.sent
        let begin = pair.now
        while pair.now < begin + 30_000_000 {
            pair.run(for: 10_000)
            if pair.initiator.counters.sent != sent { times.append(pair.now - begin) }
            sent = pair.initiator.counters.sent
        }
        let pauses = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(times.count >= 8 && times.count <= 14)
        #expect(pauses.allSatisfy { $0 <= 5_010_000 } && pauses.last! >= 3_700_000)
    }

    @Test func stoppingSaysFarewell() {
        var pair = Pair()
        pair.start()
        pair.initiator.stop(now: pair.now)
        pair.run(for: 1_000)
        #expect(pair.initiator.state == .idle && pair.initiator.nextDeadline == nil)
        #expect(pair.fromResponder.last?.downReason == .administrative)
        #expect(pair.responder.directors.isEmpty)
        pair.start()
        #expect(pair.isUp)
        pair.responder.stop(now: pair.now)
        pair.run(for: 1_000)
        #expect(pair.initiator.state == .initiating)
        #expect(pair.fromInitiator.last?.downReason == .administrative)
        pair.run(for: 2_000_000)
        #expect(pair.isUp)
    }

    // MARK: restarts

    @Test func aRestartedAgentIsTakenBackAtTheNextKeepalive() {
        var pair = Pair()
        pair.start()
        pair.fromInitiator = []
        pair.restartResponder()
        pair.run(for: 1_100_000)
        #expect(pair.isUp)
        #expect(pair.fromInitiator.compactMap(\.downReason) == [.restarted])
        #expect(pair.fromInitiator.filter(\.isUp).count == 1)
        #expect(pair.initiator.agent?.epoch == 8)
        #expect(pair.fromResponder.filter(\.isUp).count == 2)
        #expect(pair.initiator.lastError == .badSession)
    }

    @Test func aRestartedDirectorTakesItsOldPlace() {
        var pair = Pair()
        pair.start()
        pair.fromResponder = []
        pair.restartInitiator()
        pair.run(for: 10_000)
        #expect(pair.isUp)
        #expect(pair.fromResponder.map(\.isUp) == [false, true])
        #expect(pair.fromResponder.compactMap(\.downReason) == [.restarted])
        #expect(pair.responder.directors == [directorEndpoint])
    }

    @Test func sameEpochAgainIsNoRestart() {
        var pair = Pair()
        pair.start()
        let first = pair.initiator.session
        pair.fromResponder = []
        pair.fromInitiator = []
        pair.initiator.reinitiate(now: pair.now)
        pair.run(for: 10_000)
        #expect(pair.isUp && pair.initiator.session != first)
        #expect(pair.fromInitiator.allSatisfy { !$0.isUp && $0.downReason == nil })
        // The agent announces its flows again: that is what it was asked for.
        #expect(pair.fromResponder == [.up(peer: directorEndpoint, nil)])
    }

    @Test func whatWasUnderWayDuringARekeyStillArrives() {
        var pair = Pair()
        pair.start()
        let early = pair.initiator.send(Frame(.firstByte, transaction: 1))!
        let answer = pair.responder.send(Frame(.firstByte, transaction: 2), to: directorEndpoint)!
        var rotated = testKeys
        rotated.current = 2
        pair.initiator.replaceKeys(rotated, now: pair.now)
        pair.responder.replaceKeys(rotated, now: pair.now)
        pair.run(for: 10_000)
        pair.fromInitiator = []
        pair.fromResponder = []
        #expect(pair.initiator.send(Frame(.firstByte, transaction: 9))?[6] == 2)
        pair.carry(early, toAgent: true)
        pair.carry(answer, toAgent: false)
        pair.run(for: 10)
        #expect(pair.fromResponder.first?.frame?.transaction == 1)
        #expect(pair.fromInitiator.first?.frame?.transaction == 2)
        // And not for ever.
        let late = [pair.initiator.counters.unknownSession, pair.responder.counters.unknownSession]
        pair.run(for: 10_000_000)
        pair.carry(early, toAgent: true)
        pair.carry(answer, toAgent: false)
        pair.run(for: 10)
        #expect(pair.initiator.counters.unknownSession == late[0] + 1)
        #expect(pair.responder.counters.unknownSession == late[1] + 1)
        #expect(pair.isUp)
    }

    @Test func theAgentSaysWhichKeysItHolds() {
        var pair = Pair()
        pair.start()
        #expect(pair.initiator.heldByAgent == [1, 2])
        #expect(pair.initiator.keyID == 1)
        var fewer = testKeys
        fewer.keys[2] = nil
        pair.responder.replaceKeys(fewer, now: pair.now)
        pair.run(for: 1_100_000)
        #expect(pair.initiator.heldByAgent == [1], "a KEEPALIVE_RESPONSE has said so")
    }

    /// No session is lost when the director is first; the agent's key follows, and so does the session.
    @Test func aKeyThatTheAgentGetsLaterIsUsedAsSoonAsItSaysSo() {
        var pair = Pair(agentKeys: KeyRing(keys: [1: testKeys.keys[1]!], current: 1))
        pair.start()
        pair.fromInitiator = []
        var rotated = testKeys
        rotated.current = 2
        pair.initiator.replaceKeys(rotated, now: pair.now)
        pair.run(for: 20_000_000)
        #expect(pair.isUp && pair.initiator.keyID == 1)
        #expect(pair.initiator.soughtKeyID == nil, "it does not ask for what the agent says that it lacks")
        pair.responder.replaceKeys(testKeys, now: pair.now)
        pair.run(for: 2_200_000)
        #expect(pair.isUp && pair.initiator.keyID == 2)
        #expect(pair.fromInitiator.allSatisfy { !$0.isUp && $0.downReason == nil })
        #expect(pair.responder.keysInUse.map(\.keyID) == [2])
    }

    @Test func goingBackToTheKeyInUseEndsTheHandshakeForTheOther() {
        var pair = Pair(agentKeys: KeyRing(keys: [1: testKeys.keys[1]!], current: 1))
        pair.start()
        let session = pair.initiator.session
        var rotated = testKeys
        rotated.current = 2
        pair.initiator.replaceKeys(rotated, now: pair.now)
        #expect(pair.initiator.soughtKeyID == 2)
        pair.initiator.replaceKeys(testKeys, now: pair.now)
        #expect(pair.initiator.soughtKeyID == nil)
        pair.run(for: 3_000_000)
        #expect(pair.initiator.session == session)
    }

    @Test func keysAreNeverPrinted() {
        let ring = KeyRing(
            keys: [1: [UInt8](repeating: 0xAB, count: 16), 7: [UInt8](repeating: 0xCD, count: 16)], current: 7)
        var dumped = ""
        dump(ring, to: &dumped)
        for text in ["\(ring)", String(reflecting: ring), "\(Optional(ring) as Any)", "\([ring])", dumped] {
            #expect(text.contains("7") && !text.contains("171") && !text.contains("205"), "\(text)")
        }
        #expect(ring.next == nil && ring.held == [1, 7])
        #expect(KeyRing(keys: ring.keys, current: 1).next == 7)
        #expect(ring.contradiction(to: KeyRing(keys: [7: [1]], current: 7)) == 7)
        #expect(ring.contradiction(to: KeyRing(keys: [8: [1]], current: 8)) == nil)
    }

    @Test func anotherKeyIsSilence() {
        let other = KeyRing(keys: [1: [UInt8](repeating: 3, count: 32)], current: 1)
        var pair = Pair(agentKeys: other)
        pair.start()
        pair.run(for: 3_000_000)
        #expect(pair.initiator.state == .initiating)
        #expect(pair.responder.counters.unauthenticated == pair.responder.counters.received)
        #expect(pair.responder.counters.sent == 0)
        pair = Pair(agentKeys: KeyRing(keys: [2: [UInt8](repeating: 3, count: 32)], current: 2))
        pair.start()
        #expect(pair.responder.counters.unknownKey == 1 && pair.responder.counters.sent == 0)
    }

    // MARK: a bad network

    @Test(arguments: 0..<20) func comesUpOverABadNetwork(_ round: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var pair = Pair(seed: seed)
        pair.lossPercent = 30
        pair.duplicatePercent = 30
        pair.maximumDelay = 150_000
        pair.start()
        pair.run(for: 20_000_000)
        if round % 3 == 1 { pair.restartResponder() }
        if round % 3 == 2 { pair.restartInitiator() }
        pair.run(for: 20_000_000)
        pair.lossPercent = 0
        pair.maximumDelay = 0
        pair.run(for: 10_000_000)
        #expect(pair.isUp, "seed \(seed)")
        #expect(pair.initiator.agent?.epoch == (round % 3 == 1 ? 8 : 7), "seed \(seed)")
        for counters in [pair.initiator.counters, pair.responder.counters] {
            #expect(counters.unauthenticated == 0 && counters.malformed == 0 && counters.badMessage == 0)
            #expect(balances(counters))
        }
        var order = pair.fromInitiator.filter { $0.isUp || $0.downReason != nil }.map(\.isUp)
        if round % 3 == 2 { order = Array(order.drop { !$0 }) }
        for (one, next) in zip(order, order.dropFirst()) where round % 3 != 2 {
            #expect(one != next, "up and down take turns; seed \(seed)")
        }
    }

    @Test func everyFrameArrivesOnceOverABadNetwork() {
        let seed = UInt64.random(in: .min ... .max)
        var pair = Pair(seed: seed)
        pair.start()
        pair.duplicatePercent = 50
        pair.maximumDelay = 5_000
        for number in 0..<500 {
            pair.carry(pair.initiator.send(Frame(.firstByte, transaction: UInt32(number)))!, toAgent: true)
            pair.run(for: 20)
        }
        pair.run(for: 20_000)
        let arrived = pair.fromResponder.compactMap(\.frame?.transaction)
        #expect(arrived.sorted() == (0..<500).map(UInt32.init), "seed \(seed)")
        #expect(arrived != arrived.sorted())
        #expect(pair.responder.counters.replayed > 0)
    }
}

func balances(_ counters: ChannelCounters) -> Bool {
    let parts = counters.named.filter { $0.name != "sent" && $0.name != "received" }
    return counters.received == parts.reduce(0) { $0 + $1.value }
}
