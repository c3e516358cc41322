import CRTP
import Control
import InterCore
import Testing
import Wire

/// One connection that its proxy hands back, and what becomes of it.
@Suite struct MoveTests {
    /// A connection that the first proxy serves; the others have not been asked.
    private func served(
        agents: Int = 2, _ adjustConditions: (inout Simulation.Conditions) -> Void = { _ in },
        adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) throws -> (simulation: Simulation, transfer: UInt32) {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = 200...300
        conditions.delayMicroseconds = 50...60
        conditions.laterRequests = .move
        conditions.isEndless = true
        conditions.agentCount = agents
        var simulation = Simulation(seed: 7, conditions) {
            $0.crtp.algorithm = .enforced
            $0.timeout.floorMicroseconds = 30_000
            $0.timeout.initialMicroseconds = 30_000
            adjust(&$0)
        }
        simulation.run(until: 2_000_000)
        simulation.at(2_000_000, .arrival(20_000))
        simulation.run(until: 2_050_000)
        let transfer = try #require(simulation.agents[0].adoptions.keys.first)
        #expect(simulation.agents[0].adoptions[transfer]?.speaks == true)
        // From here on the first proxy of the rule is not the only one.
        _ = simulation.core.setAlgorithm(.roundRobin)
        adjustConditions(&simulation.conditions)
        return (simulation, transfer)
    }

    private func handBack(_ simulation: inout Simulation, _ transfer: UInt32, at agent: Int = 0, for time: UInt64) {
        simulation.at(simulation.now, .handBack(agent, transfer))
        simulation.run(until: simulation.now + time)
    }

    private func phase(_ simulation: Simulation) -> FakeWorker.Phase? {
        simulation.workers.flatMap(\.flows.values).first?.phase
    }

    private func expectsNothingWrong(_ simulation: Simulation) {
        #expect(simulation.agents.allSatisfy { $0.failures.isEmpty }, "\(simulation.agents.map(\.failures))")
        #expect(simulation.core.counters[.unconfirmed] == 0 && simulation.core.counters[.misjudged] == 0)
        #expect(simulation.core.pendingCount == 0 && simulation.core.moves.released.isEmpty)
    }

