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

    private func choices(_ algorithm: SelectionAlgorithm, _ records: inout [ProxyRecord], _ count: Int) -> [Int] {
        (0..<count).map { _ in
            let all = Array(records.indices)
            let chosen = selectProxy(by: algorithm, among: all, of: &records, needs: [.ipv4, .http], now: 0)
            if let chosen { records[chosen].pending += 1 }
            return chosen ?? -1
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

    @Test func onlyThoseThatCanAreChosen() {
        for obstacle in 0..<7 {
            var records = proxies(weights: [1, 1])
            switch obstacle {
            case 0: records[0].isUp = false
            case 1: records[0].isDrained = true
            case 2: records[0].update(AgentStatus(credits: 10, isDraining: true))
            case 3: records[0].update(AgentStatus(credits: 0))
            case 4: records[0].agent?.capabilities = [.ipv6, .http]
            case 5: records[0].restsUntil = 5
            default: records[0].consecutiveTimeouts = ProxyRecord.suspectAfterTimeouts
            }
            for algorithm in SelectionAlgorithm.allCases {
                #expect(choices(algorithm, &records, 3) == [1, 1, 1], "obstacle \(obstacle)")
            }
        }
    }

    @Test func aSuspectIsTriedOnceForEachStatus() {
        var record = proxies(weights: [1])[0]
        record.consecutiveTimeouts = 20
        #expect(!record.isEligible(for: .ipv4, now: 0))
        record.update(AgentStatus(credits: 10))
        #expect(record.isEligible(for: .ipv4, now: 0))
        record.consecutiveTimeouts += 1
        #expect(!record.isEligible(for: .ipv4, now: 0))
    }
}
