import InterCore
import Testing
import Wire

extension WorkerTests {
    @Test(arguments: [false, true], [UInt16?.none, 7])
    func invariant8TransferInEitherFamilyTaggedOrNot(v6: Bool, vlan: UInt16?) throws {
        let lab = Lab()
        let connection = Connection(lab, isn: 0xFFFF_FFF0)  // PSN wraps while the request is sent
        connection.v6 = v6
        connection.vlan = vlan
        connection.timestamps = true
        let held = try #require(connection.hold())
        #expect(lab.takeToServers().isEmpty)
        #expect(held.connection.key == connection.key)
        #expect(held.connection.psn == SequenceNumber(connection.isn &+ 1))
        #expect(held.connection.pan == SequenceNumber(connection.iss &+ 1))
        #expect(
            held.connection.options
                == NegotiatedOptions(
                    clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: 7, serverWindowScale: 8, windowScale: true,
                    sack: true,
                    timestamps: true))
        #expect(held.connection.clientWindow == 64_000 << 7)
        #expect(held.connection.serverWindowEdge == SequenceNumber(connection.isn &+ 1 &+ 64_000))
        #expect(held.connection.serverTimestamp == 7_000)
        #expect(held.connection.clientTimestamp == 5_000)
        #expect(held.rules == 1)
        #expect(Int(held.heldLength) == request.count)

        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        let sent = lab.takeToServers()
        try #require(sent.count == 2)
        // Exactly the number that the origin expects (RFC 5961 section 3.2), from the client's addresses.
        #expect(sent[0].flags == "R")
        #expect(sent[0].sequence == connection.isn &+ 1)
        #expect(sent[0].source == connection.address(1))
        #expect(sent[0].sourceMAC == Lab.clientMAC)
        #expect(sent[0].destinationMAC == Lab.originMAC)
        #expect(sent[0].vlan == vlan)
        #expect(sent[0].isChecksumRight)
        // The held packet itself: only its destination MAC has changed.
        var expected = connection.clientSegment("P.", seq: 1, ack: 1, request)
        expected.destinationMAC = Lab.proxyMAC
        #expect(sent[1].frameBytes == expected.frameBytes)
        #expect(lab.takeEvents().map(\.name) == ["committed"])
        #expect(lab.takeToClients().isEmpty)

