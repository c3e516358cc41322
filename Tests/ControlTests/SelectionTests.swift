import CRTP
import Control
import InterCore
import Testing
import Wire

@Suite struct SelectionTests {
    private func proxies(weights: [Int]) -> [ProxyRecord] {
        weights.enumerated().map { index, weight in
            let endpoint = Endpoint(IPAddress(v4: UInt32(index + 1)), port: 1)
            var configuration = DirectorConfiguration.Proxy(name: "p\(index)", address: endpoint)
            configuration.weight = weight
            let keys = KeyRing(keys: [1: [UInt8](repeating: 1, count: 16)], current: 1)
            var record = ProxyRecord(
                index: ProxyIndex(UInt8(index)), configuration: configuration,
                channel: ChannelInitiator(peer: endpoint, keys: keys, senderID: 1, epoch: 1), timeout: .init())
            record.isUp = true
            record.agent = AgentDescription(
                name: "a", mac: MACAddress(1), epoch: 1, credits: 1_000, capabilities: [.ipv4, .http])
            return record
        }
    }

    private func choices(
        _ algorithm: SelectionAlgorithm, _ records: inout [ProxyRecord], _ count: Int, seed: UInt64 = 1
    ) -> [Int] {
        var selection = Selection(algorithm, among: Array(records.indices), of: records)
        var random = SplitMix(seed: seed)
        return (0..<count).map { number in
            let query = Selection.Query(needs: [.ipv4, .http], content: UInt64(number), now: 0)
            let chosen = selection.choose(of: &records, for: query, random: &random)
            if let chosen, algorithm != .applicationHash { records[chosen].pending += 1 }
            return chosen ?? -1
        }
    }

    private func load(
        _ records: inout [ProxyRecord], _ loads: [(connections: UInt32, processor: UInt16, memory: UInt16)]
    ) {
        for (index, load) in loads.enumerated() {
            records[index].update(
                AgentStatus(
                    connections: load.connections, credits: 10_000, processorLoad: load.processor,
                    memoryLoad: load.memory))
        }
    }

    @Test func roundRobinTakesTurns() {
        var records = proxies(weights: [1, 1, 1])
        #expect(choices(.roundRobin, &records, 7) == [0, 1, 2, 0, 1, 2, 0])
    }

    @Test func roundRobinFollowsTheWeightsSmoothly() {
        var records = proxies(weights: [5, 1, 1])
        #expect(choices(.roundRobin, &records, 7) == [0, 0, 1, 0, 2, 0, 0])
    }

    /// Turns are a rule's and an algorithm's own: what another one has chosen is no debt.
    @Test func anotherAlgorithmBeginsAnew() {
        var records = proxies(weights: [3, 2, 1])
        var selection = Selection(.leastConnections, among: [0, 1, 2], of: records)
        var random = SplitMix(seed: 1)
        let query = Selection.Query(needs: [.ipv4, .http], content: 0, now: 0)
        for _ in 0..<100 {
            if let chosen = selection.choose(of: &records, for: query, random: &random) { records[chosen].pending += 1 }
        }
        selection.change(to: .roundRobin, of: records)
        let chosen = (0..<6).map { _ in selection.choose(of: &records, for: query, random: &random) }
        #expect(chosen == [0, 1, 0, 2, 1, 0])
    }

    @Test func leastConnectionsEvensOut() {
        var records = proxies(weights: [1, 1, 2])
        records[0].committed = 4
        #expect(choices(.leastConnections, &records, 6).count { $0 == 0 } == 0)
        records = proxies(weights: [1, 1])
        #expect(choices(.leastConnections, &records, 4).sorted() == [0, 0, 1, 1])
    }

    @Test func leastConnectionsHeedsTheAgentsWordWithoutCountingTwice() {
        var records = proxies(weights: [1, 1])
        records[0].committed = 10
        records[0].update(AgentStatus(connections: 10, credits: 1_000))
        #expect(records[0].connections == 10)
        records[0].committed = 12
        #expect(records[0].connections == 12)
        records[1].update(AgentStatus(connections: 50, credits: 1_000))
        #expect(choices(.leastConnections, &records, 1) == [0])
    }

    @Test func leastLoadHeedsTheHigherOfBothLoads() {
        var records = proxies(weights: [1, 1, 1])
        load(&records, [(100, 300, 100), (100, 100, 290), (100, 100, 310)])
        #expect(choices(.leastLoad, &records, 1) == [1])
        // With each connection that it gets the estimate grows, so that not all run to one until the next word.
        records = proxies(weights: [1, 1, 1])
        load(&records, [(100, 300, 0), (100, 290, 0), (100, 900, 0)])
        #expect(choices(.leastLoad, &records, 8) == [1, 1, 1, 1, 0, 1, 0, 1])
    }

