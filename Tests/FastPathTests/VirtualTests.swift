import CDPDKShim
import FastPath
import InterCore
import Testing
import Wire

private let answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".utf8)

/// Connections that the director itself has answered.
extension WorkerTests {
    private func lab(workers: Int = 1, origins: Int = 2, _ configure: (inout WorkerConfiguration) -> Void = { _ in })
        -> Lab
    {
        Lab(workers: workers) {
            VirtualClient.serve(&$0, origins: origins)
            configure(&$0)
        }
    }

    @Test(arguments: [false, true], [nil, 42] as [UInt16?])
    func aSYNIsAnsweredAndNothingIsKept(v6: Bool, vlan: UInt16?) throws {
        let lab = lab()
        let client = VirtualClient(lab, v6: v6, clock: 5_000)
        client.vlan = vlan
        let answer = try #require(client.open())
        #expect(answer.sourceMAC == VirtualClient.portMAC && answer.destinationMAC == Lab.clientMAC)
        #expect(answer.isChecksumRight && answer.acknowledgement == client.isn &+ 1 && answer.vlan == vlan)
        #expect(answer.timestamps?.echo == 5_000)
        #expect(lab.takeToServers().isEmpty && lab.gauge(.flows) == 0 && lab.counter(.synsAnswered) == 1)
        lab.finish()
    }

    @Test func aFloodOfSYNsLeavesNothingBehind() {
        let lab = lab()
        for number in 0..<1_000 {
            let client = VirtualClient(lab, clock: 1)
            client.port = UInt16(1_000 + number)
            client.send("S", seq: 0)
        }
        #expect(lab.counter(.synsAnswered) == 1_000 && lab.gauge(.flows) == 0 && lab.counter(.flowsCreated) == 0)
        #expect(lab.takeToClients().count == 1_000)
        lab.finish()
    }

    @Test(arguments: [false, true], [nil, 5_000] as [UInt32?])
    func aProxyGetsTheConnectionAsItIs(v6: Bool, clock: UInt32?) throws {
        let lab = lab()
        let client = VirtualClient(lab, v6: v6, clock: clock)
        let held = try #require(client.hold())
        let state = held.connection
        #expect(state.psn.value == client.isn &+ 1 && state.pan.value == client.cookie &+ 1)
        #expect(state.options.timestamps == (clock != nil) && state.options.sack == (clock != nil))
        #expect(state.options.clientWindowScale == (clock == nil ? 0 : 9))
        #expect(state.options.serverWindowScale == (clock == nil ? 0 : 7))
        #expect(state.serverTimestamp == client.told && state.clientTimestamp == clock ?? 0)
        #expect(state.serverWindowEdge.value == client.isn &+ 1 &+ 14_600)
        #expect(lab.takeToServers().isEmpty, "nobody is told of it before the verdict")
        client.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        var expected = client.segment("P.", seq: 1, request)
        expected.destinationMAC = Lab.proxyMAC
        // No reset: no origin knows of it.
        #expect(lab.takeToServers() == [expected])
        var answered = client.segment(".", seq: 0)
        swap(&answered.source, &answered.destination)
        swap(&answered.sourcePort, &answered.destinationPort)
        (answered.sourceMAC, answered.destinationMAC) = (Lab.proxyMAC, Lab.clientMAC)
        (answered.sequence, answered.acknowledgement) = (client.cookie &+ 1, client.isn &+ 1 &+ UInt32(request.count))
        answered.payload = answer
        lab.put(answered.frame, fromClient: false)
        lab.turn()
        #expect(lab.takeToClients() == [answered])
        #expect(lab.gauge(.committedFlows) == 1 && lab.counter(.originResetsSent) == 0)
        lab.finish()
    }

