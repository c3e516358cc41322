import CRTP
import Control
import InterCore
import Testing
import Wire

/// A proxy that an operator wants empty.
@Suite struct EvacuationTests {
    /// So many connections with the first of the proxies, and the others asked from now on.
    private func served(
        _ count: Int, agents: Int = 2, later: DirectorConfiguration.LaterRequests = .move,
        _ adjust: (inout Simulation.Conditions) -> Void = { _ in }
    ) -> Simulation {
        var conditions = Simulation.Conditions()
        conditions.delayMicroseconds = 50...60
        conditions.laterRequests = later
        conditions.isEndless = true
        conditions.agentCount = agents
        var simulation = Simulation.ready(seed: 11, conditions) {
            $0.crtp.algorithm = .enforced
            $0.timeout.floorMicroseconds = 30_000
            $0.timeout.initialMicroseconds = 30_000
        }
        for number in 0..<count {
            simulation.at(simulation.now + UInt64(number) * 500, .arrival(20_000 + UInt16(number)))
        }
        simulation.run(until: simulation.now + UInt64(count) * 500 + 100_000)
        #expect(simulation.core.proxies[0].committed == count)
        _ = simulation.core.setAlgorithm(.roundRobin)
        adjust(&simulation.conditions)
        return simulation
    }

    private func expectsNothingWrong(_ simulation: Simulation) {
        #expect(simulation.agents.allSatisfy { $0.failures.isEmpty }, "\(simulation.agents.map(\.failures))")
        #expect(simulation.core.counters[.unconfirmed] == 0 && simulation.core.counters[.misjudged] == 0)
        #expect(simulation.core.pendingCount == 0 && simulation.core.moves.released.isEmpty)
    }

    private func evacuate(_ simulation: inout Simulation, for time: UInt64) {
        let isSet = simulation.core.set(.evacuate, proxy: "p0", now: simulation.now)
        #expect(isSet)
        simulation.carryOut()
        simulation.run(until: simulation.now + time)
    }

    @Test(arguments: [DirectorConfiguration.LaterRequests.move, .relay])
    func theOthersGoOnWithAll(later: DirectorConfiguration.LaterRequests) {
        var simulation = served(200, agents: 3, later: later)
        // An agent has only so many on offer at once: what it does not get to is asked for again.
        evacuate(&simulation, for: 8_000_000)
        #expect(simulation.core.proxies.map(\.committed) == [0, 100, 100])
        #expect(simulation.agents[0].movedAway == 200 && simulation.agents[0].adoptions.isEmpty)
        #expect(simulation.core.proxyStatus()[0].movedAway == 200)
        expectsNothingWrong(simulation)
    }

    /// Until it is set up again: of what it gets then nothing is asked back.
    @Test func itEndsWithAnotherWish() {
        var simulation = served(10)
        evacuate(&simulation, for: 900_000)
        let isSet = simulation.core.set(.up, proxy: "p0", now: simulation.now)
        #expect(isSet && simulation.core.evacuations.isEmpty)
        _ = simulation.core.setAlgorithm(.enforced)
        simulation.at(simulation.now, .arrival(30_000))
        simulation.run(until: simulation.now + 5_000_000)
        #expect(simulation.core.proxies.map(\.committed) == [1, 10])
        expectsNothingWrong(simulation)
    }

    /// Its agent answers the wish, and is told that it is none any more.
    @Test func whatIsNotWantedAnyMoreStays() {
        var simulation = served(10)
        evacuate(&simulation, for: 0)
        let isSet = simulation.core.set(.up, proxy: "p0", now: simulation.now)
        #expect(isSet)
        simulation.run(until: simulation.now + 5_000_000)
        #expect(simulation.core.proxies.map(\.committed) == [10, 0] && simulation.agents[0].kept == 10)
        #expect(simulation.core.proxyStatus()[0].movesRefused > 0)
        expectsNothingWrong(simulation)
    }

    /// Whatever is lost, repeated and late: one server speaks to a client at any time, and none is left behind.
    @Test(arguments: [1, 20, 1_100_000]) func underLossOfAFifth(bytes: Int) {
        var simulation = served(bytes > 1_000_000 ? 4 : 60) {
            $0.lossPercent = 20
            $0.duplicationPercent = 5
            $0.delayMicroseconds = 50...2_000
        }
        for index in simulation.agents.indices { simulation.agents[index].blobBytes = bytes }
        let all = simulation.core.proxies[0].committed
        evacuate(&simulation, for: 60_000_000)
        // Silence of a channel, which such losses cause, gives up what was on offer.
        let lost = simulation.agents.map(\.lost).reduce(0, +)
        #expect(simulation.core.proxies[0].committed == 0)
        #expect(simulation.core.proxies[1].committed + lost >= all)
        #expect(simulation.agents.allSatisfy { $0.failures.isEmpty }, "\(simulation.agents.map(\.failures))")
    }

