import CRTP
import Control
import InterCore
import Testing
import Wire

/// The control core's own behaviour, through the simulation's channels, agents and workers.
@Suite struct ControlCoreTests {
    private func ready(
        _ conditions: Simulation.Conditions = .init(), adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) -> Simulation {
        .ready(seed: 99, conditions, adjust: adjust)
    }

    private func endings(_ simulation: Simulation, _ ending: TransferOutcome.Ending) -> UInt64 {
        simulation.core.counters[ending]
    }

    @Test func channelsComeUpAndWorkersLearnTheNextHops() {
        let simulation = ready { $0.proxies[1].mac = MACAddress(0x02_AA_BB_CC_DD_EE) }
        #expect(simulation.core.proxies.allSatisfy { $0.isUp })
        for worker in simulation.workers {
            #expect(worker.nextHops[0]?.mac == MACAddress(0x0200_0000_0000 + 6_000))
            #expect(worker.nextHops[1]?.mac == MACAddress(0x02_AA_BB_CC_DD_EE))
            #expect(worker.recoveryEndedCount == 1)
        }
    }

    @Test func aStrangersDatagramIsCountedAndNotParsed() {
        var simulation = ready()
        let before = simulation.core.proxies.map { $0.channel.counters.received }
        simulation.core.receive([1, 2, 3], from: Endpoint(IPAddress("192.0.2.99")!, port: 6_000), now: simulation.now)
        simulation.core.receive([1, 2, 3], from: Endpoint(IPAddress("192.0.2.10")!, port: 7_000), now: simulation.now)
        #expect(simulation.core.counters[.unknownPeer] == 2 && simulation.core.actions.isEmpty)
        #expect(simulation.core.proxies.map { $0.channel.counters.received } == before)
    }

    @Test func withoutAProxyTheRequestGoesToTheOriginAtOnce() {
        var simulation = Simulation(seed: 1, .init()) { $0.proxies[0].weight = 1 }
        let held = heldRequest()
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        #expect(simulation.core.actions == [.command(.verdict(held.request.handle, .origin), worker: 0)])
        #expect(endings(simulation, .noProxy) == 1 && simulation.core.transfers.count == 0)
    }

    @Test func aProxyMustBeAbleToGoOn() {
        var simulation = ready { $0.rules[0].proxies = ["p1"] }
        var held = heldRequest(application: .tls, alpn: .http11)
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        #expect(endings(simulation, .noProxy) == 1)
        held = heldRequest(isIPv6: true)
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        #expect(endings(simulation, .noProxy) == 1 && simulation.core.proxies[1].pending == 1)
    }

    @Test func pendingTransfersAreBounded() {
        var simulation = ready { $0.workers.heldFlows = 2 }
        for port in 1...6 as ClosedRange<UInt16> {
            let handle = FlowHandle(worker: 0, index: UInt32(port), generation: 1)
            let held = heldRequest(port: port, handle: handle)
            held.payload.withUnsafeBytes {
                simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
            }
        }
        #expect(simulation.core.pendingCount == 4 && endings(simulation, .pendingBound) == 2)
    }

