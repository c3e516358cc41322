import InterCore
import Testing
import Wire

extension WorkerTests {
    @Test func whatIsNobodysBusinessPassesUnchangedBothWays() {
        let lab = Lab()
        let connection = Connection(lab)
        connection.serverPort = 22
        let frames = [
            connection.clientSegment("SEW", seq: 0, options: Options.multipath).frame,
            connection.clientSegment("P.", seq: 1, [1, 2, 3]).frame,
            [UInt8](repeating: 0xFF, count: 60), Array(repeating: 0, count: 14),
        ]
        for frame in frames {
            lab.put(frame, fromClient: true)
            lab.put(frame, fromClient: false)
        }
        lab.turn()
        #expect(lab.toServers == frames)
        #expect(lab.toClients == frames)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test func rule12CandidateSYNsLoseMultipathFastOpenAndECN() throws {
        for padding in 0..<4 {
            let lab = Lab()
            let connection = Connection(lab)
            let noOperations = [UInt8](repeating: 1, count: padding)
            let options =
                noOperations + Options.mss(1_460) + Options.fastOpen + Options.multipath + Options.sackPermitted
            connection.client("SEWA", seq: 0, options: options)
            let syn = try #require(lab.takeToServers().first)
            #expect(syn.flags == "S")
            #expect(TestOptions.kinds(syn.options) == [2, 4])
            #expect(syn.options.count == (options.count + 3) / 4 * 4)
            #expect(syn.isChecksumRight)
            #expect(lab.counter(.optionsMuted) == 2)
            // Its retransmission, too.
            connection.client("SEW", seq: 0, options: options)
            #expect(lab.takeToServers().first.map { TestOptions.kinds($0.options) } == [2, 4])
            lab.finish()
        }
    }

    @Test func rule12SignedConnectionsAndSYNsWithPayloadAreNeverCandidates() {
        let lab = Lab()
        for (port, options) in [Options.md5, Options.authentication].enumerated() {
            let connection = Connection(lab, port: UInt16(port))
            connection.client("S", seq: 0, options: options)
        }
        Connection(lab, port: 9).client("S", seq: 0, [1, 2, 3], options: Options.mss(1_460))
        #expect(lab.gauge(.flows) == 0)
        #expect(lab.takeToServers().count == 3)
        lab.finish()
    }

    /// A length byte of 0 or beyond the header must neither hang the worker nor be written past.
    @Test(arguments: [[2, 4, 5, 180, 30, 0, 0, 0], [30, 200, 1, 1], [8, 1, 0, 0], [1, 1, 1, 30]] as [[UInt8]])
    func malformedOptionsPassUntouched(options: [UInt8]) {
        let lab = Lab()
        let connection = Connection(lab)
        let frame = connection.clientSegment("S", seq: 0, options: options).frame
        lab.put(frame, fromClient: true)
        lab.turn()
        #expect(lab.toServers == [frame])
        lab.toServers = []
        // The same as a retransmission of a SYN that was in order.
        connection.client("S", seq: 0, options: connection.synOptions)
        lab.toServers = []
        lab.put(frame, fromClient: true)
        lab.turn()
        #expect(lab.toServers == [frame])
        lab.finish()
    }

    @Test func segmentsAreClampedBothWays() throws {
        let lab = Lab { $0.maximumSegment = 1_200 }
        let connection = Connection(lab)
        connection.client("S", seq: 0, options: [1] + Options.mss(1_460))
        connection.origin("S.", seq: 0, ack: 1, options: [1, 1, 1] + Options.mss(9_000))
        let syn = try #require(lab.takeToServers().first)
        let answer = try #require(lab.takeToClients().first)
        #expect(syn.options[3...4] == [0x04, 0xB0] && syn.isChecksumRight)
        #expect(answer.options[5...6] == [0x04, 0xB0] && answer.isChecksumRight)
        #expect(lab.counter(.segmentsClamped) == 2)
        lab.finish()
    }