    @Test(arguments: [false, true], [nil, 5_000] as [UInt32?])
    func withoutAProxyAnOriginGetsItTranslated(v6: Bool, clock: UInt32?) throws {
        let lab = lab(origins: 1)
        let client = VirtualClient(lab, v6: v6, clock: clock)
        let syn = try client.refused()
        #expect(syn.flags == "S" && syn.sequence == client.isn && syn.isChecksumRight)
        #expect(syn.source == VirtualClient.address(1, v6: v6) && syn.sourcePort == client.port)
        #expect(syn.destination == VirtualClient.address(161, v6: v6) && syn.destinationPort == 8_080)
        #expect(syn.destinationMAC == VirtualClient.originMAC && syn.sourceMAC == Lab.clientMAC)
        #expect(syn.timestamps?.value == clock)
        #expect(syn.options.contains(3) == (clock != nil), "window scale, as the client has it")
        #expect(lab.takeToClients().isEmpty)

        let origin = OriginSide(lab, syn)
        origin.send("S.", seq: 0)
        let sent = try #require(lab.takeToServers().last)
        #expect(sent.payload == request && sent.flags == "P." && sent.isChecksumRight)
        #expect(sent.sequence == client.isn &+ 1 && sent.acknowledgement == origin.iss &+ 1)
        #expect(sent.destination == syn.destination && sent.destinationPort == 8_080)
        #expect(sent.timestamps?.echo == (clock == nil ? nil : origin.clock))
        #expect(lab.takeToClients().isEmpty, "the client hears nothing of the origin's handshake")

        origin.send("P.", seq: 1, ack: 1 + UInt32(request.count), answer)
        let received = try #require(lab.takeToClients().last)
        #expect(received.payload == answer && received.isChecksumRight)
        #expect(received.source == VirtualClient.address(80, v6: v6) && received.sourcePort == 80)
        #expect(received.sequence == client.cookie &+ 1)
        #expect(received.acknowledgement == client.isn &+ 1 &+ UInt32(request.count))
        #expect(received.timestamps?.value == (clock == nil ? nil : client.told))
        // 2,000 units of 32 bytes, told in units of 128.
        #expect(received.window == (clock == nil ? 2_000 : 500))

        client.send(".", seq: 1 + UInt32(request.count), ack: 1 + UInt32(answer.count))
        let acknowledged = try #require(lab.takeToServers().last)
        #expect(acknowledged.acknowledgement == origin.iss &+ 1 &+ UInt32(answer.count))
        #expect(lab.counter(.flowsBound) == 1)
        lab.finish()
    }

