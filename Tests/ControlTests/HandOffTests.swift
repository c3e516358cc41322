import CRTP
import Control
import InterCore
import Testing
import Wire

/// Proxies that are not asked: one datagram, after the worker's word, and again when the client repeats its request.
@Suite struct HandOffTests {
    private static let handOff: UInt8 = 20
    private static let transfer: UInt8 = 16

    private func ready(
        _ conditions: Simulation.Conditions = .init(), adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) -> Simulation {
        Simulation.ready(seed: 5, conditions) {
            $0.rules[0].handOff = .oneWay
            $0.rules[0].algorithm = .enforced
            adjust(&$0)
        }
    }

    private func ask(_ simulation: inout Simulation, _ count: UInt16 = 1) {
        for number in 0..<count {
            simulation.at(simulation.now + UInt64(number) * 10_000, .arrival(1_000 + number))
        }
    }

    private func frames(_ simulation: Simulation, _ type: UInt8) -> Int {
        simulation.sent.values.joined().count { $0 == type }
    }

    /// As far as the core's own hands: nothing leaves before the worker has said that the request is the proxy's.
    @Test func theAgentHearsOfItAfterTheWorkersWord() throws {
        var simulation = ready()
        let held = heldRequest()
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        let handle = held.request.handle
        #expect(simulation.core.actions == [.command(.verdict(handle, .handOff(ProxyIndex(0))), worker: 0)])
        simulation.core.actions = []
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        simulation.core.handle(.committed(handle), payload: nothing, worker: 0, now: simulation.now)
        let sent = simulation.core.actions.compactMap { action -> [UInt8]? in
            if case .transmit(let datagram, let peer) = action, peer == simulation.agents[0].endpoint {
                datagram
            } else {
                nil
            }
        }
        #expect(sent.map { $0[1] } == [Self.handOff])
    }

    @Test func nobodyWaits() {
        var simulation = ready()
        ask(&simulation, 20)
        simulation.run(until: simulation.now + 1_000_000)
        #expect(simulation.core.counters[.committed] == 20 && simulation.core.counters[.handedOff] == 20)
        #expect(frames(simulation, Self.transfer) == 0 && frames(simulation, Self.handOff) == 20)
        #expect(simulation.agents[0].committedCount == 20 && simulation.agents[0].copies == 0)
        // Two ways over a ring, and none over the network.
        #expect(simulation.core.decisionTimes.sumMicroseconds <= 20 * 600)
        #expect(simulation.core.handOffs.unanswered.isEmpty)
        #expect(simulation.workers.allSatisfy { $0.flows.values.allSatisfy(\.isOriginReset) })
    }

    @Test func whatIsLostIsSentAgainWhenTheClientAsksAgain() {
        var conditions = Simulation.Conditions()
        conditions.duplicationPercent = 20
        var simulation = ready(conditions)
        simulation.conditions.lossPercent = 60
        ask(&simulation, 100)
        // A client that repeats its request fifteen times has 0.05 % of being lost.
        simulation.run(until: simulation.now + 60_000_000)
        let taken = Set(simulation.agents[0].takenOver.values)
        #expect(taken.count == 100 && simulation.agents[0].takenOver.count == 100, "each once")
        #expect(simulation.core.counters[.committed] == 100 && simulation.core.counters[.handedOff] == 100)
        #expect(simulation.core.counters[.handedOffAgain] > 20 && simulation.core.counters[.cancelled] == 0)
        #expect(simulation.agents[0].failures.isEmpty && simulation.workers.allSatisfy { $0.failures.isEmpty })
        #expect(simulation.core.handOffs.unanswered.isEmpty)
    }

    @Test func aCopyChangesNothing() {
        var simulation = ready { $0.rules[0].laterRequests = .relay }
        simulation.conditions.isEndless = true
        ask(&simulation)
        simulation.run(until: simulation.now + 10_000)
        let handle = simulation.workers.flatMap { worker in worker.flows.keys.map { worker.handle($0) } }.first!
        for pause in 1...3 as ClosedRange<UInt64> {
            let event = Simulation.Step.event(.requestRepeated(handle), payload: [], worker: Int(handle.worker))
            simulation.at(simulation.now + pause * 10_000, event)
        }
        simulation.run(until: simulation.now + 100_000)
        #expect(simulation.core.counters[.handedOffAgain] == 3 && simulation.agents[0].copies == 3)
        #expect(simulation.agents[0].committedCount == 1 && simulation.core.counters[.committed] == 1)
        // The client has its answer: nothing is kept for it any more.
        simulation.run(until: simulation.now + 300_000)
        #expect(simulation.core.handOffs.unanswered.isEmpty)
    }

    @Test func whatTheWorkerHasGivenToTheOriginIsNeverHandedOff() {
        var simulation = ready()
        let held = heldRequest()
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        for event in [WorkerEvent.aborted(held.request.handle, .backstop), .requestRepeated(held.request.handle)] {
            simulation.core.handle(event, payload: nothing, worker: 0, now: simulation.now)
        }
        simulation.carryOut()
        simulation.run(until: simulation.now + 1_000_000)
        #expect(frames(simulation, Self.handOff) == 0 && simulation.core.counters[.aborted] == 1)
        #expect(simulation.core.transfers.count == 0 && simulation.core.counters[.cancelled] == 0)
    }

    /// The agent could not adopt: the client is not left to repeat its request for ever.
    @Test func whatCannotBeAdoptedIsGivenUp() {
        var simulation = ready()
        simulation.agents[0].cannotAdopt = 1
        ask(&simulation)
        simulation.run(until: simulation.now + 5_000_000)
        #expect(simulation.core.counters[.handOffRefused] == 1 && simulation.agents[0].takenOver.isEmpty)
        let phases = simulation.workers.flatMap { $0.flows.values.map(\.phase) }
        #expect(phases == [.ended] && simulation.core.transfers.count == 0)
        #expect(simulation.core.handOffs.unanswered.isEmpty)
    }

    @Test func whatDoesNotFitIsAskedFor() {
        var simulation = ready()
        var held = heldRequest()
        // A body behind the head.
        held.request.heldLength += 1
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        simulation.carryOut()
        simulation.run(until: simulation.now + 10_000)
        #expect(frames(simulation, Self.transfer) == 1 && frames(simulation, Self.handOff) == 0)
    }

    @Test func aChoiceThatNobodyIsResponsibleForIsAskedFor() {
        var simulation = ready()
        let isChanged = simulation.core.setAlgorithm(.roundRobin, rule: "all")
        #expect(isChanged)
        ask(&simulation)
        simulation.run(until: simulation.now + 1_000_000)
        #expect(frames(simulation, Self.transfer) == 1 && frames(simulation, Self.handOff) == 0)
        #expect(simulation.core.counters[.committed] == 1)
    }

    @Test func anotherKeyIsAnotherSession() {
        var simulation = ready()
        ask(&simulation)
        simulation.run(until: simulation.now + 100_000)
        simulation.core.useKeys(simulation.core.keys.ring, files: [:], now: simulation.now)
        simulation.carryOut()
        simulation.at(simulation.now + 10_000, .arrival(2_000))
        simulation.run(until: simulation.now + 1_000_000)
        #expect(simulation.agents[0].takenOver.count == 2)
    }
}