    @Test func leastLoadFollowsTheWeights() {
        var records = proxies(weights: [1, 3])
        load(&records, [(0, 200, 0), (0, 500, 0)])
        #expect(choices(.leastLoad, &records, 1) == [1], "500 for three is less than 200 for one")
    }

    @Test func mostLoadFillsOneBeforeTheNext() {
        var records = proxies(weights: [1, 1, 1])
        load(&records, [(10, 500, 0), (10, 880, 0), (10, 950, 0)])
        #expect(choices(.mostLoad, &records, 4) == [1, 0, 0, 0], "one more and the second is full")
        records = proxies(weights: [1, 1, 1])
        load(&records, [(10, 950, 0), (10, 910, 0), (10, 990, 0)])
        #expect(choices(.mostLoad, &records, 1) == [1], "all are full: the least loaded")
    }

    @Test func enforcedIsTheRulesFirstOrNone() {
        var records = proxies(weights: [1, 9])
        #expect(choices(.enforced, &records, 3) == [0, 0, 0])
    }

    @Test func twoChoicesIsNearlyEven() {
        var records = proxies(weights: [1, 1, 1, 1])
        let counts = Dictionary(grouping: choices(.twoChoices, &records, 400)) { $0 }.mapValues(\.count)
        #expect(counts.count == 4 && counts.values.allSatisfy { (98...102).contains($0) }, "\(counts)")
        records = proxies(weights: [1, 3])
        let weighted = choices(.twoChoices, &records, 400).count { $0 == 1 }
        #expect((297...303).contains(weighted))
        records = proxies(weights: [1, 1, 1])
        #expect(choices(.twoChoices, &records, 12, seed: 7) == [1, 2, 0, 1, 0, 2, 2, 1, 0, 1, 2, 0])
    }

    /// A recorded sequence: other directors, and later versions, must agree.
    @Test func anObjectHasItsProxy() {
        var records = proxies(weights: [1, 1, 2])
        let all = choices(.applicationHash, &records, 4_000)
        let again = choices(.applicationHash, &records, 4_000)
        #expect(all == again)
        let counts = (0..<3).map { index in all.count { $0 == index } }
        #expect(zip(counts, [1_000, 1_000, 2_000]).allSatisfy { abs($0 - $1) < 120 }, "by weight: \(counts)")
        #expect(Array(all.prefix(12)) == [0, 2, 2, 2, 2, 2, 2, 0, 2, 2, 2, 2])

        // A lost proxy's objects move, and nobody else's; they come back with it.
        records[1].isUp = false
        let without = choices(.applicationHash, &records, 4_000)
        for (before, now) in zip(all, without) { #expect(before == 1 ? now != 1 : now == before) }
        let heirs = zip(all, without).filter { $0.0 == 1 }.map(\.1)
        #expect(heirs.contains(0) && heirs.contains(2), "to more than one heir")
        records[1].isUp = true
        #expect(choices(.applicationHash, &records, 4_000) == all)
    }

    @Test func onlyThoseThatCanAreChosen() {
        for obstacle in 0..<7 {
            var records = proxies(weights: [1, 1])
            switch obstacle {
            case 0: records[0].isUp = false
            case 1: records[0].wish = .drain
            case 2: records[0].update(AgentStatus(credits: 10, isDraining: true))
            case 3: records[0].update(AgentStatus(credits: 0))
            case 4: records[0].agent?.capabilities = [.ipv6, .http]
            case 5: records[0].restsUntil = 5
            default: records[0].isSuspect = true
            }
            for algorithm in SelectionAlgorithm.allCases {
                // What is enforced has no second choice.
                let expected = algorithm == .enforced ? [-1, -1, -1] : [1, 1, 1]
                #expect(choices(algorithm, &records, 3) == expected, "\(algorithm), obstacle \(obstacle)")
            }
        }
    }

    @Test func whoIsExceptedIsNotChosen() {
        for algorithm in SelectionAlgorithm.allCases {
            var records = proxies(weights: [1, 1, 1])
            var selection = Selection(algorithm, among: [0, 1, 2], of: records)
            var random = SplitMix(seed: 1)
            for number in 0..<20 as Range<UInt64> {
                var query = Selection.Query(needs: [.ipv4, .http], content: number, now: 0)
                query.except.insert(0)
                query.except.insert(2)
                let chosen = selection.choose(of: &records, for: query, random: &random)
                #expect(chosen == (algorithm == .enforced ? nil : 1), "\(algorithm)")
            }
        }
    }
}