    @Test func drainingProxiesAreNotAsked() {
        var simulation = ready()
        #expect(
            simulation.core.set(.drain, proxy: "p0", now: simulation.now)
                && !simulation.core.set(.drain, proxy: "nobody", now: simulation.now))
        for port in 1...10 as ClosedRange<UInt16> { simulation.at(2_100_000, .arrival(port)) }
        simulation.run(until: 2_200_000)
        #expect(simulation.core.proxies.map { Int($0.acks) } == [0, 10])
        #expect(simulation.core.proxyStatus().map(\.state) == ["draining", "up"])
    }

    @Test func agentsAreToldThatTheDirectorGoes() {
        var simulation = ready()
        simulation.core.actions.removeAll()
        simulation.core.leave(now: simulation.now)
        let told = simulation.core.actions.compactMap { action in
            if case .transmit(_, let peer) = action { peer } else { nil }
        }
        #expect(Set(told) == Set(simulation.core.proxies.map(\.configuration.address)) && told.count == 2)
        #expect(simulation.core.proxies.allSatisfy { !$0.isUp })
    }

    @Test func bypassStopsHoldingAtOnce() {
        var simulation = ready()
        simulation.at(2_100_000, .arrival(1))
        simulation.run(until: 2_100_400)
        simulation.core.setBypass(true)
        simulation.carryOut()
        simulation.at(2_110_000, .arrival(2))
        simulation.run(until: 140_000_000)
        #expect(simulation.workers.allSatisfy { $0.isBypassed })
        #expect(endings(simulation, .bypassed) == 1 && endings(simulation, .aborted) == 1)
        #expect(simulation.agents.allSatisfy { $0.adoptions.isEmpty && $0.failures.isEmpty })
        #expect(simulation.core.transfers.count == 0)
    }

    @Test func observeReleasesFirstAndAsksThen() {
        var simulation = ready { $0.rules[0].match.mode = .observe }
        simulation.at(2_100_000, .arrival(1))
        simulation.run(until: 2_200_000)
        #expect(endings(simulation, .observedACK) == 1)
        #expect(simulation.core.status(workers: [], now: simulation.now).transfers["observed"] == 1)
        #expect(simulation.agents.allSatisfy { $0.adoptions.isEmpty })
        let phases = simulation.workers.flatMap { $0.flows.values.map(\.phase) }
        #expect(phases == [.aborted(.verdictOrigin)] && simulation.core.pendingCount == 0)
    }

    @Test func aSilentAgentGetsNoTransfersAndItsPendingOnesGoToTheOrigin() {
        var conditions = Simulation.Conditions()
        conditions.agentMicroseconds = 200...300
        var simulation = ready(conditions) {
            $0.timeout.initialMicroseconds = 50_000
            $0.crtp.channel.keepaliveMicroseconds = 10_000
        }
        simulation.at(2_100_000, .arrival(1))
        simulation.run(until: 2_100_000)
        // From now on nothing of the agents arrives.
        var core = simulation.core
        core.handle(
            .requestHeld(heldRequest(port: 2).request), payload: .init(start: nil, count: 0), worker: 0, now: 2_100_100)
        var now: UInt64 = 2_100_100
        while let deadline = core.nextDeadline, deadline < 2_400_000 {
            now = max(now, deadline)
            core.advance(to: now)
        }
        #expect(core.proxies.allSatisfy { !$0.isUp } && core.pendingCount == 0)
        // Every worker hears of it: routed connections that begin now go to the origin.
        for (proxy, worker) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            #expect(core.actions.contains(.command(.proxyDown(ProxyIndex(UInt8(proxy))), worker: worker)))
        }
    }

    @Test func recognitionAndTimeoutEndBeforeTheWorkersBackstop() {
        let simulation = ready { $0.timeout.ceilingMicroseconds = 500_000 }
        let core = simulation.core
        let backstop = core.workerConfiguration(for: 0).backstopMicroseconds
        #expect(core.longestTimeoutMicroseconds + core.configuration.workers.incompleteHeadMicroseconds < backstop)
        #expect(backstop < 100_000)
    }

    // MARK: Announced flows

    @Test func aRestartedDirectorInstallsWhatAgentsAnnounce() {
        var simulation = Simulation(seed: 5, .init())
        let key = heldRequest(port: 77).request.connection.key
        simulation.agents[0].adoptions[4_711] = FakeAgent.Adoption(
            psn: SequenceNumber(1), key: key, isCommitted: true, adoptedAt: 0)
        simulation.run(until: 2_000_000)
        let owner = flowOwner(of: key, seed: simulation.core.hashSeed, workerCount: 2)
        #expect(simulation.workers[owner].flows.values.map(\.key) == [key])
        #expect(simulation.workers[1 - owner].flows.isEmpty)
        #expect(simulation.core.proxies[0].committed == 1 && !simulation.core.isRecovering)
        // Its end takes everything away again.
        simulation.at(2_100_000, .agentFinishes(0, 4_711))
        simulation.run(until: 3_000_000)
        #expect(simulation.core.transfers.count == 0 && simulation.agents[0].adoptions.isEmpty)
        #expect(simulation.workers[owner].flows.values.map(\.phase) == [.ended])
    }

    @Test func aLostAnnouncementIsAskedForAgain() {
        var conditions = Simulation.Conditions()
        conditions.lossPercent = 25
        for seed in 1...5 as ClosedRange<UInt64> {
            var simulation = Simulation(seed: seed, conditions) { $0.workers.recoveryMicroseconds = 30_000_000 }
            for number in 0..<8 as Range<UInt32> {
                simulation.agents[0].adoptions[number] = FakeAgent.Adoption(
                    psn: SequenceNumber(1), key: heldRequest(port: UInt16(number) + 1).request.connection.key,
                    isCommitted: true, adoptedAt: 0)
            }
            simulation.run(until: 40_000_000)
            let flows = simulation.workers.map(\.flows.count).reduce(0, +)
            #expect(flows == 8, "seed \(seed)")
            #expect(simulation.core.proxies[0].committed == flows, "seed \(seed)")
        }
    }

    private func announcedAdoption(_ port: UInt16) -> FakeAgent.Adoption {
        FakeAgent.Adoption(
            psn: SequenceNumber(1), key: heldRequest(port: port).request.connection.key, isCommitted: true, adoptedAt: 0
        )
    }

    @Test func aFlowWhoseEndWasNeverToldEndsWithTheNextAnnouncement() {
        var simulation = Simulation(seed: 5, .init())
        for port in 1...2 as ClosedRange<UInt16> {
            simulation.agents[0].adoptions[UInt32(port)] = announcedAdoption(port)
        }
        simulation.run(until: 100_000_000)
        #expect(simulation.core.proxies[0].committed == 2)
        simulation.agents[0].adoptions[1] = nil
        // Too young: its request may still be on the way to the agent.
        simulation.core.announceAgain(0, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: 110_000_000)
        #expect(simulation.core.proxies[0].committed == 2)
        #expect(simulation.core.proxies[0].announcement == .complete)
        simulation.run(until: 200_000_000)
        simulation.core.announceAgain(0, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: 210_000_000)
        #expect(simulation.core.proxies[0].committed == 1 && simulation.core.transfers.count == 1)
        #expect(simulation.core.transfers.slot(proxy: 0, transaction: 2) != nil)
        #expect(simulation.workers.flatMap { $0.flows.values.filter { $0.phase == .ended } }.count == 1)
    }

    @Test func anAnnouncementIsCountedByItself() {
        var simulation = ready()
        func announce(_ transfer: UInt32, _ transaction: UInt32) {
            let key = heldRequest(port: UInt16(transfer)).request.connection.key
            simulation.core.announced(key, transfer: transfer, transaction: transaction, 0, now: simulation.now)
        }
        simulation.core.awaitAnnouncement(0, now: simulation.now)
        announce(1, 10)
        announce(2, 11)
        // Flow 1 has ended meanwhile; what is said of it comes late, and flow 3 is lost.
        simulation.core.awaitAnnouncement(0, now: simulation.now)
        announce(1, 10)
        announce(2, 20)
        simulation.core.announcementEnded(count: 2, transaction: 22, 0, now: simulation.now)
        #expect(simulation.core.proxies[0].announcement == .underWay)
        #expect(simulation.core.counters[.announcementsIncomplete] == 1)
        announce(2, 30)
        announce(3, 31)
        simulation.core.announcementEnded(count: 2, transaction: 32, 0, now: simulation.now)
        #expect(simulation.core.proxies[0].announcement == .complete)
    }

    @Test func recoveryEndsThoughAProxyCannotBeReached() {
        var simulation = Simulation(seed: 5, .init()) {
            $0.proxies.append(.init(name: "p2", address: $0.proxies[0].address))
            $0.proxies[2].address.port = 1
        }
        // The third proxy's datagrams have no receiver.
        simulation.core.actions = []
        for index in 0..<100 as Range<UInt64> {
            simulation.core.advance(to: 1_000_000 + index * 50_000)
            for case .command(.recoveryEnded, let worker) in simulation.core.actions {
                #expect(index * 50_000 >= 3_000_000)
                simulation.workers[worker].recoveryEndedCount += 1
            }
            simulation.core.actions = []
        }
        #expect(simulation.workers.map(\.recoveryEndedCount) == [1, 1])
    }

    // MARK: Operator

    @Test func theOperatorSeesWhatHappened() {
        var simulation = ready()
        for port in 1...20 as ClosedRange<UInt16> { simulation.at(2_100_000 + UInt64(port) * 1_000, .arrival(port)) }
        simulation.run(until: 2_125_000)
        let rows = simulation.core.transferStatus(limit: 5, now: simulation.now)
        #expect(rows.count == 5 && rows[0].host == "www.example.org" && rows[0].path == "/" && rows[0].rule == "all")
        #expect(rows.allSatisfy { $0.state == "committed" && $0.reason == "committed" && $0.transfer != 0 })
        let status = simulation.core.status(workers: [CounterBlock()], now: simulation.now)
        #expect(status.proxiesUp == 2 && status.proxiesConfigured == 2 && !status.recovering)
        #expect(status.transfers["committed"] == 20 && status.workers.count == 1 && status.uptimeSeconds > 1)
        #expect((status.crtp["accepted"] ?? 0) > 20 && status.crtp["unauthenticated"] == 0)
        let proxies = simulation.core.proxyStatus()
        #expect(proxies.map(\.acks) == [10, 10] && proxies.allSatisfy { $0.srttMicroseconds > 0 })
    }

    @Test func aDecidedTransferKeepsNothingOfItsRequestButWhatIsShown() {
        var simulation = ready()
        let held = heldRequest(path: "/" + String(repeating: "a", count: 300))
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        let slot = simulation.core.transfers.slot(handle: held.request.handle)!
        #expect(simulation.core.transferStatus(limit: 1, now: simulation.now).first?.path.utf8.count == 301)
        simulation.core.actions = []
        simulation.core.drive(slot: slot, .ack(attempt: 0), now: simulation.now)
        #expect(simulation.core.transfers[slot].request != nil)
        simulation.core.drive(slot: slot, .committed, now: simulation.now)
        #expect(simulation.core.transfers[slot].request == nil && simulation.core.transfers[slot].psn != nil)
        let row = simulation.core.transferStatus(limit: 1, now: simulation.now).first
        #expect(row?.path.utf8.count == 128 && row?.host == "www.example.org" && row?.state == "committed")
    }

    @Test func workersGetRulesAndRoutesWithProxyIndexes() {
        let simulation = ready {
            $0.routes = [.init(), .init(), .init()]
            $0.routes[0].proxy = "p1"
            $0.routes[1].proxy = "nobody"
            $0.workers.heldPackets = 17
        }
        let configuration = simulation.core.workerConfiguration(for: 1)
        #expect(configuration.routes.map(\.proxy) == [ProxyIndex(1), .none, .none])
        #expect(configuration.candidates.count == 1 && configuration.heldPacketLimit == 17)
        #expect(configuration.workerIndex == 1 && configuration.workerCount == 2)
        #expect(configuration.hashSeed == simulation.core.workerConfiguration(for: 0).hashSeed)
        #expect(configuration.hashSeed == simulation.core.hashSeed)
    }

    @Test func anUnknownFlowDoneIsAnsweredAndChangesNothing() {
        var simulation = ready()
        let done = Terminate(cause: .flowDone, transfer: 12_345, psn: SequenceNumber(1))
        let datagram = simulation.agents[0].responder.send(
            Frame(.terminate(done), transaction: 12_345), to: Simulation.director)!
        simulation.core.receive(datagram, from: simulation.agents[0].endpoint, now: simulation.now)
        #expect(simulation.core.actions.count == 1)
        guard case .transmit = simulation.core.actions.first else { return #expect(Bool(false)) }
        #expect(simulation.core.counters[.staleAnswer] == 1)
    }

    @Test func answersMustMatchTheChannelTheyWereAskedOn() {
        var simulation = ready()
        let held = heldRequest()
        held.payload.withUnsafeBytes {
            simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
        }
        let slot = simulation.core.transfers.slot(handle: held.request.handle)!
        let transaction = simulation.core.transfers[slot].transaction
        let other = 1 - simulation.core.transfers[slot].proxy
        simulation.core.actions = []
        let datagram = simulation.agents[other].responder.send(
            Frame(.transferACK, transaction: transaction), to: Simulation.director)!
        simulation.core.receive(datagram, from: simulation.agents[other].endpoint, now: simulation.now)
        #expect(simulation.core.actions.isEmpty && simulation.core.transfers[slot].machine.state == .asking)
        #expect(simulation.core.counters[.staleAnswer] == 1)
    }
}