    @Test func anotherProxyGoesOnWithIt() throws {
        var (simulation, transfer) = try served()
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.agents[0].movedAway == 1 && simulation.agents[0].adoptions.isEmpty)
        #expect(simulation.agents[1].adoptions.values.map(\.speaks) == [true])
        #expect(phase(simulation) == .committed(ProxyIndex(1)))
        // One transfer for one connection, and the flow's end is the other's.
        #expect(simulation.core.transfers.count == 1 && simulation.core.proxies.map(\.committed) == [0, 1])
        let other = try #require(simulation.agents[1].adoptions.keys.first)
        simulation.at(simulation.now, .agentFinishes(1, other))
        simulation.run(until: simulation.now + 100_000)
        #expect(phase(simulation) == .ended && simulation.core.transfers.count == 0)
        // The answer is remembered, and then it is not.
        #expect(simulation.core.moves.count == 1)
        simulation.run(until: simulation.now + 61_000_000)
        #expect(simulation.core.moves.isEmpty)
        expectsNothingWrong(simulation)
    }

    @Test func whatIsNotForTheDirectorIsCountedOrRefused() throws {
        var (simulation, transfer) = try served()
        let key = try #require(simulation.agents[0].adoptions[transfer]?.key)
        func say(_ message: Message, _ transaction: UInt32 = 9_000) {
            let frame = Frame(message, transaction: transaction)
            let bytes = simulation.agents[0].responder.send(frame, to: Simulation.director)
            simulation.at(simulation.now, .toDirector(bytes!, from: simulation.agents[0].endpoint))
            simulation.run(until: simulation.now + 5_000)
        }
        let messages: [Message] = [
            .flowQuery(key), .terminate(Terminate(cause: .handBack, transfer: transfer, psn: SequenceNumber(0))),
        ]
        for (number, message) in messages.enumerated() {
            say(message)
            #expect(simulation.core.counters[.misplaced] == UInt64(number + 1), "\(message)")
        }
        // Nobody has asked for what is under way; and the request alone is not that: then an offer waits for its blob.
        var elsewhere = Transfer(
            connection: try #require(simulation.agents[0].adoptions[transfer]?.connection), request: [])
        elsewhere.handsBack = transfer
        elsewhere.blob = BlobReference(identifier: 1, of: [])
        let refused = { simulation.core.counters[.moveRefused] }
        say(.transfer(elsewhere))
        #expect(refused() == 1)
        simulation.core.evacuations[0] = Evacuation([], now: simulation.now)
        say(.transfer(elsewhere), 9_001)
        #expect(refused() == 1 && simulation.core.moves.isEmpty)
        #expect(phase(simulation) == .committed(ProxyIndex(0)))
    }

    @Test func itMovesBackAndForth() throws {
        var (simulation, transfer) = try served()
        handBack(&simulation, transfer, for: 50_000)
        let second = try #require(simulation.agents[1].adoptions.keys.first)
        handBack(&simulation, second, at: 1, for: 50_000)
        #expect(phase(simulation) == .committed(ProxyIndex(0)))
        #expect(simulation.agents[0].adoptions.values.map(\.speaks) == [true])
        expectsNothingWrong(simulation)
    }

    @Test func itStaysWhenTheOtherRefuses() throws {
        var (simulation, transfer) = try served { $0.poorAgents = [1] }
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.agents[0].kept == 1 && simulation.agents[0].adoptions[transfer]?.speaks == true)
        #expect(simulation.core.counters[.moveRefused] == 1 && simulation.core.counters[.nack] == 1)
        #expect(simulation.core.transfers.count == 1 && simulation.core.moves.isEmpty)
        expectsNothingWrong(simulation)
    }

    @Test func itStaysWhenThereIsNobodyElse() throws {
        var (simulation, transfer) = try served(adjust: { $0.proxies.removeLast() })
        let asked = simulation.core.counters[.committed]
        handBack(&simulation, transfer, for: 5_000)
        #expect(simulation.agents[0].kept == 1 && simulation.core.counters[.moveRefused] == 1)
        #expect(simulation.core.counters[.committed] == asked && simulation.core.moves.isEmpty)
        expectsNothingWrong(simulation)
    }

    @Test func itStaysWhenTheRuleRelays() throws {
        var (simulation, transfer) = try served()
        var wanted = simulation.start
        wanted.rules[0].laterRequests = .relay
        _ = try simulation.core.reload(wanted, keys: Simulation.keys, now: simulation.now)
        simulation.carryOut()
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.agents[0].kept == 1 && simulation.agents[1].answers.isEmpty)
        expectsNothingWrong(simulation)
    }

    /// The second one's ACK comes when the first one has the connection again: it is called back.
    @Test func itStaysWhenTheOtherIsLate() throws {
        var (simulation, transfer) = try served { $0.slowAgents = [1: 120_000...120_000] }
        handBack(&simulation, transfer, for: 110_000)
        #expect(simulation.agents[0].kept == 1 && simulation.agents[0].adoptions[transfer]?.speaks == true)
        simulation.run(until: simulation.now + 3_000_000)
        #expect(simulation.agents[1].adoptions.isEmpty && simulation.agents[1].committedCount == 0)
        #expect(phase(simulation) == .committed(ProxyIndex(0)) && simulation.core.transfers.count == 1)
        expectsNothingWrong(simulation)
    }

    @Test(arguments: [true, false]) func aThirdIsAskedWhenTheSecondDoesNotTakeIt(isPoor: Bool) throws {
        var (simulation, transfer) = try served(agents: 3) {
            if isPoor { $0.poorAgents = [1] } else { $0.slowAgents = [1: 60_000...60_000] }
        }
        handBack(&simulation, transfer, for: 90_000)
        #expect(simulation.core.counters[.passedOn] == 1 && simulation.agents[0].movedAway == 1)
        #expect(phase(simulation) == .committed(ProxyIndex(2)))
        simulation.run(until: simulation.now + 3_000_000)
        #expect(simulation.agents.map(\.adoptions.count) == [0, 0, 1] && simulation.core.transfers.count == 1)
        expectsNothingWrong(simulation)
    }

    /// No group is asked for a connection that is on offer: one proxy is.
    @Test func aRuleThatAsksGroupsAsksOneForIt() throws {
        var (simulation, transfer) = try served(
            agents: 3, adjust: { $0.crtp.multicast = .init(group: Simulation.group) })
        _ = simulation.core.setAlgorithm(.multicast)
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.groupDatagrams == 0 && simulation.agents[0].movedAway == 1)
        #expect(simulation.agents.map(\.committedCount).reduce(0, +) == 2)
        expectsNothingWrong(simulation)
    }

    // MARK: in between

    /// Whatever the first proxy says of the connection's end while the worker moves it, the other one's goes on.
    @Test func theFirstOnesEndWhileTheWorkerHasTheWordEndsNothing() throws {
        var (simulation, transfer) = try served { $0.ringMicroseconds = 20_000...20_000 }
        handBack(&simulation, transfer, for: 5_000)
        #expect(
            simulation.core.transfers.slotsInUse.contains { simulation.core.transfers[$0].machine.state == .granting })
        simulation.at(simulation.now, .dies(0, transfer))
        simulation.run(until: simulation.now + 100_000)
        #expect(phase(simulation) == .committed(ProxyIndex(1)) && simulation.core.transfers.count == 1)
        #expect(simulation.agents[1].adoptions.values.map(\.speaks) == [true])
        expectsNothingWrong(simulation)
    }

    /// The same, and the worker does not move it: then it is over.
    @Test func theFirstOnesEndCountsWhenTheWorkerRefuses() throws {
        var (simulation, transfer) = try served { $0.ringMicroseconds = 20_000...20_000 }
        for worker in simulation.workers.indices { simulation.workers[worker].refusesMoves = true }
        handBack(&simulation, transfer, for: 5_000)
        simulation.at(simulation.now, .dies(0, transfer))
        simulation.run(until: simulation.now + 3_000_000)
        #expect(phase(simulation) == .ended && simulation.core.transfers.count == 0)
        #expect(simulation.agents[1].adoptions.isEmpty && simulation.agents[1].committedCount == 0)
        expectsNothingWrong(simulation)
    }

    @Test func aWorkerThatRefusesLeavesItWhereItWas() throws {
        var (simulation, transfer) = try served()
        for worker in simulation.workers.indices { simulation.workers[worker].refusesMoves = true }
        handBack(&simulation, transfer, for: 3_000_000)
        #expect(simulation.agents[0].kept == 1 && phase(simulation) == .committed(ProxyIndex(0)))
        #expect(simulation.agents[1].adoptions.isEmpty && simulation.core.transfers.count == 1)
        expectsNothingWrong(simulation)
    }

    /// The connection ends at the first proxy before the other one has answered: that one is called back.
    @Test func theFirstOnesEndBeforeTheAnswerEndsTheAsking() throws {
        var (simulation, transfer) = try served { $0.slowAgents = [1: 10_000...10_000] }
        handBack(&simulation, transfer, for: 5_000)
        simulation.at(simulation.now, .dies(0, transfer))
        simulation.run(until: simulation.now + 3_000_000)
        #expect(phase(simulation) == .ended && simulation.core.transfers.count == 0)
        #expect(simulation.agents[1].adoptions.isEmpty && simulation.agents[1].committedCount == 0)
        expectsNothingWrong(simulation)
    }

    /// The other proxy is gone between its answer and the worker's word, and the worker did not move the flow.
    @Test func theOthersEndWhileTheWorkerHasTheWordIsNotTheConnections() throws {
        var (simulation, transfer) = try served { $0.ringMicroseconds = 20_000...20_000 }
        for worker in simulation.workers.indices { simulation.workers[worker].refusesMoves = true }
        handBack(&simulation, transfer, for: 5_000)
        let other = try #require(simulation.agents[1].adoptions.keys.first)
        simulation.at(simulation.now, .dies(1, other))
        simulation.run(until: simulation.now + 3_000_000)
        #expect(phase(simulation) == .committed(ProxyIndex(0)) && simulation.core.transfers.count == 1)
        #expect(simulation.agents[0].adoptions[transfer]?.speaks == true)
        expectsNothingWrong(simulation)
    }

    /// It has a new epoch and counts its offers from the beginning: what was said to its former self is not for it.
    @Test func anAgentThatStartsAnewIsAnsweredAnew() throws {
        var (simulation, transfer) = try served { $0.poorAgents = [] }
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.agents[0].movedAway == 1 && simulation.core.moves.count == 1)
        simulation.at(simulation.now, .restartAgent(0))
        simulation.run(until: simulation.now + 10_000_000)
        #expect(simulation.core.proxies[0].isUp)
        _ = simulation.core.setAlgorithm(.enforced)
        simulation.at(simulation.now, .arrival(20_001))
        simulation.run(until: simulation.now + 50_000)
        _ = simulation.core.setAlgorithm(.roundRobin)
        simulation.conditions.poorAgents = [1]
        let again = try #require(simulation.agents[0].adoptions.keys.first)
        handBack(&simulation, again, for: 50_000)
        #expect(simulation.agents[0].kept == 1 && simulation.agents[0].movedAway == 1)
        #expect(simulation.agents[0].adoptions[again]?.speaks == true)
        expectsNothingWrong(simulation)
    }

    // MARK: what the agent asks

    /// CANCEL that overtakes its offer makes the offer void for ever.
    @Test func anOfferThatWasTakenBackIsNeverTaken() throws {
        var (simulation, transfer) = try served()
        let made = simulation.agents[0].handBack(transfer, now: simulation.now)
        let offer = try #require(made)
        let number = try #require(simulation.agents[0].offers.keys.first)
        simulation.at(simulation.now, .cancelOffer(0, number))
        simulation.run(until: simulation.now + 5_000)
        #expect(simulation.agents[0].kept == 1 && simulation.agents[0].adoptions[transfer]?.speaks == true)
        simulation.at(simulation.now, .toDirector(offer, from: simulation.agents[0].endpoint))
        simulation.run(until: simulation.now + 100_000)
        #expect(simulation.agents[1].answers.isEmpty && phase(simulation) == .committed(ProxyIndex(0)))
        expectsNothingWrong(simulation)
    }

    @Test func takingAnOfferBackEndsTheAsking() throws {
        var (simulation, transfer) = try served { $0.slowAgents = [1: 10_000...10_000] }
        handBack(&simulation, transfer, for: 5_000)
        let number = try #require(simulation.agents[0].offers.keys.first)
        simulation.at(simulation.now, .cancelOffer(0, number))
        simulation.run(until: simulation.now + 3_000_000)
        #expect(simulation.agents[0].kept == 1 && phase(simulation) == .committed(ProxyIndex(0)))
        #expect(simulation.agents[1].adoptions.isEmpty && simulation.agents[1].committedCount == 0)
        expectsNothingWrong(simulation)
    }

    /// There is no answer while it is not known; then the one that is true.
    @Test func takingAnOfferBackWhileTheWorkerHasTheWordWaits() throws {
        var (simulation, transfer) = try served { $0.ringMicroseconds = 20_000...20_000 }
        handBack(&simulation, transfer, for: 5_000)
        let number = try #require(simulation.agents[0].offers.keys.first)
        simulation.at(simulation.now, .cancelOffer(0, number))
        simulation.run(until: simulation.now + 5_000)
        #expect(simulation.agents[0].offers.count == 1 && simulation.agents[0].kept == 0)
        simulation.run(until: simulation.now + 100_000)
        #expect(simulation.agents[0].movedAway == 1 && phase(simulation) == .committed(ProxyIndex(1)))
        expectsNothingWrong(simulation)
    }

    // MARK: reload

    @Test func aProxyThatIsTakenAwayHandsBackStill() throws {
        var (simulation, transfer) = try served()
        var wanted = simulation.start
        wanted.proxies.removeFirst()
        _ = try simulation.core.reload(wanted, keys: Simulation.keys, now: simulation.now)
        simulation.carryOut()
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.agents[0].movedAway == 1 && phase(simulation) == .committed(ProxyIndex(1)))
        // With its last connection the proxy's place is free, and nothing of it is remembered.
        simulation.run(until: simulation.now + 5_000_000)
        #expect(simulation.core.proxies[0].phase == .free)
        #expect(simulation.core.moves.number(proxy: 0, offer: 1) == nil)
        expectsNothingWrong(simulation)
    }

    @Test func aProxyThatIsTakenAwayGetsNone() throws {
        var (simulation, transfer) = try served()
        var wanted = simulation.start
        wanted.proxies.removeLast()
        _ = try simulation.core.reload(wanted, keys: Simulation.keys, now: simulation.now)
        simulation.carryOut()
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.agents[0].kept == 1 && simulation.agents[1].answers.isEmpty)
        expectsNothingWrong(simulation)
    }

    @Test func aProxyThatIsDrainedGetsNone() throws {
        var (simulation, transfer) = try served()
        _ = simulation.core.set(.drain, proxy: "p1", now: simulation.now)
        handBack(&simulation, transfer, for: 50_000)
        #expect(simulation.agents[0].kept == 1 && simulation.agents[1].answers.isEmpty)
        expectsNothingWrong(simulation)
    }
}

