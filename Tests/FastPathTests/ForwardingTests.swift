import FastPath
import InterCore
import Testing
import Wire

/// A forwarder with two classifiers and two proxies, all behind tunnels.
private struct Forwarder {
    static let tunnel4 = IPAddress("10.9.0.3")!
    static let tunnel6 = IPAddress("2001:db8:9::3")!
    static let network: UInt32 = 5

    let lab: Lab
    let classifiers: [Encapsulation]
    let proxies: [Encapsulation]

    /// - Parameter outer: of the tunnels.
    init(
        _ kind: Encapsulation.Kind = .gue, outerV6: Bool = false, workers: Int = 1, path: Int = 1_600,
        _ configure: @escaping (inout WorkerConfiguration) -> Void = { _ in }
    ) {
        func end(_ last: UInt8) -> IPAddress {
            outerV6
                ? IPAddress(high: 0x2001_0DB8_0009_0000, low: UInt64(last)) : IPAddress(v4: 0x0A09_0000 | UInt32(last))
        }
        let source = outerV6 ? Self.tunnel6 : Self.tunnel4
        classifiers = [UInt8(51), 52].map { Encapsulation(kind, from: source, to: end($0), network: Self.network) }
        proxies = [UInt8(11), 12].map {
            var encapsulation = Encapsulation(kind, from: source, to: end($0), network: Self.network)
            encapsulation.namesFlows = true
            return encapsulation
        }
        let ends = classifiers.map(\.destination)
        lab = Lab(workers: workers) {
            $0.role = .forwarder
            $0.candidates = []
            VirtualClient.serve(&$0, origins: 0)
            $0.origins = ends.enumerated().map {
                Origin(Endpoint($1, port: 9_000), hop: NextHop(mac: MACAddress(0xC0 + UInt64($0))))
            }
            for index in $0.virtualServers.indices { $0.virtualServers[index].originCount = 2 }
            configure(&$0)
        }
        for (index, encapsulation) in classifiers.enumerated() {
            lab.tell(.encapsulate(.origin(index), encapsulation))
            lab.tell(
                .proxy(.origin(index), NextHop(mac: MACAddress(0xC0 + UInt64(index)), mtu: room(path, encapsulation))))
        }
        for (index, encapsulation) in proxies.enumerated() {
            let place = ProxyIndex(UInt8(index))
            lab.tell(.encapsulate(place, encapsulation))
            lab.tell(.proxy(place, NextHop(mac: MACAddress(0xF0 + UInt64(index)), mtu: room(path, encapsulation))))
        }
        lab.turn()
    }

    private func room(_ path: Int, _ encapsulation: Encapsulation) -> UInt16 { UInt16(path - encapsulation.overhead) }

    func key(_ client: VirtualClient) -> FlowKey {
        FlowKey(
            client: VirtualClient.ip(1, v6: client.v6), clientPort: client.port,
            server: VirtualClient.ip(80, v6: client.v6), serverPort: 80)
    }

    func map(_ client: VirtualClient, to proxy: UInt8, identifier: UInt32 = 0xAB_CDEF, generation: UInt32 = 0) {
        lab.tell(
            .installFlow(
                key(client), ProxyIndex(proxy), ticket: 9,
                name: FlowName(identifier: identifier, generation: generation)))
        lab.turn()
    }

    /// Where a frame on the servers' side goes, as which flow's, and what is in it.
    func read(_ frame: [UInt8]) -> (encapsulation: Encapsulation, flow: UInt32, inner: [UInt8])? {
        let isV4 = frame[12...13] == [8, 0]
        for (index, encapsulation) in (classifiers + proxies).enumerated()
        where encapsulation.destination.isV4 == isV4 {
            let offset = isV4 ? 14 + 16 : 14 + 24
            let address = Array(frame[offset..<(offset + (isV4 ? 4 : 16))])
            guard address == bytes(encapsulation.destination) else { continue }
            let mac = UInt8([0xC0, 0xC1, 0xF0, 0xF1][index])
            guard Array(frame[..<12]) == [0, 0, 0, 0, 0, mac, 2, 0, 0, 0, 0, 3] else { return nil }
            let start = 14 + (isV4 ? 20 : 40) + (encapsulation.kind == .ipip ? 0 : 8)
            let payload = Array(frame[start...])
            guard
                let contents = try? payload.withUnsafeBytes({
                    try EncapsulatedPacket.contents(of: $0, kind: encapsulation.kind, network: Self.network)
                }), contents.range.upperBound == payload.count
            else { return nil }
            return (encapsulation, contents.flow, Array(payload[contents.range]))
        }
        return nil
    }

