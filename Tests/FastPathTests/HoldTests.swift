import FastPath
import InterCore
import Testing
import Wire

/// A head that is exactly `count` bytes long.
func longRequest(_ count: Int) -> [UInt8] {
    let start = Array("GET /a HTTP/1.1\r\nHost: example.org\r\nX-Filler: ".utf8)
    return start + [UInt8](repeating: 0x61, count: count - start.count - 4) + Array("\r\n\r\n".utf8)
}

extension WorkerTests {
    /// A side without a descriptor must not wait for the other's packets.
    @Test(arguments: [[], [7]] as [[Int32]], [[], [8, 9]] as [[Int32]])
    func aWorkerSleepsLongOnlyWhenBothSidesCanWakeIt(client: [Int32], server: [Int32]) {
        let links = WorkerLinks(
            index: 0, clientQueue: PortQueue(port: 0, queue: 0), serverQueue: PortQueue(port: 1, queue: 0),
            pool: Bench.pool, events: Ring(capacity: 2), commands: Ring(capacity: 2), counters: CounterBlock(),
            heartbeat: Heartbeat(), controlHeartbeat: Heartbeat(), controlDoorbell: Doorbell(descriptor: -1),
            doorbells: [Doorbell(descriptor: -1)], handOver: [], clientWaitable: client, serverWaitable: server)
        #expect(links.canBeWoken == (!client.isEmpty && !server.isEmpty))
    }

    @Test func rule4AHeadOf14000BytesIsTransferred() throws {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        let head = longRequest(14_000)
        var offset = 0
        while offset < head.count {
            connection.client(".", seq: UInt32(1 + offset), Array(head[offset..<min(offset + 1_460, head.count)]))
            offset += 1_460
        }
        let held = try #require(lab.takeHeld())
        #expect(held.heldLength == 14_000)
        #expect(held.request.headLength == 14_000)
        #expect(Int(held.payloadLength) == HeldRequest.maximumPayload)
        #expect(lab.takeToServers().isEmpty)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        let sent = lab.takeToServers()
        #expect(sent.map(\.flags).first == "R")
        #expect(sent.dropFirst().flatMap(\.payload) == head)
        #expect(sent.dropFirst().allSatisfy { $0.destinationMAC == Lab.proxyMAC })
        lab.finish()
    }

    @Test func rule4AHeadOfMoreThanTenSegmentsGoesToTheOriginAtOnce() {
        let lab = Lab { $0.headLimit = 65_536 }
        let connection = Connection(lab).handshake()
        let head = longRequest(20_000)
        for index in 0..<10 {
            connection.client(".", seq: UInt32(1 + index * 1_460), Array(head[index * 1_460..<(index + 1) * 1_460]))
        }
        // Without time going by: the tenth segment fills the bound.
        #expect(lab.takeToServers().flatMap(\.payload) == Array(head[..<14_600]))
        #expect(lab.takeEvents().isEmpty)
        #expect(lab.counter(.requestsTooLong) == 1)
        lab.finish()
    }