/// What is remembered of offers.
@Suite struct MoveTableTests {
    @Test func whatIsVoidIsSaidByTheHighestNumber() {
        var table = MoveTable()
        let known = table.open(proxy: 1, offer: 5, psn: SequenceNumber(9), attempt: 0, source: 3)
        table.void(proxy: 1, offer: 8)
        #expect(
            table.isVoid(proxy: 1, offer: 7) && !table.isVoid(proxy: 1, offer: 9) && !table.isVoid(proxy: 0, offer: 7))
        // One that is open is not void for that.
        #expect(table.number(proxy: 1, offer: 5) == known)
        table.remove(known)
        #expect(table.number(proxy: 1, offer: 5) == nil && table.isVoid(proxy: 1, offer: 5) && table.isEmpty)
        // Numbers go round.
        table.void(proxy: 2, offer: .max)
        #expect(!table.isVoid(proxy: 2, offer: 3))
        table.void(proxy: 2, offer: 3)
        #expect(table.isVoid(proxy: 2, offer: .max))
    }

    /// A slot that a forgotten move would name is another transfer's next.
    @Test func aMoveThatIsOverHasNoTarget() {
        var table = MoveTable()
        let number = table.open(proxy: 1, offer: 5, psn: SequenceNumber(9), attempt: 0, source: 3)
        table.remove(number)
        table.ask(number, target: 4)
        #expect(table.number(target: 4) == nil && table.isEmpty)
    }

    @Test func aNewAgentsNumbersAreItsOwn() {
        var table = MoveTable()
        let number = table.open(proxy: 1, offer: 5, psn: SequenceNumber(9), attempt: 0, source: 3)
        table.ask(number, target: 4)
        table.void(proxy: 1, offer: 8)
        table.forget(proxy: 1)
        #expect(table.number(proxy: 1, offer: 5) == nil && !table.isVoid(proxy: 1, offer: 5))
        // The move itself goes on, and its end says nothing of the new numbers.
        #expect(table.number(source: 3) == number && table.number(target: 4) == number)
        table.remove(number)
        #expect(!table.isVoid(proxy: 1, offer: 5) && table.isEmpty)
    }
}