    private func bytes(_ address: IPAddress) -> [UInt8] {
        address.isV4
            ? Segment.big(address.v4)
            : Segment.big(UInt32(truncatingIfNeeded: address.high >> 32))
                + Segment.big(UInt32(truncatingIfNeeded: address.high))
                + Segment.big(UInt32(truncatingIfNeeded: address.low >> 32))
                + Segment.big(UInt32(truncatingIfNeeded: address.low))
    }

    func take() -> [(encapsulation: Encapsulation, flow: UInt32, inner: [UInt8])] {
        defer { lab.toServers = [] }
        return lab.toServers.compactMap { read($0) }
    }
}

/// What a forwarder does with clients' packets.
extension WorkerTests {
    @Test(arguments: Encapsulation.Kind.allCases, [false, true])
    func aMappedConnectionGoesToItsProxyWithItsName(kind: Encapsulation.Kind, v6: Bool) throws {
        for outerV6 in [false, true] {
            let forwarder = Forwarder(kind, outerV6: outerV6)
            let client = VirtualClient(forwarder.lab, v6: v6)
            forwarder.map(client, to: 1)
            #expect(forwarder.lab.takeEvents().map(\.name) == ["installed"])
            // Plain, with a FIN, with nothing, and again a SYN: whatever it is.
            for (flags, payload) in [("P.", request), (".", []), ("F.", []), ("S", []), ("R", []), (".", [1])] {
                let sent = client.segment(flags, seq: 1, payload)
                forwarder.lab.put(sent.frame, fromClient: true)
                forwarder.lab.turn()
                let got = try #require(forwarder.take().first, "\(flags)")
                #expect(got.encapsulation == forwarder.proxies[1])
                #expect(got.flow == (kind == .ipip ? 0 : 0xAB_CDEF))
                #expect(got.inner == Array(sent.frameBytes[14...].prefix(got.inner.count)))
            }
            #expect(forwarder.lab.counter(.encapsulated) == 6 && forwarder.lab.counter(.forwardedToClassifier) == 0)
            forwarder.lab.finish()
        }
    }

    /// A flood costs no memory; and every segment of one connection gets to one classifier.
    @Test(arguments: Encapsulation.Kind.allCases, [false, true])
    func whatHasNoMappingGoesToOneClassifierAndIsNotKept(kind: Encapsulation.Kind, v6: Bool) throws {
        let forwarder = Forwarder(kind)
        let client = VirtualClient(forwarder.lab, v6: v6)
        var shares = [0, 0]
        for port in UInt16(1_000)..<1_200 {
            client.port = port
            var ends: Set<Encapsulation> = []
            for flags in ["S", ".", "P.", "F.", "R"] {
                client.send(flags, seq: 1, flags == "P." ? request : [])
                let got = try #require(forwarder.take().first)
                #expect(got.flow == 0)
                ends.insert(got.encapsulation)
            }
            #expect(ends.count == 1)
            shares[forwarder.classifiers.firstIndex(of: ends.first!) ?? 0] += 1
        }
        #expect(shares.allSatisfy { $0 > 60 })
        #expect(forwarder.lab.gauge(.flows) == 0 && forwarder.lab.counter(.flowsCreated) == 0)
        #expect(forwarder.lab.counter(.forwardedToClassifier) == 1_000)
        forwarder.lab.finish()
    }

    /// The choice is the same at each start, whatever the flows' hash; and when one goes its connections alone move.
    @Test func aClassifierLessMovesItsConnectionsAlone() {
        let all = (1...5).map {
            Origin(Endpoint(IPAddress(v4: 0x0A09_0000 | UInt32($0)), port: 9_000), hop: NextHop(mac: MACAddress(7)))
        }
        func choose(_ origins: [Origin]) -> [IPAddress?] {
            let table = VirtualServerTable(servers: [], origins: origins, generation: 0, areClassifiers: true)
            defer { table.free() }
            return (0..<4_000).map { port in
                let key = FlowKey(
                    client: IPAddress("10.0.0.1")!, clientPort: UInt16(port), server: IPAddress("10.0.0.80")!,
                    serverPort: 80)
                return table.choice.classifier(of: PackedFlowKey(key)).map { origins[$0].endpoint.address }
            }
        }
        let before = choose(all)
        for origin in all {
            let share = before.count { $0 == origin.endpoint.address }
            #expect((560...1_040).contains(share), "\(share)")
        }
        #expect(choose(all.reversed()) == before, "the order means nothing")
        var fewer = all
        fewer[2].isUp = false
        for (one, other) in zip(before, choose(fewer)) {
            #expect(one == all[2].endpoint.address ? other != one : other == one)
        }
        fewer[2].isUp = true
        fewer[2].hop = NextHop(mac: .zero)
        #expect(choose(fewer).allSatisfy { $0 != all[2].endpoint.address && $0 != nil })
        #expect(choose([]).allSatisfy { $0 == nil })
        // Golden: forwarders of different versions agree.
        #expect(before[..<8].map { $0.map { $0.v4 & 0xFF } } == [2, 1, 1, 5, 4, 5, 2, 2])
    }