        // The proxy answers, the client acknowledges to it.
        connection.proxy("P.", seq: 1, ack: UInt32(1 + request.count), Array("HTTP/1.1 200 OK".utf8))
        #expect(lab.takeToClients().count == 1)
        connection.client(".", seq: UInt32(1 + request.count), ack: 16)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        lab.finish()
    }

    /// Invariant 1: not one control packet reaches the client because of a transfer.
    @Test func rule5OriginsLatePacketsAreAnsweredWithResets() throws {
        let lab = Lab()
        let connection = Connection(lab)
        connection.commit()
        connection.origin("P.", seq: 1, ack: 1, [1, 2, 3])
        connection.origin("F.", seq: 4, ack: 1)
        connection.origin("R", seq: 1)
        connection.origin(".", seq: 1, ack: 1)
        #expect(lab.takeToClients().isEmpty)
        let resets = lab.takeToServers()
        #expect(resets.count == 3)
        #expect(resets.allSatisfy { $0.flags == "R" && $0.sequence == connection.isn &+ 1 && $0.isChecksumRight })
        #expect(resets.allSatisfy { $0.destinationMAC == Lab.originMAC && $0.sourceMAC == Lab.clientMAC })
        #expect(lab.counter(.droppedOriginAfterCommit) == 4)
        // Another proxy is no better than the origin.
        connection.proxy(".", seq: 1, mac: Lab.otherProxyMAC)
        #expect(lab.takeToClients().isEmpty)
        #expect(lab.counter(.droppedForeignProxy) == 1)
        lab.finish()
    }

    @Test func verdictOriginReleasesInOrder() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.client("P.", seq: UInt32(1 + request.count), Array("body".utf8))
        connection.verdict(held.handle, .origin)
        #expect(
            lab.takeToServers().map(\.sequence) == [connection.isn &+ 1, connection.isn &+ UInt32(1 + request.count)])
        #expect(lab.takeEvents().map(\.name) == ["aborted verdictOrigin"])
        // Rule 2: the flow is the origin's for good.
        connection.client("P.", seq: 100, request)
        #expect(lab.takeToServers().count == 1)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func rule1LateVerdictAfterBackstopIsStale() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        lab.wait(milliseconds: 96)
        #expect(lab.takeEvents().map(\.name) == ["aborted backstop"])
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.originMAC])
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().isEmpty)
        #expect(lab.takeEvents().isEmpty)
        #expect(lab.counter(.staleCommands) == 1)
        lab.finish()
    }

    @Test func rule1BackstopCountsFromTheFirstSegment() throws {
        let lab = Lab()
        // A's head takes 19 ms to come whole; B's comes at once in between, and is asked first.
        let a = Connection(lab, port: 1).handshake()
        let b = Connection(lab, port: 2).handshake()
        a.client("P.", seq: 1, Array(request.prefix(10)))
        lab.wait(milliseconds: 5)
        b.client("P.", seq: 1, request)
        lab.wait(milliseconds: 14)
        a.client("P.", seq: 11, Array(request.dropFirst(10)))
        _ = lab.takeEvents()
        lab.wait(milliseconds: 77)
        #expect(lab.takeEvents().map(\.name) == ["aborted backstop"])
        #expect(lab.takeToServers().map(\.sourcePort) == [1, 1])
        lab.finish()
    }

    @Test func rule1StaleGenerationIsIgnored() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        // A new connection on the same tuple takes the entry over.
        let again = Connection(lab, isn: 500_000, iss: 1)
        let newer = try #require(again.hold())
        #expect(newer.handle.generation != held.handle.generation)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().isEmpty)
        #expect(lab.counter(.staleCommands) == 1)
        connection.verdict(newer.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().count == 2)
        lab.finish()
    }

    @Test func unknownProxyAndNarrowPathGoToTheOrigin() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.verdict(held.handle, .proxy(ProxyIndex(9), resetOrigin: true))
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.originMAC])
        #expect(lab.takeEvents().map(\.name) == ["aborted verdictOrigin"])
        lab.tell(.proxy(ProxyIndex(2), NextHop(mac: MACAddress(Lab.proxyMAC), mtu: 60)))
        let other = Connection(lab, port: 2)
        let wide = try #require(other.hold())
        other.verdict(wide.handle, .proxy(ProxyIndex(2), resetOrigin: true))
        #expect(lab.takeEvents().map(\.name) == ["aborted bound"])
        lab.finish()
    }

    /// The request fits through the path to the proxy; the client's full segments must do so, too.
    @Test(arguments: [false, true])
    func aPathTooNarrowForTheAgreedSegmentsGoesToTheOrigin(v6: Bool) throws {
        for (mtu, clamp, fits) in [(1_500, 0, !v6), (1_520, 0, true), (1_499, 0, false), (1_300, 1_240, true)] {
            let lab = Lab { $0.maximumSegment = UInt16(clamp) }
            lab.tell(.proxy(ProxyIndex(2), NextHop(mac: MACAddress(Lab.proxyMAC), mtu: UInt16(mtu))))
            let connection = Connection(lab)
            connection.v6 = v6
            let held = try #require(connection.hold())
            connection.verdict(held.handle, .proxy(ProxyIndex(2), resetOrigin: true))
            #expect(lab.takeEvents().map(\.name) == [fits ? "committed" : "aborted bound"], "MTU \(mtu)")
            lab.finish()
        }
    }

    @Test func resetByProxyWaitsForTheCommand() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: false))
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        connection.origin(".", seq: 1)
        #expect(lab.takeToServers().isEmpty && lab.takeToClients().isEmpty)
        lab.tell(.resetOrigin(held.handle))
        lab.turn()
        #expect(lab.takeToServers().map(\.sequence) == [connection.isn &+ 1])
        lab.finish()
    }

    /// One step, upon a command that names who has it: from then on only the other proxy gets and is heard.
    @Test func aFlowMovesToAnotherProxy() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let handle = connection.commit()
        lab.tell(.proxy(ProxyIndex(1), NextHop(mac: MACAddress(0x0200_0000_0077), mtu: 0)))
        lab.tell(.move(handle, from: ProxyIndex(1), to: ProxyIndex(0)))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["stays"])
        lab.tell(.move(handle, from: ProxyIndex(0), to: ProxyIndex(1)))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["moved"])
        _ = lab.takeToServers()
        _ = lab.takeToClients()
        connection.client(".", seq: UInt32(1 + request.count))
        #expect(lab.takeToServers().map(\.destinationMAC) == [0x0200_0000_0077])
        connection.proxy("P.", seq: 1, [1, 2])
        #expect(lab.takeToClients().isEmpty)
        #expect(lab.counter(.flowsMoved) == 1 && lab.counter(.droppedForeignProxy) == 1)
        lab.finish()
    }

    @Test func rule6CommittedFlowsOutliveTheClientsFIN() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let handle = connection.commit()
        connection.client("F.", seq: UInt32(1 + request.count))
        connection.proxy("F.", seq: 1)
        lab.wait(milliseconds: 400_000, step: 1_000_000)
        connection.client(".", seq: UInt32(2 + request.count))
        #expect(lab.takeToServers().allSatisfy { $0.destinationMAC == Lab.proxyMAC })
        #expect(lab.takeEvents().isEmpty)
        lab.tell(.flowDone(handle))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["ended flowDone"])
        // The tombstone absorbs the origin's late packets, and still takes the client's to the proxy.
        _ = lab.takeToClients()
        connection.origin("P.", seq: 1, ack: 1, [1])
        #expect(lab.takeToClients().isEmpty)
        #expect(lab.counter(.droppedTombstone) == 1)
        connection.client(".", seq: UInt32(2 + request.count))
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.originMAC, Lab.proxyMAC])
        #expect(lab.gauge(.closedFlows) == 1)
        lab.wait(milliseconds: 130_000, step: 100_000)
        #expect(lab.gauge(.flows) == 0)
        #expect(lab.gauge(.closedFlows) == 0)
        lab.finish()
    }

    /// The agent closes its descriptor with data still in its kernel, and the proxy's packets go another way.
    @Test func rule6ATombstoneLivesAsLongAsTheClientAcknowledges() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let handle = connection.commit()
        lab.tell(.flowDone(handle))
        lab.turn()
        let next = UInt32(1 + request.count)
        for step in 1...10 {
            lab.wait(milliseconds: 30_000, step: 100_000)
            connection.client(".", seq: next, ack: UInt32(step * 500_000))
        }
        #expect(lab.takeToServers().map(\.destinationMAC) == [UInt64](repeating: Lab.proxyMAC, count: 10))
        let quoted = connection.serverSegment(".", seq: 5_000_100, ack: 1, [UInt8](repeating: 0, count: 40))
        lab.put(quoted.tooBig(fromMAC: Lab.clientMAC, toMAC: Lab.originMAC), fromClient: true)
        lab.turn()
        #expect(lab.counter(.icmpToProxy) == 1)
        // The origin's late packets find it, too.
        connection.origin("P.", seq: 1, ack: 1, [1])
        #expect(lab.takeToClients().isEmpty)
        lab.wait(milliseconds: 130_000, step: 100_000)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test func rule3OnlyExactResetsEndACommittedFlow() throws {
        let lab = Lab()
        let connection = Connection(lab)
        connection.commit()
        let next = UInt32(1 + request.count)
        connection.client("R", seq: next + 1)
        connection.proxy("R", seq: 77)
        var corrupt = connection.serverSegment("R", seq: 1, mac: Lab.proxyMAC)
        corrupt.isChecksumRight = false
        connection.send(corrupt, fromClient: false)
        #expect(lab.takeEvents().isEmpty)
        connection.client("R", seq: next)
        #expect(lab.takeEvents().map(\.name) == ["ended clientReset"])
        let second = Connection(lab, port: 2)
        second.commit()
        second.proxy("P.", seq: 1, [1, 2, 3])
        second.proxy("R", seq: 4)
        #expect(lab.takeEvents().map(\.name) == ["ended proxyReset"])
        lab.finish()
    }

    /// A sender off the path who guesses numbers cannot make his own reset an exact one.
    @Test func rule3GuessedSegmentsDoNotMoveTheNumbersOfACommittedFlow() throws {
        let lab = Lab()
        let connection = Connection(lab)
        connection.commit()
        let next = UInt32(1 + request.count)
        // Neither number right; the acknowledgement right; the sequence number right; no acknowledgement at all.
        connection.client(".", seq: next + 1_000_000_000, ack: 1_000_000_000)
        connection.client("R", seq: next + 1_000_000_000)
        connection.client(".", seq: next + 1_000_000_000, ack: 1)
        connection.client("R", seq: next + 1_000_000_000)
        connection.client("P.", seq: next, ack: 1_000_000_000, [1, 2, 3])
        connection.client("R", seq: next + 3)
        connection.client("P", seq: next, [1, 2, 3])
        connection.client("R", seq: next + 3)
        connection.proxy("P.", seq: 1_000_000_000, [1])
        connection.proxy("R", seq: 1_000_000_001)
        #expect(lab.takeEvents().isEmpty)
        #expect(lab.takeToServers().map(\.destinationMAC) == [UInt64](repeating: Lab.proxyMAC, count: 8))
        // The client's own: one step of the window further, then a reset.
        connection.client("P.", seq: next + 900_000, ack: 900_000, [1, 2, 3])
        connection.client("R", seq: next + 900_003)
        #expect(lab.takeEvents().map(\.name) == ["ended clientReset"])
        lab.finish()
    }

    @Test func rule9SYNOnAKnownTuple() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let handle = connection.commit()
        connection.client("S", seq: 70_000)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        lab.tell(.flowDone(handle))
        lab.turn()
        _ = lab.takeEvents()
        // Closed: a new generation.
        let again = Connection(lab, isn: 70_000)
        let held = try #require(again.hold())
        #expect(held.handle.generation != handle.generation || held.handle.index != handle.index)
        lab.finish()
    }

    /// Invariants 1 and 2: the client sent its SYN twice, and the second one was long under way. The agent has given all
    /// that it has to its kernel and said that the flow is done; its packets are not acknowledged yet.
    @Test func aLateCopyOfTheFirstSYNDoesNotEndWhatIsUnderWay() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let handle = connection.commit()
        lab.tell(.flowDone(handle))
        lab.turn()
        _ = lab.takeEvents()
        connection.client("S", seq: 0, options: connection.synOptions)
        connection.proxy("P.", seq: 1, ack: UInt32(1 + request.count), [1, 2, 3])
        connection.client(".", seq: UInt32(1 + request.count), ack: 4)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC, Lab.proxyMAC])
        #expect(lab.takeToClients().last?.payload == [1, 2, 3])
        // Another one is a new connection.
        #expect(Connection(lab, isn: 70_000).hold() != nil)
        lab.finish()
    }

    /// A flow ends while the event ring is full, and its tuple is used again at once: the end is told all the same.
    @Test func invariant4AnEndThatFoundNoRoomIsToldLater() throws {
        let lab = Lab(eventCapacity: 16)
        let connection = Connection(lab)
        let handle = connection.commit()
        let next = UInt32(1 + request.count)
        while lab.events[0].push(.endOfFlows(nextCursor: nil, ticket: 0)) {}
        lab.put(connection.clientSegment("R", seq: next).frame, fromClient: true)
        let again = Connection(lab, isn: 70_000)
        lab.put(again.clientSegment("S", seq: 0, options: again.synOptions).frame, fromClient: true)
        lab.put(again.clientSegment("R", seq: 1).frame, fromClient: true)
        lab.put(again.clientSegment("S", seq: 5, options: again.synOptions).frame, fromClient: true)
        lab.turn()
        #expect(lab.counter(.eventRingFull) > 0)
        #expect(!lab.takeEvents().map(\.name).contains("ended clientReset"))
        lab.wait(milliseconds: 250)
        guard case .flowEnded(handle, .clientReset)? = lab.takeEvents().last else { throw TestFailure() }
        // The new connection is the origin's, from its first packet on.
        again.client(".", seq: 6)
        let targets = lab.takeToServers().map(\.destinationMAC)
        #expect(targets == [Lab.proxyMAC] + [UInt64](repeating: Lab.originMAC, count: 4))
        lab.finish()
    }

    @Test func rule12AsymmetricResetIsRepeated() throws {
        let lab = Lab { $0.candidates[0].isAsymmetric = true }
        let connection = Connection(lab)
        connection.timestamps = true
        connection.client("S", seq: 0, options: connection.synOptions)
        let syn = try #require(lab.takeToServers().first)
        #expect(syn.isChecksumRight)
        #expect(TestOptions.kinds(syn.options) == [2])
        connection.client(".", seq: 1, options: [])
        connection.client("P.", seq: 1, request, options: [])
        let held = try #require(lab.takeHeld())
        #expect(held.connection.pan == SequenceNumber(connection.iss &+ 1))
        #expect(held.connection.serverWindowEdge == SequenceNumber(connection.isn &+ 1 &+ 65_535))
        #expect(
            !held.connection.options.timestamps && !held.connection.options.sack && !held.connection.options.windowScale
        )
        _ = lab.takeToServers()
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        func resets() -> Int {
            lab.takeToServers().filter { $0.flags == "R" && $0.sequence == connection.isn &+ 1 }.count
        }
        #expect(resets() == 1)
        lab.wait(milliseconds: 190)
        #expect(resets() == 0)
        lab.wait(milliseconds: 30)
        #expect(resets() == 1)
        // The flow's end does not end them.
        lab.tell(.flowDone(held.handle))
        lab.wait(milliseconds: 800)
        #expect(resets() == 1)
        lab.wait(milliseconds: 2_000)
        #expect(resets() == 1)
        lab.wait(milliseconds: 10_000, step: 4_000)
        #expect(resets() == 0)
        lab.finish()
    }
}

extension Segment {
    /// The frame in an ordinary form, for comparison.
    var frameBytes: [UInt8] { frame }
}

enum TestOptions {
    /// Kinds in a header's option bytes, no-operations left out.
    static func kinds(_ options: [UInt8]) -> [UInt8] {
        var found: [UInt8] = []
        var offset = 0
        while offset < options.count, options[offset] != 0 {
            if options[offset] == 1 {
                offset += 1
                continue
            }
            found.append(options[offset])
            offset += max(Int(options[offset + 1]), 2)
        }
        return found
    }
}
