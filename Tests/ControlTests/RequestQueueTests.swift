import CRTP
import Control
import InterCore
import Testing
import Wire

@Suite struct RequestQueueTests {
    private func waiting(_ number: UInt32, rule: Int, since: UInt64) -> RequestQueue.Waiting {
        let handle = FlowHandle(worker: 0, index: number, generation: 1)
        let held = heldRequest(handle: handle)
        let request = held.payload.withUnsafeBytes {
            TransferRequest(held.request, rule: rule, isHeld: true, payload: $0)
        }
        return RequestQueue.Waiting(handle: handle, request: request, since: since)
    }

    /// Against a plain array: what is served and what is shed, whoever leaves before.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func servesByPriorityThenAgeAndShedsTheOpposite(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let priorities = [50, 10, 50, 200]
        var queue = RequestQueue(limit: 12, patienceMicroseconds: 500, priorities: priorities)
        var model: [RequestQueue.Waiting] = []
        let order = { (waiting: RequestQueue.Waiting) in (priorities[waiting.request.rule], waiting.since) }
        for now in 1...2_000 as ClosedRange<UInt64> {
            switch Int.random(in: 0..<8, using: &random) {
            case 0..<5:
                let new = waiting(UInt32(now), rule: Int.random(in: 0..<4, using: &random), since: now)
                model.append(new)
                let shed = queue.append(new)
                let expected = model.count > 12 ? model.max { order($0) < order($1) } : nil
                #expect(shed?.handle == expected?.handle)
                model.removeAll { $0.handle == expected?.handle }
            case 5:
                let next = queue.nextRule { _ in true }.flatMap { queue.removeFirst($0) }
                let expected = model.min { order($0) < order($1) }
                #expect(next?.handle == expected?.handle)
                model.removeAll { $0.handle == expected?.handle }
            case 6:
                guard let gone = model.randomElement(using: &random) else { continue }
                queue.remove(gone.handle)
                model.removeAll { $0.handle == gone.handle }
                #expect(!queue.contains(gone.handle))
            default:
                let deadline = model.map { $0.since + 500 }.min()
                #expect(queue.nextDeadline == deadline)
                while let expired = queue.removeExpired(now: now) {
                    #expect(expired.since + 500 <= now)
                    model.removeAll { $0.handle == expired.handle }
                }
                #expect(model.allSatisfy { $0.since + 500 > now })
            }
            #expect(queue.count == model.count && queue.count <= 12)
            #expect(model.allSatisfy { queue.contains($0.handle) })
        }
    }

    // MARK: In the control core

    /// Two rules of unequal importance, by path; agents whose credits are few.
    private func ready(credits: UInt32, _ adjust: (inout DirectorConfiguration) -> Void = { _ in }) -> Simulation {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = 2_000...2_000
        conditions.credits = credits
        var simulation = Simulation(seed: 3, conditions) {
            $0.rules[0].name = "important"
            $0.rules[0].paths = ["/first/*"]
            $0.rules[0].priority = 1
            $0.rules.append(.init(name: "other"))
            $0.timeout.floorMicroseconds = 20_000
            adjust(&$0)
        }
        // Between two KEEPALIVEs: the agents' word of their credits is always the same.
        simulation.run(until: 2_300_000)
        return simulation
    }

    private func hold(_ simulation: inout Simulation, _ number: UInt16, path: String) {
        let handle = simulation.workers[0].hold(heldRequest(port: number).request.connection.key)
        let held = heldRequest(path: path, port: number, handle: handle)
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        simulation.carryOut()
    }

    @Test func whoeverMattersMoreIsServedFirst() {
        var simulation = ready(credits: 1) { $0.crtp.queue.patienceMicroseconds = 50_000 }
        for number in 1...2 as ClosedRange<UInt16> { hold(&simulation, number, path: "/other") }
        #expect(simulation.core.queue.count == 0 && simulation.core.pendingCount == 2)
        for number in 3...5 as ClosedRange<UInt16> { hold(&simulation, number, path: "/other") }
        for number in 6...7 as ClosedRange<UInt16> { hold(&simulation, number, path: "/first/a") }
        #expect(simulation.core.queue.count == 5 && simulation.core.pendingCount == 2)
        #expect(simulation.core.status(workers: [], now: simulation.now).queuedRequests == 5)
        simulation.run(until: simulation.now + 60_000)
        #expect(simulation.core.counters[.committed] == 7 && simulation.core.queue.isEmpty)
        let rows = simulation.core.transferStatus(limit: 10, now: simulation.now).reversed()
        #expect(rows.map(\.path).prefix(4).suffix(2) == ["/first/a", "/first/a"])
    }

    @Test func overloadShedsTheLeastImportantAndTheYoungest() {
        var simulation = ready(credits: 1) { $0.crtp.queue.requests = 3 }
        for number in 1...6 as ClosedRange<UInt16> { hold(&simulation, number, path: "/other") }
        #expect(simulation.core.shedByRule == [0, 1] && simulation.core.queue.count == 3)
        for number in 7...9 as ClosedRange<UInt16> { hold(&simulation, number, path: "/first/a") }
        #expect(simulation.core.shedByRule == [0, 4] && simulation.core.queue.count == 3)
        hold(&simulation, 10, path: "/other")
        #expect(simulation.core.shedByRule == [0, 5])
        hold(&simulation, 11, path: "/first/a")
        #expect(simulation.core.shedByRule == [1, 5] && simulation.core.counters[.shed] == 6)
        #expect(simulation.core.status(workers: [], now: simulation.now).shed == ["important": 1, "other": 5])
        simulation.run(until: simulation.now + 1_000)
        #expect(simulation.workers[0].flows.values.count { $0.phase == .aborted(.verdictOrigin) } == 6)
    }

    @Test func nobodyWaitsLongerThanIsAllowed() {
        var simulation = ready(credits: 1) { $0.crtp.queue.patienceMicroseconds = 1_000 }
        let start = simulation.now
        for number in 1...6 as ClosedRange<UInt16> { hold(&simulation, number, path: "/other") }
        #expect(simulation.core.nextDeadline.map { $0 <= start + 1_000 } == true)
        simulation.run(until: start + 1_200)
        #expect(simulation.core.queue.isEmpty && simulation.core.counters[.shed] == 4)
    }

    @Test func whoLeavesIsNotAskedFor() {
        var simulation = ready(credits: 1) { $0.crtp.queue.patienceMicroseconds = 50_000 }
        for number in 1...4 as ClosedRange<UInt16> { hold(&simulation, number, path: "/other") }
        let event = simulation.workers[0].abort(simulation.workers[0].handle(3), .clientReset)
        [UInt8]().withUnsafeBytes {
            simulation.core.handle(event, payload: $0, worker: 0, now: simulation.now)
        }
        #expect(simulation.core.queue.count == 1)
        simulation.run(until: simulation.now + 60_000)
        #expect(simulation.core.counters[.committed] == 3 && simulation.core.transfers.count <= 3)
    }

    @Test func aPauseThatAProxyAskedForIsKept() {
        var simulation = ready(credits: 100) { $0.crtp.queue.patienceMicroseconds = 50_000 }
        for index in 0..<2 { simulation.core.proxies[index].restsUntil = simulation.now + 20_000 }
        hold(&simulation, 1, path: "/other")
        #expect(simulation.core.queue.count == 1)
        simulation.run(until: simulation.now + 19_000)
        #expect(simulation.core.queue.count == 1 && simulation.core.pendingCount == 0)
        simulation.run(until: simulation.now + 1_200)
        #expect(simulation.core.queue.count == 0 && simulation.core.pendingCount == 1)
        // A pause longer than anyone may wait: the origin, at once.
        for index in 0..<2 { simulation.core.proxies[index].restsUntil = simulation.now + 1_000_000 }
        hold(&simulation, 2, path: "/other")
        #expect(simulation.core.queue.isEmpty && simulation.core.counters[.noProxy] == 1)
    }

    /// Ten times what the agents' credits bear, lossy: credits are never overdrawn, and everything ends.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func creditsAreNeverOverdrawnUnderLoad(seed: UInt64) {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 90
        conditions.agentMicroseconds = 500...3_000
        conditions.credits = 3
        conditions.lossPercent = seed % 2 == 0 ? 5 : 0
        conditions.clientResetPercent = 5
        var simulation = Simulation(seed: seed, conditions) {
            $0.crtp.queue.requests = 20
            $0.timeout.floorMicroseconds = 20_000
        }
        for number in 0..<1_000 as Range<UInt16> {
            simulation.at(2_500_000 + UInt64(number) * 100, .arrival(number + 1_000))
        }
        simulation.run(until: 2_500_000)
        while simulation.now < 2_700_000 {
            simulation.run(until: simulation.now + 100)
            #expect(simulation.core.proxies.allSatisfy { $0.pending <= 3 })
        }
        simulation.run(until: 160_000_000)
        let core = simulation.core
        #expect(core.counters[.shed] > 0 && core.counters[.committed] > 100)
        #expect(core.queue.isEmpty && core.pendingCount == 0 && core.transfers.count == 0)
        let outcomes = TransferOutcome.Ending.allCases.map { core.counters[$0] }.reduce(0, +)
        let gone = simulation.workers.flatMap(\.flows.values).count { $0.phase == .aborted(.clientReset) }
        #expect(outcomes <= 1_000 && outcomes >= 1_000 - UInt64(gone))
        for worker in simulation.workers {
            #expect(worker.flows.values.allSatisfy { $0.phase != .held && $0.commits <= 1 })
        }
    }
}