    /// A later owner's word counts, whenever the earlier one's comes.
    @Test func theHigherGenerationWins() throws {
        let forwarder = Forwarder()
        let client = VirtualClient(forwarder.lab)
        func goesTo() throws -> (Encapsulation, UInt32) {
            client.send(".", seq: 9)
            let got = try #require(forwarder.take().last)
            return (got.encapsulation, got.flow)
        }
        forwarder.map(client, to: 0, identifier: 7, generation: 0)
        _ = forwarder.lab.takeEvents()
        #expect(try goesTo() == (forwarder.proxies[0], 7))
        forwarder.map(client, to: 1, identifier: 8, generation: 2)
        #expect(forwarder.lab.takeEvents().map(\.name) == ["ended superseded", "installed"])
        #expect(try goesTo() == (forwarder.proxies[1], 8))
        for late: UInt32 in [0, 1, 2] {
            forwarder.map(client, to: 0, identifier: 7, generation: late)
            #expect(forwarder.lab.takeEvents().map(\.name) == ["refused"])
            #expect(try goesTo() == (forwarder.proxies[1], 8))
        }
        #expect(forwarder.lab.gauge(.flows) == 1)
        forwarder.lab.finish()
    }

    /// After its end a mapping still takes the last packets to the proxy; the next connection of the tuple is another one.
    @Test(arguments: [false, true]) func anEndedMappingIsForgotten(v6: Bool) throws {
        let forwarder = Forwarder { $0.closedMicroseconds = 2_000_000 }
        let client = VirtualClient(forwarder.lab, v6: v6)
        forwarder.map(client, to: 0)
        func installed() throws -> FlowHandle {
            for case .flowInstalled(let handle, _) in forwarder.lab.takeEvents() { return handle }
            throw Missing()
        }
        forwarder.lab.tell(.flowDone(try installed()))
        client.send(".", seq: 9)
        #expect(forwarder.take().last?.encapsulation == forwarder.proxies[0])
        #expect(forwarder.lab.takeEvents().map(\.name) == ["ended flowDone"])
        client.send("S", seq: 0)
        let next = try #require(forwarder.take().last)
        #expect(forwarder.classifiers.contains(next.encapsulation) && forwarder.lab.gauge(.flows) == 0)
        // Its announcement has a generation of its own.
        forwarder.map(client, to: 1, identifier: 3, generation: 0)
        client.send(".", seq: 9)
        #expect(forwarder.take().last?.encapsulation == forwarder.proxies[1])
        forwarder.lab.tell(.flowDone(try installed()))
        forwarder.lab.wait(milliseconds: 2_100)
        #expect(forwarder.lab.gauge(.flows) == 0)
        forwarder.lab.finish()
    }

    @Test func aMappingThatNobodyUsesAges() throws {
        let forwarder = Forwarder { $0.committedIdleMicroseconds = 1_000_000 }
        let client = VirtualClient(forwarder.lab)
        forwarder.map(client, to: 0)
        for _ in 0..<5 {
            forwarder.lab.wait(milliseconds: 700)
            client.send(".", seq: 9)
        }
        #expect(forwarder.lab.gauge(.flows) == 1 && forwarder.lab.counter(.encapsulated) == 5)
        _ = forwarder.lab.takeEvents()
        forwarder.lab.wait(milliseconds: 1_100)
        #expect(forwarder.lab.gauge(.flows) == 0)
        #expect(forwarder.lab.takeEvents().map(\.name) == ["ended idle"])
        forwarder.lab.finish()
    }

    /// Connections that have just begun are not asked for, others are, and not again soon.
    @Test(arguments: [false, true]) func whatIsUnknownInTheMiddleIsAskedForOnce(v6: Bool) throws {
        let forwarder = Forwarder()
        let client = VirtualClient(forwarder.lab, v6: v6)
        client.send("S", seq: 0)
        client.send(".", seq: 1)
        client.send("P.", seq: 1, request)
        #expect(forwarder.lab.takeEvents().isEmpty)
        forwarder.lab.wait(milliseconds: 30)
        for _ in 0..<100 {
            client.send(".", seq: 40)
            forwarder.lab.wait(milliseconds: 5)
        }
        let wanted = forwarder.lab.takeEvents().compactMap { event -> FlowKey? in
            if case .flowWanted(let key) = event { key } else { nil }
        }
        #expect(wanted == [forwarder.key(client)])
        #expect(forwarder.lab.counter(.mappingsWanted) == 1)
        forwarder.lab.wait(milliseconds: 2_500)
        client.send(".", seq: 40)
        #expect(forwarder.lab.takeEvents().map(\.name) == ["flow wanted"])
        // And however many there are, so many in a time.
        for port in UInt16(1)...2_000 {
            client.port = port
            client.send(".", seq: 40)
        }
        forwarder.lab.wait(milliseconds: 30)
        _ = forwarder.lab.takeEvents()
        let before = forwarder.lab.counter(.mappingsWanted)
        for port in UInt16(1)...2_000 {
            client.port = port
            client.send(".", seq: 40)
        }
        #expect((1...32).contains(forwarder.lab.counter(.mappingsWanted) - before))
        forwarder.lab.finish()
    }