    @Test(arguments: [false, true])
    func rule13ICMPErrorsFollowACommittedFlow(v6: Bool) {
        let lab = Lab()
        let connection = Connection(lab)
        connection.v6 = v6
        connection.commit()
        func tooBig(_ seq: UInt32) {
            let quoted = connection.serverSegment(".", seq: seq, ack: 1, [UInt8](repeating: 0, count: 40))
            lab.put(quoted.tooBig(fromMAC: Lab.clientMAC, toMAC: Lab.originMAC), fromClient: true)
            lab.turn()
        }
        // The proxy's packets return another way: only the client's acknowledgements tell where it is.
        connection.client(".", seq: UInt32(1 + request.count), ack: 200_000)
        lab.toServers = []
        tooBig(200_000 + 3_000)
        tooBig(3_000_000_000)
        let targets = lab.toServers.map { $0[0..<6].reduce(0) { $0 << 8 | UInt64($1) } }
        #expect(targets == [Lab.proxyMAC, Lab.originMAC])
        #expect(lab.counter(.icmpToProxy) == 1)
        lab.finish()
    }

    @Test func rule13FragmentsPassAndAreCounted() {
        let lab = Lab()
        let connection = Connection(lab)
        connection.commit()
        var fragment = connection.clientSegment(".", seq: 50, [UInt8](repeating: 1, count: 64))
        fragment.isFragment = true
        let frame = fragment.frame
        lab.put(frame, fromClient: true)
        lab.turn()
        #expect(lab.toServers == [frame])
        #expect(lab.counter(.passedFragment) == 1)
        lab.finish()
    }

