import FastPath
import InterCore
import Testing
import Wire

private func query(_ name: String, type: UInt8 = 1, id: UInt8 = 7) -> [UInt8] {
    let labels = name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    return [0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0] + labels + [0, 0, type, 0, 1]
}

extension WorkerTests {
    @Test(arguments: [false, true], [nil, 7] as [UInt16?])
    func aFirstFlightIsHeldAndGoesToTheProxyInOrder(isV6: Bool, vlan: UInt16?) throws {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        (flow.v6, flow.vlan) = (isV6, vlan)
        let (first, second) = (QUICPackets.initial(), QUICPackets.initial(size: 1_250))
        flow.client(first)
        flow.client(second)
        #expect(lab.payloads == [first, second])
        let held = lab.takeHeldDatagrams()
        #expect(held.count == 2 && held[0].handle == held[1].handle && held[0].handle.isOfDatagrams)
        #expect(held.allSatisfy { $0.application == .quic && $0.rules == 2 && $0.key.serverPort == 443 })
        #expect(lab.takeDatagramsToServers().isEmpty)
        flow.verdict(held[0].handle, .proxy(ProxyIndex(0), resetOrigin: true))
        let sent = lab.takeDatagramsToServers()
        #expect(sent.map(\.payload) == [first, second])
        #expect(sent.allSatisfy { $0.destinationMAC == Lab.proxyMAC && $0.vlan == vlan })
        #expect(lab.takeEvents().map(\.name) == ["committed"])
        // All that follows, without asking.
        flow.client(QUICPackets.short())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func aFlightThatIsRefusedGoesToTheOriginAndStaysThere() throws {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        flow.client(QUICPackets.initial())
        let held = try #require(lab.takeHeldDatagrams().first)
        flow.verdict(held.handle, .origin)
        #expect(lab.takeEvents().map(\.name) == ["aborted verdictOrigin"])
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC, Lab.originMAC])
        flow.server([1], mac: Lab.originMAC)
        #expect(lab.takeDatagramsToClients().count == 1)
        // A verdict that comes too late changes nothing.
        flow.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        flow.client(QUICPackets.short())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC])
        #expect(lab.counter(.staleCommands) == 1)
        lab.finish()
    }

    /// Invariant 3: without a verdict, without a control core, without room the origin has it.
    @Test func everythingInDoubtGoesToTheOrigin() {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        flow.client(QUICPackets.initial())
        lab.wait(milliseconds: 94)
        #expect(lab.takeDatagramsToServers().isEmpty)
        lab.wait(milliseconds: 2)
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC])
        #expect(lab.takeEvents().map(\.name).last == "aborted backstop")

        flow.clientPort = 40_001
        flow.client(QUICPackets.initial())
        lab.isControlAlive = false
        lab.wait(milliseconds: 60)
        #expect(lab.takeEvents().map(\.name).last == "aborted controlDead")
        flow.clientPort = 40_002
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC, Lab.originMAC])
        #expect(lab.counter(.holdsRefusedControlDead) == 1)

        lab.isControlAlive = true
        lab.turn()
        flow.clientPort = 40_003
        flow.client(QUICPackets.initial())
        lab.tell(.bypass(true))
        lab.turn()
        flow.clientPort = 40_004
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().count == 2)
        #expect(lab.takeEvents().map(\.name).last == "aborted bypassed")
        lab.finish()
    }

    @Test func aFlightHasABound() {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        for _ in 0..<8 { flow.client(QUICPackets.initial()) }
        #expect(lab.takeDatagramsToServers().isEmpty)
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().count == 9)
        #expect(lab.takeEvents().map(\.name).last == "aborted bound")
        lab.finish()
    }

    @Test func aFullTableLetsDatagramsPass() {
        let lab = Lab(eventCapacity: 1_024) {
            Lab.watching(&$0)
            $0.heldFlowLimit = 100
        }
        let flow = DatagramFlow(lab)
        for port in 0..<70 as Range<UInt16> {
            flow.clientPort = 41_000 + port
            flow.client(QUICPackets.initial())
        }
        #expect(lab.takeHeldDatagrams().count == 64)
        #expect(lab.takeDatagramsToServers().count == 6 && lab.counter(.passedTableFull) == 6)
        #expect(lab.gauge(.datagramFlows) == 64)
        lab.finish()
    }

    /// Other versions, other packets, too small ones, other ports, wrong checksums: as if nobody looked.
    @Test func whatIsNoFirstFlightPasses() {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        let packets = [
            QUICPackets.initial(size: 1_199), QUICPackets.long(version: [0, 0, 0, 2]), QUICPackets.long(0xE3),
            QUICPackets.long(0x83), QUICPackets.initial(to: [1, 2, 3, 4, 5, 6, 7]), QUICPackets.short(), [], [0xC3],
        ]
        for packet in packets { flow.client(packet) }
        flow.client(QUICPackets.initial(), isChecksumRight: false)
        flow.serverPort = 444
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().count == packets.count + 2)
        #expect(lab.takeEvents().isEmpty && lab.gauge(.datagramFlows) == 0)
        lab.finish()
    }

    /// A TCP connection and a flow of datagrams may have the same addresses and ports.
    @Test func datagramsAndSegmentsOfOneTupleAreTwoFlows() throws {
        let lab = Lab {
            Lab.watching(&$0)
            $0.candidates[0].firstPort = 443
            $0.candidates[0].lastPort = 443
        }
        let connection = Connection(lab)
        connection.serverPort = 443
        let handle = connection.commit()
        #expect(!handle.isOfDatagrams)
        let flow = DatagramFlow(lab)
        flow.client(QUICPackets.initial())
        let held = try #require(lab.takeHeldDatagrams().first)
        flow.verdict(held.handle, .proxy(ProxyIndex(1), resetOrigin: true))
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.otherProxyMAC])
        connection.client("P.", seq: UInt32(1 + request.count), ack: 1, [1])
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        lab.finish()
    }

    // MARK: after the commit

    @Test func onlyTheChosenProxySpeaks() {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        flow.commit()
        flow.server([1], mac: Lab.originMAC)
        flow.server([2], mac: Lab.otherProxyMAC)
        #expect(lab.takeDatagramsToClients().isEmpty)
        #expect(lab.counter(.droppedOriginAfterCommit) == 1 && lab.counter(.droppedForeignProxy) == 1)
        flow.server([3])
        #expect(lab.takeDatagramsToClients().map(\.payload) == [[3]])
        lab.finish()
    }

    @Test func aClientThatRebindsStaysWithItsServer() {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        flow.commit()
        flow.server(QUICPackets.long(0xE3, to: [9, 9, 9, 9], from: QUICPackets.chosen, size: 300))
        #expect(lab.counter(.identifiersLearnt) == 1)
        // The same once more is nothing new.
        flow.server(QUICPackets.long(0xE3, to: [9, 9, 9, 9], from: QUICPackets.chosen, size: 300))
        #expect(lab.counter(.identifiersLearnt) == 1)
        flow.clientPort = 50_000
        flow.client(QUICPackets.short())
        flow.client(QUICPackets.short())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.proxyMAC, Lab.proxyMAC])
        #expect(lab.counter(.steeredByIdentifier) == 1 && lab.takeEvents().isEmpty)
        // In mid-handshake, too.
        flow.clientPort = 50_001
        flow.client(QUICPackets.initial(to: QUICPackets.chosen))
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        // The new path is the proxy's alone.
        flow.server([1], mac: Lab.originMAC)
        #expect(lab.counter(.droppedOriginAfterCommit) == 1)
        // Another service, or another identifier, is somebody else's.
        flow.clientPort = 50_002
        flow.client(QUICPackets.short(to: [0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA9]))
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC])
        lab.finish()
    }

    @Test func theOriginsIdentifiersAreNotLearnt() throws {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        flow.client(QUICPackets.initial())
        flow.verdict(try #require(lab.takeHeldDatagrams().first).handle, .origin)
        flow.server(QUICPackets.long(0xE3, to: [9], from: QUICPackets.chosen, size: 300), mac: Lab.originMAC)
        flow.clientPort = 50_000
        flow.client(QUICPackets.short())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC, Lab.originMAC])
        #expect(lab.counter(.identifiersLearnt) == 0)
        lab.finish()
    }

    /// Invariant 9 has a flow belong to one worker; a client's new address may be another worker's.
    @Test func workersTellEachOtherOfIdentifiers() throws {
        let lab = Lab(workers: 2, Lab.watching)
        let flow = DatagramFlow(lab)
        flow.commit()
        flow.server(QUICPackets.long(0xE3, to: [9], from: QUICPackets.chosen, size: 300))
        let learnt = lab.takeEvents().compactMap { event in
            if case .identifierLearnt(let identifier) = event { identifier } else { nil }
        }
        #expect(learnt.count == 1)
        lab.tell(.learnIdentifier(try #require(learnt.first)))
        lab.turn()
        for port in 50_000..<50_020 as Range<UInt16> {
            flow.clientPort = port
            flow.client(QUICPackets.short())
        }
        #expect(lab.takeDatagramsToServers().allSatisfy { $0.destinationMAC == Lab.proxyMAC })
        #expect(lab.counters.allSatisfy { $0[.steeredByIdentifier] > 0 })
        lab.finish()
    }

    @Test func aPortThatIsUsedAgainIsAskedAboutAgain() throws {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab)
        let handle = try #require(flow.commit())
        // Its own first flight, once more.
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        flow.client(QUICPackets.short())
        flow.client(QUICPackets.initial(to: [8, 7, 6, 5, 4, 3, 2, 1]))
        let events = lab.takeEvents()
        #expect(events.map(\.name) == ["ended superseded", "datagram held"])
        if case .datagramHeld(let held) = events[1] { #expect(held.handle != handle) }
        lab.finish()
    }

    @Test func anIdleFlowEnds() throws {
        let lab = Lab {
            Lab.watching(&$0)
            $0.datagramIdleMicroseconds = 1_000_000
        }
        let flow = DatagramFlow(lab)
        flow.commit()
        for _ in 0..<4 {
            lab.wait(milliseconds: 700)
            flow.client(QUICPackets.short())
        }
        #expect(lab.gauge(.datagramFlows) == 1 && lab.takeEvents().isEmpty)
        lab.wait(milliseconds: 1_200)
        #expect(lab.gauge(.datagramFlows) == 0 && lab.takeEvents().map(\.name) == ["ended idle"])
        lab.finish()
    }

    @Test func aProxyInAnotherVLANGetsNothing() throws {
        let lab = Lab(Lab.watching)
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Lab.proxyMAC), vlan: VLAN(9))))
        let flow = DatagramFlow(lab)
        flow.vlan = 7
        flow.client(QUICPackets.initial())
        flow.verdict(try #require(lab.takeHeldDatagrams().first).handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC])
        #expect(lab.takeEvents().map(\.name) == ["aborted otherVLAN"])
        lab.finish()
    }

    // MARK: DNS

    @Test func eachQueryIsAskedAbout() throws {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab, serverPort: 53)
        for (name, proxy) in [("a.example", ProxyIndex(0)), ("b.example", ProxyIndex(1))] {
            flow.client(query(name))
            #expect(lab.payloads == [query(name)])
            let held = try #require(lab.takeHeldDatagrams().first)
            #expect(held.application == .dns && held.rules == 4)
            flow.verdict(held.handle, .proxy(proxy, resetOrigin: true))
            #expect(lab.takeEvents().map(\.name) == ["committed"])
        }
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.proxyMAC, Lab.otherProxyMAC])
        #expect(lab.gauge(.datagramFlows) == 0)
        flow.server([1])
        #expect(lab.takeDatagramsToClients().count == 1)
        lab.finish()
    }

    /// A resolver asks for A and AAAA at once; two names from one port are too much to wait for.
    @Test func queriesForOneNameGoTogether() throws {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab, serverPort: 53)
        flow.client(query("a.example"))
        flow.client(query("a.example", type: 28, id: 8))
        flow.client(query("b.example", id: 9))
        #expect(lab.takeDatagramsToServers().map(\.payload) == [query("b.example", id: 9)])
        let held = lab.takeHeldDatagrams()
        #expect(held.count == 1)
        flow.verdict(held[0].handle, .proxy(ProxyIndex(0), resetOrigin: true))
        let sent = lab.takeDatagramsToServers()
        #expect(sent.map(\.payload) == [query("a.example"), query("a.example", type: 28, id: 8)])
        #expect(sent.allSatisfy { $0.destinationMAC == Lab.proxyMAC })
        lab.finish()
    }

    @Test func answersAreNoQueries() {
        let lab = Lab(Lab.watching)
        let flow = DatagramFlow(lab, serverPort: 53)
        var answer = query("a.example")
        answer[2] = 0x81
        flow.client(answer)
        flow.client([1, 2, 3])
        #expect(lab.takeDatagramsToServers().count == 2 && lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func aRuleThatObservesHoldsNothing() {
        let lab = Lab {
            Lab.watching(&$0)
            $0.candidates[1].mode = .observe
        }
        let flow = DatagramFlow(lab)
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().map(\.destinationMAC) == [Lab.originMAC])
        #expect(lab.takeEvents().map(\.name) == ["datagram observed"] && lab.counter(.holdsStarted) == 0)
        lab.finish()
    }

    @Test func whatARouteLeadsToTheOriginIsNotAskedAbout() {
        let lab = Lab {
            Lab.watching(&$0)
            $0.routes = [RouteRule()]
        }
        let flow = DatagramFlow(lab)
        flow.client(QUICPackets.initial())
        #expect(lab.takeDatagramsToServers().count == 1 && lab.takeEvents().isEmpty)
        lab.finish()
    }
}