    /// It joins no networks; it is found where it should be; and it has one way when none of its classifiers is up.
    @Test func whatIsForNobodyGoesNowhere() throws {
        let forwarder = Forwarder()
        let lab = forwarder.lab
        let virtual = VirtualClient(lab)
        // Another port, and another address.
        for (port, last): (UInt16, UInt8) in [(81, 80), (80, 81)] {
            var other = virtual.segment(".", seq: 1)
            other.destinationPort = port
            other.destination = VirtualClient.address(last, v6: false)
            lab.put(other.frame, fromClient: true)
        }
        lab.turn()
        forwarder.map(virtual, to: 0)
        // What comes from the servers' side is nobody's, a mapped connection's as well.
        let answer = Segment(
            sourceMAC: 0xF0, destinationMAC: Lab.clientMAC, source: VirtualClient.address(80, v6: false),
            destination: VirtualClient.address(1, v6: false), sourcePort: 80, destinationPort: 40_000, sequence: 5,
            acknowledgement: 6, flags: ".", window: 9, options: [], payload: [1])
        lab.put(answer.frame, fromClient: false)
        lab.turn()
        #expect(lab.toServers.isEmpty && lab.toClients.isEmpty && lab.counter(.droppedElsewhere) == 3)
        virtual.send(".", seq: 3)
        #expect(forwarder.take().first?.flow == 0xAB_CDEF)
        lab.finish()
    }

    @Test func withoutAClassifierOnlyMappedConnectionsGoOn() throws {
        let forwarder = Forwarder()
        let client = VirtualClient(forwarder.lab)
        forwarder.map(client, to: 0)
        let table = VirtualServerTable(
            servers: [VirtualServer(Endpoint(VirtualClient.ip(80, v6: false), port: 80), offer: VirtualClient.linux)],
            origins: [], generation: 3, areClassifiers: true)
        forwarder.lab.tell(.useVirtualServers(table))
        forwarder.lab.turn()
        client.send(".", seq: 3)
        #expect(forwarder.take().count == 1)
        client.port += 1
        client.send("S", seq: 0)
        #expect(forwarder.take().isEmpty && forwarder.lab.counter(.droppedUnclassified) == 1)
        forwarder.lab.finish()
    }

    @Test(arguments: [false, true]) func aForwardersClientIsToldWhatFits(v6: Bool) throws {
        let forwarder = Forwarder(.gue, path: 1_400)
        let client = VirtualClient(forwarder.lab, v6: v6)
        forwarder.map(client, to: 0)
        let room = 1_400 - forwarder.proxies[0].overhead - (v6 ? 60 : 40)
        client.send("P.", seq: 1, [UInt8](repeating: 1, count: room))
        let got = try #require(forwarder.lab.toServers.first)
        #expect(got.count == 14 + 1_400 && forwarder.take().count == 1)
        client.send("P.", seq: 1, [UInt8](repeating: 1, count: room + 1))
        #expect(forwarder.take().isEmpty && forwarder.lab.counter(.droppedTooBig) == 1)
        #expect(forwarder.lab.counter(.tooBigAnswered) == 1 && forwarder.lab.toClients.count == 1)
        forwarder.lab.finish()
    }

    /// The worker that owns a connection has its mapping, by whatever queue its packets come.
    @Test func invariant9AForwardersWorkersHandOver() {
        let forwarder = Forwarder(workers: 2)
        let client = VirtualClient(forwarder.lab)
        for port in UInt16(1)...40 {
            client.port = port
            if port % 2 == 0 { forwarder.map(client, to: 1) }
            for worker in 0..<2 {
                forwarder.lab.inboundWorker = worker
                client.send(".", seq: 9)
                let got = forwarder.take()
                #expect(got.count == 1 && (got[0].encapsulation == forwarder.proxies[1]) == (port % 2 == 0))
            }
        }
        #expect(forwarder.lab.gauge(.flows) == 20 && forwarder.lab.counter(.handedOver) == 40)
        forwarder.lab.finish()
    }

    private struct Missing: Error {}
}