    @Test func routesComeBeforeCandidates() {
        let lab = Lab {
            var toProxy = RouteRule()
            toProxy.client = AddressPrefix("10.0.0.7")!
            toProxy.proxy = ProxyIndex(0)
            var toOrigin = RouteRule()
            toOrigin.client = AddressPrefix("10.0.0.8")!
            $0.routes = [toProxy, toOrigin]
        }
        let routed = Connection(lab)
        routed.clientAddress = 7
        routed.client("S", seq: 0)
        routed.client(".", seq: 1)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC, Lab.proxyMAC])
        let direct = Connection(lab, port: 2)
        direct.clientAddress = 8
        direct.handshake().client("P.", seq: 1, request)
        #expect(lab.takeToServers().count == 1)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    /// New connections of a route go to the origin while its proxy is unknown or down, and stay there; those that the
    /// proxy has stay with it.
    @Test func routesToAProxyThatIsDownLeadToTheOrigin() {
        let lab = Lab {
            var toProxy = RouteRule()
            toProxy.proxy = ProxyIndex(0)
            var toStranger = toProxy
            toStranger.firstPort = 81
            toStranger.lastPort = 81
            toStranger.proxy = ProxyIndex(9)
            $0.routes = [toStranger, toProxy]
        }
        func targets() -> [UInt64] { lab.takeToServers().map(\.destinationMAC) }
        let unknown = Connection(lab, port: 1)
        unknown.serverPort = 81
        unknown.client("S", seq: 0)
        unknown.client(".", seq: 1)
        #expect(targets() == [Lab.originMAC, Lab.originMAC])
        let old = Connection(lab, port: 2)
        old.client("S", seq: 0)
        lab.tell(.proxyDown(ProxyIndex(0)))
        old.client(".", seq: 1)
        #expect(targets() == [Lab.proxyMAC, Lab.proxyMAC])
        let new = Connection(lab, port: 3)
        new.client("S", seq: 0)
        new.client("S", seq: 0)
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Lab.proxyMAC))))
        new.client("S", seq: 0)
        new.client(".", seq: 1)
        #expect(targets() == [UInt64](repeating: Lab.originMAC, count: 4))
        #expect(lab.counter(.passedProxyDown) == 2)
        let newest = Connection(lab, port: 4)
        newest.client("S", seq: 0)
        #expect(targets() == [Lab.proxyMAC])
        lab.finish()
    }

    /// The end of a connection that the origin got instead is the origin's, too: the proxy would answer it with a reset.
    @Test func whatTheOriginGotForAProxyThatIsDownEndsThere() {
        let lab = Lab {
            var toProxy = RouteRule()
            toProxy.proxy = ProxyIndex(0)
            $0.routes = [toProxy]
        }
        lab.tell(.proxyDown(ProxyIndex(0)))
        let connection = Connection(lab)
        connection.client("S", seq: 0)
        connection.origin("S.", seq: 0)
        connection.client(".", seq: 1)
        connection.client("F.", seq: 1)
        connection.origin("F.", seq: 1, ack: 2)
        #expect(lab.counter(.flowsClosed) == 1)
        connection.client(".", seq: 2, ack: 2)
        connection.origin("F.", seq: 1, ack: 2)
        connection.client(".", seq: 2, ack: 2)
        #expect(lab.takeToServers().allSatisfy { $0.destinationMAC == Lab.originMAC })
        #expect(lab.counter(.flowsClosed) == 1)
        lab.wait(milliseconds: 61_000, step: 100_000)
        #expect(lab.gauge(.flows) == 0)
        // Meanwhile the tuple may be used again.
        lab.tell(.proxy(ProxyIndex(0), NextHop(mac: MACAddress(Lab.proxyMAC))))
        connection.client("S", seq: 50_000)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC])
        lab.finish()
    }

    @Test func aRoutedConnectionThatWasIdleForLongStaysWithItsProxy() {
        let lab = Lab {
            var toProxy = RouteRule()
            toProxy.proxy = ProxyIndex(0)
            $0.routes = [toProxy]
            $0.flowCapacity = 64
        }
        let connection = Connection(lab)
        connection.client("S", seq: 0)
        lab.wait(milliseconds: 400_000, step: 500_000)
        #expect(lab.gauge(.flows) == 0)
        connection.client(".", seq: 1)
        #expect(lab.gauge(.flows) == 1)
        // A full table changes nothing about it.
        for port in 1...80 {
            let other = Connection(lab, port: UInt16(port))
            other.client("S", seq: 0)
            other.client(".", seq: 1)
        }
        #expect(lab.takeToServers().map(\.destinationMAC) == [UInt64](repeating: Lab.proxyMAC, count: 162))
        lab.finish()
    }

    @Test func invariant3AFullTablePassesWhatItCannotNote() {
        let lab = Lab { $0.flowCapacity = 64 }
        for port in 0..<80 {
            Connection(lab, port: UInt16(1_000 + port)).client("S", seq: 0, options: Options.mss(1_460))
        }
        #expect(lab.takeToServers().count == 80)
        #expect(lab.counter(.passedTableFull) == 16)
        #expect(lab.gauge(.flows) == 64)
        // Half-open entries make room in time.
        lab.wait(milliseconds: 6_000, step: 2_000)
        #expect(lab.gauge(.flows) == 0)
        #expect(Connection(lab, port: 7).hold() != nil)
        lab.finish()
    }

    @Test func rule6OnlyCandidatesCanBeAnnounced() throws {
        let lab = Lab()
        let connection = Connection(lab)
        connection.serverPort = 22
        lab.tell(.installFlow(connection.key, ProxyIndex(0), ticket: 5))
        lab.turn()
        guard case .flowRefused(ticket: 5)? = lab.takeEvents().last else { throw TestFailure() }
        #expect(lab.counter(.installsRefused) == 1)
        connection.client(".", seq: 500, [1])
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.originMAC])
        lab.finish()
    }

    /// A flow that a proxy announces finds room in a full table, at the cost of one that is not committed.
    @Test func rule6AnAnnouncedFlowFindsRoom() throws {
        let lab = Lab { $0.flowCapacity = 64 }
        lab.tell(.installFlow(Connection(lab, port: 1).key, ProxyIndex(0), ticket: 1))
        for port in 0..<70 { Connection(lab, port: UInt16(1_000 + port)).client("S", seq: 0) }
        for port in 2...64 { lab.tell(.installFlow(Connection(lab, port: UInt16(port)).key, ProxyIndex(0), ticket: 2)) }
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == [String](repeating: "installed", count: 64))
        #expect(lab.counter(.flowsEvicted) == 63)
        #expect(lab.gauge(.flows) == 64 && lab.gauge(.committedFlows) == 64)
        // Committed flows never go.
        lab.tell(.installFlow(Connection(lab, port: 65).key, ProxyIndex(0), ticket: 3))
        lab.turn()
        guard case .flowRefused(ticket: 3)? = lab.takeEvents().last else { throw TestFailure() }
        lab.finish()
    }

    @Test func rule6RecoveryWithholdsMidStreamPacketsOfCandidates() throws {
        let lab = Lab { $0.recoveryMicroseconds = 3_000_000 }
        let old = Connection(lab)
        old.client(".", seq: 500, [1, 2, 3])
        old.origin("R", seq: 1)
        #expect(lab.takeToServers().isEmpty && lab.takeToClients().isEmpty)
        #expect(lab.counter(.droppedRecovery) == 2)
        // What is no candidate passes, and so does a new connection.
        let other = Connection(lab, port: 2)
        other.serverPort = 22
        other.client(".", seq: 500, [1])
        #expect(lab.takeToServers().count == 1)
        #expect(Connection(lab, port: 3).hold() != nil)
        // A proxy announces the flow: its packets go there, and it learns the flow's numbers from them.
        lab.tell(.installFlow(old.key, ProxyIndex(0), ticket: 17))
        lab.turn()
        guard case .flowInstalled(let handle, ticket: 17)? = lab.takeEvents().last else { throw TestFailure() }
        old.client("R", seq: 900)
        #expect(lab.takeEvents().isEmpty, "nobody knows yet whether that number is right")
        old.client(".", seq: 500, [1, 2, 3])
        old.client("R", seq: 503)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC, Lab.proxyMAC, Lab.proxyMAC])
        guard case .flowEnded(handle, .clientReset)? = lab.takeEvents().last else { throw TestFailure() }
        // The end, by command or by time.
        lab.tell(.recoveryEnded)
        lab.turn()
        Connection(lab, port: 4).client(".", seq: 500, [1])
        #expect(lab.takeToServers().count == 1)
        lab.finish()

        let timed = Lab { $0.recoveryMicroseconds = 3_000_000 }
        timed.wait(milliseconds: 3_001, step: 50_000)
        Connection(timed).client(".", seq: 500, [1])
        #expect(timed.takeToServers().count == 1)
        timed.finish()
    }

    /// What begins during the recovery is nobody's but the origin's, whether or not it is a candidate.
    @Test func rule6RecoveryLetsNewConnectionsBe() {
        let lab = Lab {
            $0.recoveryMicroseconds = 3_000_000
            $0.candidates[0].lastPort = 81
            var canary = CandidateRule()
            canary.firstPort = 82
            canary.lastPort = 82
            canary.mode = .canary(percent: 0)
            $0.candidates.append(canary)
            var toOrigin = RouteRule()
            toOrigin.firstPort = 81
            toOrigin.lastPort = 81
            $0.routes = [toOrigin]
        }
        func begins(_ port: UInt16, _ serverPort: UInt16, _ options: [UInt8], _ payload: [UInt8] = []) {
            let connection = Connection(lab, port: port)
            connection.serverPort = serverPort
            connection.client("S", seq: 0, payload, options: options)
            connection.origin("S.", seq: 0, ack: 1)
            connection.client("P.", seq: 1, [1, 2, 3])
            connection.origin("R", seq: 1)
        }
        begins(1, 80, Options.md5)
        begins(2, 80, Options.authentication)
        begins(3, 80, Options.mss(1_460), [1, 2, 3])
        begins(4, 81, Options.mss(1_460))
        begins(5, 82, Options.mss(1_460))
        #expect(lab.counter(.droppedRecovery) == 0)
        #expect(lab.takeToServers().count == 10 && lab.takeToClients().count == 10)
        // Mid-stream, a route to the origin is enough.
        let old = Connection(lab, port: 6)
        old.serverPort = 81
        old.client(".", seq: 500, [1])
        old.origin("R", seq: 1)
        #expect(lab.takeToServers().count == 1 && lab.takeToClients().count == 1)
        // A refused SYN, and an entry that nobody needs any more.
        let refused = Connection(lab, port: 7)
        refused.client("S", seq: 0, options: Options.md5)
        refused.client("S", seq: 0, options: Options.md5)
        #expect(lab.gauge(.flows) == 1)
        refused.origin("R.", seq: 0, ack: 1)
        #expect(lab.takeToClients().map(\.flags) == ["R."])
        Connection(lab, port: 8).client("S", seq: 0, options: Options.md5)
        lab.wait(milliseconds: 11_000, step: 20_000)
        #expect(lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test func invariant9TwoWorkersHandOver() throws {
        let lab = Lab(workers: 2)
        for port in 1...20 {
            let connection = Connection(lab, port: UInt16(port))
            lab.inboundWorker = 0
            connection.client("S", seq: 0, options: connection.synOptions)
            lab.inboundWorker = 1
            connection.origin("S.", seq: 0, ack: 1, options: Options.mss(1_460))
            connection.client(".", seq: 1)
            lab.inboundWorker = 0
            connection.client("P.", seq: 1, request)
            let held = try #require(lab.takeHeld())
            #expect(Int(held.handle.worker) == flowOwner(of: connection.key, seed: 77, workerCount: 2))
            lab.tell(.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true)))
            lab.turn()
            _ = lab.takeEvents()
        }
        #expect(lab.counter(.handedOver) > 0)
        #expect(lab.counter(.handedOver) == lab.counter(.receivedHandedOver))
        #expect(lab.counters.allSatisfy { $0[.holdsCommitted] > 0 })
        lab.finish()
    }
}

struct TestFailure: Error {}