    /// Every order in which the segments of a head can come.
    @Test(arguments: [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    func segmentsInAnyOrder(order: [Int]) throws {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        let parts = [Array(request[..<9]), Array(request[9..<20]), Array(request[20...])]
        let starts: [UInt32] = [1, 10, 21]
        for index in order { connection.client("P.", seq: starts[index], parts[index]) }
        let held = try #require(lab.takeHeld())
        #expect(lab.takeToServers().isEmpty)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().dropFirst().flatMap(\.payload) == request)
        lab.finish()
    }

    @Test func retransmissionWhilePendingIsAbsorbed() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.client("P.", seq: 1, request)
        connection.client("P.", seq: 5, Array(request[4..<9]))
        #expect(lab.takeToServers().isEmpty)
        #expect(lab.counter(.retransmissionsAbsorbed) == 2)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().dropFirst().flatMap(\.payload) == request)
        lab.finish()
    }

    @Test func rule4IncompleteHeadIsReleasedAtItsFirstRetransmission() {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        connection.client("P.", seq: 1, Array(request[..<9]))
        connection.client("P.", seq: 1, Array(request[..<9]))
        #expect(lab.takeToServers().count == 2)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func rule4IncompleteHeadIsReleasedAfter20Milliseconds() {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        connection.client("P.", seq: 1, Array(request[..<9]))
        lab.wait(milliseconds: 19)
        #expect(lab.takeToServers().isEmpty)
        lab.wait(milliseconds: 2)
        #expect(lab.takeToServers().count == 1)
        #expect(lab.counter(.requestsIncomplete) == 1)
        connection.client("P.", seq: 10, Array(request[9...]))
        #expect(lab.takeToServers().count == 1)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func clientResetWhileHeldDropsTheRequest() throws {
        let lab = Lab()
        let connection = Connection(lab)
        _ = try #require(connection.hold())
        connection.client("R", seq: 20)
        #expect(lab.takeEvents().isEmpty, "rule 3: not the exact number")
        #expect(lab.takeToServers().count == 1)
        connection.client("R", seq: UInt32(1 + request.count))
        #expect(lab.takeEvents().map(\.name) == ["aborted clientReset"])
        #expect(lab.takeToServers().map(\.flags) == ["R"])
        #expect(lab.counter(.droppedClientReset) == 1)
        lab.finish()
    }

    @Test(arguments: ["P.", "F.", "R"])
    func originSpeaksWhileHeld(flags: String) throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.origin(flags, seq: 1, flags == "P." ? [1, 2] : [])
        #expect(lab.takeEvents().map(\.name) == ["aborted originClosed"])
        #expect(lab.takeToClients().count == 1)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.originMAC])
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().isEmpty)
        lab.finish()
    }

    @Test func rule3InexactOriginSegmentsChangeNothing() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.origin("R", seq: 2)
        connection.origin("P.", seq: 9_000_000, [1])
        var corrupt = connection.serverSegment("R", seq: 1)
        corrupt.isChecksumRight = false
        connection.send(corrupt, fromClient: false)
        connection.origin(".", seq: 1)
        #expect(lab.takeToClients().count == 4)
        #expect(lab.takeEvents().isEmpty)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeEvents().map(\.name) == ["committed"])
        lab.finish()
    }

    @Test func rule3BadChecksumPassesUntouchedAndChangesNothing() throws {
        let lab = Lab()
        let connection = Connection(lab)
        var syn = connection.clientSegment("SE", seq: 0, options: connection.synOptions)
        syn.isChecksumRight = false
        connection.send(syn, fromClient: true)
        #expect(lab.toServers == [syn.frame])
        #expect(lab.gauge(.flows) == 0)
        connection.handshake()
        var data = connection.clientSegment("P.", seq: 1, ack: 1, request)
        data.isChecksumRight = false
        connection.send(data, fromClient: true)
        #expect(lab.takeToServers().count == 1)
        connection.client("P.", seq: 1, request)
        _ = try #require(lab.takeHeld())
        connection.send(data, fromClient: true)
        #expect(lab.takeToServers().count == 1)
        #expect(lab.counter(.passedBadChecksum) == 3)
        lab.finish()
    }

    @Test func invariant3ADeadControlCoreStopsHolding() throws {
        let lab = Lab()
        let connection = Connection(lab)
        _ = try #require(connection.hold())
        lab.isControlAlive = false
        lab.wait(milliseconds: 51)
        #expect(lab.takeEvents().map(\.name) == ["aborted controlDead"])
        #expect(lab.takeToServers().count == 1)
        let second = Connection(lab, port: 2).handshake()
        second.client("P.", seq: 1, request)
        #expect(lab.takeToServers().count == 1)
        #expect(lab.counter(.holdsRefusedControlDead) == 1)
        lab.isControlAlive = true
        lab.turn()
        #expect(Connection(lab, port: 3).hold() != nil)
        lab.finish()
    }

    /// The control core's clock reading may be later than the worker's own.
    @Test func invariant3AHeartbeatOfTheFutureIsAlive() {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        lab.isControlAlive = false
        lab.controlHeartbeat.beat(now: lab.now + 10)
        connection.client("P.", seq: 1, request)
        #expect(lab.takeHeld() != nil)
        lab.finish()
    }

    /// The ring has room for every hold's outcome, and questions stop before that place is taken.
    @Test func invariant4OutcomesAlwaysFitTheRing() {
        let lab = Lab(eventCapacity: 8)
        var connections: [Connection] = []
        for port in 1...10 { connections.append(Connection(lab, port: UInt16(port)).handshake()) }
        // The control core does not read while all speak.
        for connection in connections {
            lab.put(connection.clientSegment("P.", seq: 1, ack: 1, request).frame, fromClient: true)
        }
        lab.controlHeartbeat.beat(now: lab.now)
        _ = lab.boxes[0].worker.poll(now: lab.now)
        lab.now += 49_000
        lab.controlHeartbeat.beat(now: lab.now)
        _ = lab.boxes[0].worker.poll(now: lab.now)
        lab.now += 49_000
        lab.controlHeartbeat.beat(now: lab.now)
        _ = lab.boxes[0].worker.poll(now: lab.now)
        lab.turn()
        let names = lab.takeEvents().map(\.name)
        #expect(names.filter { $0 == "held" }.count == names.filter { $0.hasPrefix("aborted") }.count)
        #expect(names.contains("held"))
        #expect(lab.takeToServers().count == 10)
        #expect(lab.counter(.holdsRefusedBound) > 0)
        lab.finish()
    }

    @Test func invariant4HoldsAreBounded() {
        let flows = Lab { $0.heldFlowLimit = 2 }
        for port in 1...3 { Connection(flows, port: UInt16(port)).handshake().client("P.", seq: 1, request) }
        #expect(flows.counter(.holdsRefusedBound) == 1)
        #expect(flows.gauge(.heldFlows) == 2)
        #expect(flows.takeToServers().count == 1)
        flows.finish()

        let packets = Lab { $0.heldPacketsPerFlow = 3 }
        let connection = Connection(packets).handshake()
        for index in 0..<4 { connection.client("P.", seq: UInt32(1 + index), [request[index]]) }
        #expect(packets.takeToServers().flatMap(\.payload) == Array(request[..<4]))
        #expect(packets.counter(.holdsRefusedBound) == 1)
        packets.finish()

        let all = Lab { $0.heldPacketLimit = 2 }
        for port in 1...3 { Connection(all, port: UInt16(port)).handshake().client("P.", seq: 1, Array(request[..<4])) }
        #expect(all.gauge(.heldPackets) == 2)
        #expect(all.counter(.holdsRefusedBound) == 1)
        all.finish()
    }

    @Test func bypassReleasesEverythingAndHoldsNothing() throws {
        let lab = Lab()
        _ = try #require(Connection(lab).hold())
        lab.tell(.bypass(true))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["aborted bypassed"])
        #expect(lab.takeToServers().count == 1)
        Connection(lab, port: 2).handshake().client("P.", seq: 1, request)
        #expect(lab.takeToServers().count == 1)
        #expect(lab.counter(.bypassed) == 1)
        lab.tell(.bypass(false))
        #expect(Connection(lab, port: 3).hold() != nil)
        lab.tell(.abortAllHolds)
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["aborted controlDead"])
        lab.finish()
    }

    @Test func rule2APayloadWithAnotherAcknowledgementIsTheOrigins() {
        let lab = Lab()
        let connection = Connection(lab).handshake()
        connection.client("P.", seq: 1, ack: 2, request)
        #expect(lab.takeToServers().count == 1)
        connection.client("P.", seq: 1, ack: 1, request)
        #expect(lab.takeToServers().count == 1)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    /// A duplicate of the SYN does not make a flow whose request the origin has, a candidate again.
    @Test func rule2ADuplicateSYNBeginsNothing() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.client("S", seq: 0, options: connection.synOptions)
        #expect(lab.takeEvents().isEmpty)
        connection.verdict(held.handle, .origin)
        _ = lab.takeEvents()
        connection.client("S", seq: 0, options: connection.synOptions)
        connection.origin("S.", seq: 0, ack: 1, options: Options.mss(1_460))
        connection.client("P.", seq: 1, request)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func keepAliveProbesAndBareACKsOfHeldFlowsDoNotEndTheHold() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.client(".", seq: 0)
        connection.client(".", seq: 0, [0])
        connection.client(".", seq: 1)
        #expect(lab.takeToServers().count == 3)
        connection.client(".", seq: UInt32(1 + request.count))
        #expect(lab.takeToServers().isEmpty)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeEvents().map(\.name) == ["committed"])
        lab.finish()
    }

    @Test func aHeldFINTravelsWithTheRequest() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let held = try #require(connection.hold())
        connection.client("F.", seq: UInt32(1 + request.count))
        connection.client("F.", seq: UInt32(1 + request.count))
        #expect(lab.takeToServers().isEmpty)
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().map(\.flags) == ["R", "P.", "F."])
        lab.finish()
    }

    @Test func observeAsksAndHoldsNothing() {
        let lab = Lab { $0.candidates[0].mode = .observe }
        let connection = Connection(lab).handshake()
        connection.client("P.", seq: 1, request)
        #expect(lab.takeEvents().map(\.name) == ["observed"])
        #expect(lab.takeToServers().count == 1)
        #expect(lab.counter(.taken) == 0)
        lab.finish()
    }

    @Test func credentialsNeedAPublicRule() {
        let secret = Array("GET / HTTP/1.1\r\nHost: a.example\r\nCookie: a=b\r\n\r\n".utf8)
        for isPublic in [false, true] {
            let lab = Lab { $0.candidates[0].isPublic = isPublic }
            Connection(lab).handshake().client("P.", seq: 1, secret)
            #expect((lab.takeHeld() != nil) == isPublic)
            lab.finish()
        }
    }

    @Test func smtpOnlyAfterACompleteAcknowledgedGreeting() throws {
        let lab = Lab {
            $0.candidates[0].applications = .smtp
            $0.candidates[0].firstPort = 25
            $0.candidates[0].lastPort = 25
        }
        let greeting = Array("220 mail.example ESMTP\r\n".utf8)
        let hello = Array("EHLO client.example\r\n".utf8)
        func connection(_ port: UInt16) -> Connection {
            let connection = Connection(lab, port: port)
            connection.serverPort = 25
            return connection.handshake()
        }
        let first = connection(1)
        first.origin("P.", seq: 1, greeting)
        first.client("P.", seq: 1, ack: UInt32(1 + greeting.count), hello)
        let held = try #require(lab.takeHeld())
        #expect(held.connection.pan == SequenceNumber(first.iss &+ UInt32(1 + greeting.count)))
        // Nobody greeted.
        connection(2).client("P.", seq: 1, hello)
        // Greeted, not acknowledged.
        let third = connection(3)
        third.origin("P.", seq: 1, greeting)
        third.client("P.", seq: 1, ack: 1, hello)
        // The greeting goes on.
        let fourth = connection(4)
        fourth.origin("P.", seq: 1, Array("220-mail.example\r\n".utf8))
        fourth.client("P.", seq: 1, ack: 19, hello)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }
}