    /// What nobody else takes stays, and is asked for again in later rounds.
    @Test func whatNobodyTakesStays() {
        var simulation = served(5) { $0.poorAgents = [1] }
        evacuate(&simulation, for: 4_000_000)
        #expect(simulation.core.proxies.map(\.committed) == [5, 0])
        #expect(simulation.agents[0].adoptions.values.allSatisfy(\.speaks) && simulation.agents[0].kept >= 10)
        #expect(simulation.core.proxyStatus()[0].movesRefused >= 10)
        simulation.conditions.poorAgents = []
        simulation.run(until: simulation.now + 12_000_000)
        #expect(simulation.core.proxies.map(\.committed) == [0, 5])
        expectsNothingWrong(simulation)
    }

    /// An agent of before this had a name is drained, and asked for nothing that it would not understand.
    @Test func onlyProxiesThatCanTakeBlobsAreAsked() {
        var simulation = served(3, agents: 2)
        simulation.core.proxies[1].agent?.capabilities.remove(.blobs)
        evacuate(&simulation, for: 500_000)
        #expect(simulation.core.proxies.map(\.committed) == [3, 0] && simulation.agents[1].committedCount == 0)
        expectsNothingWrong(simulation)
    }

    /// What went along is not kept: neither with a transfer that is over, nor after a refusal.
    @Test func blobsAreNotKept() {
        var simulation = served(20, agents: 3) { $0.poorAgents = [1] }
        evacuate(&simulation, for: 8_000_000)
        #expect(simulation.core.proxies.map(\.committed) == [0, 0, 20])
        #expect(simulation.core.history.newestFirst.contains { $0.request?.transfer.blob != nil })
        #expect(simulation.core.history.newestFirst.allSatisfy { $0.request?.blob == nil })
        #expect(simulation.core.transfers.slotsInUse.allSatisfy { simulation.core.transfers[$0].request?.blob == nil })
        #expect(simulation.core.blobs.arriving.blobsHeld == 0 && simulation.core.blobs.arriving.bytesHeld == 0)
        expectsNothingWrong(simulation)
    }

    /// A lost blob says nothing of its receiver: it is asked for new connections as before.
    @Test func aBlobThatDoesNotArriveSetsNoProxyAside() {
        var simulation = served(6)
        simulation.conditions.slowAgents = [1: 40_000_000...40_000_000]
        evacuate(&simulation, for: 15_000_000)
        let other = simulation.core.proxies[1]
        #expect(simulation.core.counters[.timeout] > 0 && other.consecutiveTimeouts == 0 && !other.isSuspect)
    }

    /// Whoever gets its place is not emptied.
    @Test func aProxyThatIsTakenAwayLeavesNoWishBehind() {
        var simulation = served(1)
        let isSet = simulation.core.set(.evacuate, proxy: "p1", now: simulation.now)
        #expect(isSet && simulation.core.evacuations.keys.sorted() == [1])
        simulation.carryOut()
        for number in 0...1 {
            simulation.at(simulation.now, .reload(number))
            simulation.run(until: simulation.now + 3_000_000)
            #expect(simulation.core.evacuations.isEmpty)
        }
        #expect(simulation.core.proxies[1].phase == .active && simulation.core.proxies[1].wish == .up)
    }

    // MARK: the list

    @Test func soManyAtOnceAndUntilItIsHeard() {
        var evacuation = Evacuation(Array(1...100), now: 1_000)
        let first = evacuation.due(at: 1_000)
        #expect(first.count == 64)
        let none = evacuation.due(at: 11_000)
        #expect(none.isEmpty)
        // Whoever has gone, or stays, makes room for another one.
        for transfer in first.prefix(30) { evacuation.isOver(transfer) }
        let more = evacuation.due(at: 21_000)
        #expect(more.count == 30)
        let silent = first[63]
        for transfer in first + more where transfer != silent { evacuation.heard(transfer) }
        var asked: [UInt32] = []
        for time in stride(from: UInt64(31_000), to: 480_000, by: 10_000) { asked += evacuation.due(at: time) }
        #expect(asked == [silent, silent, silent])
        // Nothing has become of these: the last ones have their turn.
        let last = evacuation.due(at: 531_000)
        #expect(last.count == 6 && Set(last).isDisjoint(with: first) && Set(last).isDisjoint(with: more))
        #expect(evacuation.nextRound == 1_001_000)
        evacuation.begin([7], now: 1_001_000)
        let again = evacuation.due(at: 1_041_000)
        #expect(again == [7] && evacuation.nextRound == 3_001_000)
    }
}