    @Test func whatAProxyCannotHaveBeginsAnew() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        let held = try #require(client.hold())
        client.verdict(held.handle, .handOff(ProxyIndex(0)))
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC] && lab.gauge(.committedFlows) == 1)
        lab.tell(.disown(held.handle))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["committed", "ended disowned"] && lab.gauge(.flows) == 0)
        client.send("P.", seq: 1, request)
        let again = try #require(lab.takeHeld())
        client.verdict(again.handle, .origin)
        let syn = try #require(lab.takeToServers().last)
        OriginSide(lab, syn).send("S.", seq: 0)
        #expect(lab.takeToServers().last?.payload == request, "an origin answers it")
        lab.finish()
    }

    @Test func whatTheClientSaysMeanwhileIsHeld() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        let syn = try client.refused()
        client.send("P.", seq: 1 + UInt32(request.count), Array("more".utf8))
        client.send("P.", seq: 1, request)
        #expect(lab.takeToServers().isEmpty)
        OriginSide(lab, syn).send("S.", seq: 0)
        #expect(lab.takeToServers().map(\.payload) == [request, Array("more".utf8)])
        #expect(lab.gauge(.heldPackets) == 0)
        lab.finish()
    }

    @Test func aConnectionThatNoRuleWantsIsBoundAtOnce() throws {
        let lab = lab { $0.candidates = [] }
        let client = VirtualClient(lab, clock: 9)
        client.handshake()
        let syn = try #require(lab.takeToServers().last)
        let origin = OriginSide(lab, syn)
        origin.send("S.", seq: 0)
        let acknowledged = try #require(lab.takeToServers().last)
        #expect(acknowledged.flags == "." && acknowledged.acknowledgement == origin.iss &+ 1)
        #expect(acknowledged.timestamps! == (9, origin.clock))
        // The server may speak first.
        origin.send("P.", seq: 1, Array("220 hello\r\n".utf8))
        #expect(lab.takeToClients().last?.sequence == client.cookie &+ 1)
        // Its handshake again: it has not heard the ACK.
        origin.send("S.", seq: 0)
        #expect(lab.takeToClients().isEmpty)
        let again = try #require(lab.takeToServers().last)
        #expect((again.flags, again.sequence, again.acknowledgement) == (".", client.isn &+ 1, origin.iss &+ 1))
        lab.finish()
    }

    @Test func aSilentOriginIsAskedAgainAndThenAnother() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        let first = try client.refused()
        lab.wait(milliseconds: 2_500)
        let again = lab.takeToServers()
        #expect(again.count == 3 && again.allSatisfy { $0.flags == "S" && $0.sequence == client.isn })
        #expect(again[0].destination == first.destination && again[1].destination == first.destination)
        #expect(again[2].destination != first.destination && again[2].destinationMAC != first.destinationMAC)
        // The first one's late answer is nobody's.
        OriginSide(lab, first).send("S.", seq: 0)
        #expect(lab.takeToServers().isEmpty && lab.counter(.droppedForeignOrigin) == 1)
        OriginSide(lab, again[2]).send("S.", seq: 0)
        #expect(lab.takeToServers().last?.payload == request && lab.takeToClients().isEmpty)
        lab.finish()
    }

    @Test func withoutAnyOriginTheClientIsTold() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        var syn = try client.refused()
        let first = syn.destination
        OriginSide(lab, syn).send("R.", seq: 0)
        syn = try #require(lab.takeToServers().last)
        #expect(syn.destination != first && lab.takeToClients().isEmpty, "refused by one, the other is asked")
        lab.wait(milliseconds: 30_000, step: 10_000)
        let end = try #require(lab.takeToClients().last)
        #expect(end.flags.contains("R") && end.sequence == client.cookie &+ 1 && end.isChecksumRight)
        #expect(lab.gauge(.flows) == 0 && lab.counter(.bindsFailed) == 1)
        lab.finish()
    }

    @Test func originsThatAreDownGetNothing() throws {
        let lab = lab { for index in [0, 1] { $0.origins[index].isUp = index == 1 } }
        for number in 0..<4 {
            let client = VirtualClient(lab)
            client.port = UInt16(1_000 + number)
            let syn = try client.refused()
            #expect(syn.destination == VirtualClient.address(162, v6: false))
            OriginSide(lab, syn).send("S.", seq: 0)
            _ = lab.takeToServers()
        }
        lab.finish()
    }

    @Test func originsTakeTurns() throws {
        let lab = lab()
        var seen: [UInt8: Int] = [:]
        for number in 0..<10 {
            let client = VirtualClient(lab)
            client.port = UInt16(1_000 + number)
            let syn = try client.refused()
            seen[syn.destination[3], default: 0] += 1
            OriginSide(lab, syn).send("S.", seq: 0)
            _ = lab.takeToServers()
        }
        #expect(seen == [161: 5, 162: 5])
        lab.finish()
    }

    @Test func whoReturnsNoCookieIsReset() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        client.open()
        client.send(".", seq: 1, ack: 2)
        let reset = try #require(lab.takeToClients().last)
        #expect(reset.flags == "R" && reset.sequence == client.cookie &+ 2 && reset.destinationMAC == Lab.clientMAC)
        #expect(lab.gauge(.flows) == 0 && lab.counter(.cookiesRefused) == 1 && lab.takeToServers().isEmpty)
        lab.finish()
    }

    @Test func rule6WhatAProxyMayHaveIsNotReset() {
        let lab = lab { $0.recoveryMicroseconds = 1_000_000 }
        let client = VirtualClient(lab)
        client.send(".", seq: 1, ack: 2)
        #expect(lab.takeToClients().isEmpty && lab.counter(.droppedRecovery) == 1)
        lab.finish()
    }

    @Test func anOlderOfferIsStillAccepted() throws {
        let lab = lab()
        let client = VirtualClient(lab, clock: 5)
        client.open()
        var servers: [VirtualServer] = []
        var origins: [Origin] = []
        var configuration = WorkerConfiguration()
        VirtualClient.serve(&configuration, offer: HandshakeOffer(windowScale: 4, timestamps: true))
        (servers, origins) = (configuration.virtualServers, configuration.origins)
        for index in servers.indices { servers[index].formerOffer = VirtualClient.linux }
        lab.tell(.useVirtualServers(VirtualServerTable(servers: servers, origins: origins, generation: 1)))
        lab.turn()
        client.send(".", seq: 1)
        client.send("P.", seq: 1, request)
        let held = try #require(lab.takeHeld())
        #expect(held.connection.options.serverWindowScale == 7)
        client.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        lab.finish()
    }

    /// A client that has started anew, at each point of its former connection.
    @Test func aSYNOnAKnownTupleStartsAnewOnlyWhenThatIsTrue() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        client.handshake()
        client.isn = 1_000_000
        #expect(client.open() != nil, "idle: answered, and the entry stays")
        #expect(lab.gauge(.flows) == 1)
        client.send(".", seq: 1)
        #expect(lab.counter(.cookiesAccepted) == 2 && lab.gauge(.flows) == 1)
        client.send("P.", seq: 1, request)
        let held = try #require(lab.takeHeld())
        #expect(held.connection.psn.value == 1_000_001)
        client.send("S", seq: 77_777)
        #expect(lab.takeToClients().isEmpty && lab.counter(.droppedSYN) == 1, "held: the verdict is near")
        client.verdict(held.handle, .origin)
        let origin = OriginSide(lab, try #require(lab.takeToServers().last))
        origin.send("S.", seq: 0)
        _ = lab.takeToServers()
        client.send("S", seq: 77_777)
        let challenged = try #require(lab.takeToServers().last)
        #expect(
            challenged.flags == "S" && challenged.destination == origin.syn.destination, "the origin's to challenge")
        origin.send("R", seq: 1)
        #expect(lab.takeToClients().last?.flags == "R")
        client.isn &+= 77_777
        #expect(client.open() != nil && lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test func aFlowThatHasEndedLeaves() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        let origin = OriginSide(lab, try client.refused())
        origin.send("S.", seq: 0)
        origin.send("F.", seq: 1)
        client.send("F.", seq: 1 + UInt32(request.count), ack: 2)
        origin.send(".", seq: 2, ack: 2 + UInt32(request.count))
        #expect(lab.takeToClients().count == 2)
        lab.wait(milliseconds: 59_000, step: 100_000)
        #expect(lab.gauge(.flows) == 1)
        lab.wait(milliseconds: 2_000, step: 100_000)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test(arguments: [false, true])
    func errorsAboutATranslatedFlowAreTranslated(v6: Bool) throws {
        let lab = lab()
        let client = VirtualClient(lab, v6: v6)
        let origin = OriginSide(lab, try client.refused())
        origin.send("S.", seq: 0)
        origin.send("P.", seq: 1, answer)
        let received = try #require(lab.takeToClients().last)
        _ = lab.takeToServers()
        lab.put(received.tooBig(fromMAC: Lab.clientMAC, toMAC: VirtualClient.portMAC), fromClient: true)
        lab.turn()
        // As the origin's own segment would have been answered.
        let own = origin.segment("P.", seq: 1, answer)
        #expect(lab.toServers == [own.tooBig(fromMAC: Lab.clientMAC, toMAC: origin.syn.destinationMAC)])
        lab.toServers = []
        lab.finish()
    }

    @Test func anOriginsSegmentsFindTheWorkerThatHasTheFlow() throws {
        let lab = lab(workers: 2)
        for number in 0..<16 {
            let client = VirtualClient(lab)
            client.port = UInt16(1_000 + number)
            let syn = try client.refused()
            lab.inboundWorker = number & 1
            let origin = OriginSide(lab, syn)
            origin.send("S.", seq: 0)
            #expect(lab.takeToServers().last?.payload == request)
            origin.send("P.", seq: 1, answer)
            #expect(lab.takeToClients().last?.payload == answer)
            lab.inboundWorker = 0
        }
        #expect(lab.counter(.handedOver) > 0)
        lab.finish()
    }

    @Test func nobodySpeaksForAVirtualServerThatHasNoServerYet() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        client.handshake()
        var foreign = client.segment("R.", seq: 0)
        swap(&foreign.source, &foreign.destination)
        swap(&foreign.sourcePort, &foreign.destinationPort)
        (foreign.sequence, foreign.acknowledgement) = (client.cookie &+ 1, client.isn &+ 1)
        lab.put(foreign.frame, fromClient: false)
        lab.turn()
        #expect(lab.takeToClients().isEmpty && lab.counter(.droppedForeignOrigin) == 1)
        client.send("P.", seq: 1, request)
        let held = try #require(lab.takeHeld())
        client.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        lab.finish()
    }

    @Test func whoAsksForNothingGetsAnOrigin() throws {
        let lab = lab()
        let client = VirtualClient(lab)
        client.handshake()
        lab.wait(milliseconds: 29_000, step: 100_000)
        #expect(lab.takeToServers().isEmpty)
        lab.wait(milliseconds: 2_000, step: 100_000)
        let origin = OriginSide(lab, try #require(lab.takeToServers().first))
        origin.send("S.", seq: 0)
        client.send("P.", seq: 1, request)
        #expect(lab.takeToServers().last?.payload == request && lab.takeHeld() == nil)
        lab.finish()
    }

    /// The pool of preludes cannot be filled by clients that only connect.
    @Test func invariant4WhoOnlyConnectsDoesNotKeepOthersOut() throws {
        let lab = lab { ($0.flowCapacity, $0.flowCapacityIPv6) = (40, 24) }
        var bound = 0
        for number in 0..<40 {
            let client = VirtualClient(lab)
            client.port = UInt16(1_000 + number)
            client.handshake()
            if let syn = lab.takeToServers().last {
                bound += 1
                OriginSide(lab, syn).send("S.", seq: 0)
                _ = lab.takeToServers()
            }
        }
        // 64 preludes, half of them for those who are asked about.
        #expect(bound > 0 && lab.gauge(.flows) == 40 && lab.counter(.droppedStranger) == 0)
        lab.finish()
    }

    /// Bound as well: what is held for an origin that does not answer.
    @Test func invariant4WhatWaitsForAnOriginIsBounded() throws {
        let lab = lab { $0.heldPacketLimit = 3 }
        let client = VirtualClient(lab)
        let syn = try client.refused()
        for number in 0..<8 {
            client.send("P.", seq: 1 + UInt32(request.count + 4 * number), Array("more".utf8))
        }
        #expect(lab.gauge(.heldPackets) == 3)
        OriginSide(lab, syn).send("S.", seq: 0)
        #expect(lab.takeToServers().count == 3)
        lab.finish()
    }
}
