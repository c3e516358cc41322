import FastPath
import InterCore
import Testing
import Wire

/// A classifier: what a client sends comes to it inside a forwarder's packets.
private struct Classifier {
    static let forwarders = (IPAddress("10.9.0.3")!, IPAddress("2001:db8:9::3")!)
    static let own = (IPAddress("10.9.0.51")!, IPAddress("2001:db8:9::51")!)
    static let gatewayMAC: UInt64 = 0x0200_0000_00EE
    static let forwarderMAC: UInt64 = 0x0200_0000_00F3

    let lab: Lab
    let encapsulation: Encapsulation

    init(_ kind: Encapsulation.Kind, outerV6: Bool, workers: Int = 1) {
        encapsulation =
            outerV6
            ? Encapsulation(kind, from: Self.forwarders.1, to: Self.own.1, network: 5)
            : Encapsulation(kind, from: Self.forwarders.0, to: Self.own.0, network: 5)
        lab = Lab(workers: workers) {
            $0.role = .classifier
            $0.arrivals = Arrivals(
                kind, at: [Self.own.0, Self.own.1], from: [Self.forwarders.0, Self.forwarders.1],
                gateway: MACAddress(Self.gatewayMAC))
            $0.arrivals?.network = 5
            $0.proxiesOnClientSide = true
            VirtualClient.serve(&$0)
        }
    }

    /// As the forwarder would send it.
    func wrap(_ segment: Segment, _ encapsulation: Encapsulation? = nil) -> [UInt8] {
        let encapsulation = encapsulation ?? self.encapsulation
        let template = UnsafeMutableRawPointer.allocate(byteCount: Encapsulation.longestOverhead, alignment: 1)
        defer { template.deallocate() }
        let header = EncapsulationHeader(encapsulation, in: template)
        let frame = segment.frameBytes
        let network = segment.vlan == nil ? 14 : 18
        let inner = Array(frame[network...])
        var bytes = [UInt8](repeating: 0, count: header.length) + inner
        bytes.withUnsafeMutableBytes { header.write(before: $0.baseAddress! + header.length, count: inner.count) }
        let type: [UInt8] = encapsulation.destination.isV4 ? [8, 0] : [0x86, 0xDD]
        return [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0xF3] + frame[12..<(network - 2)] + type + bytes
    }

    func send(_ segment: Segment, _ encapsulation: Encapsulation? = nil) {
        lab.put(wrap(segment, encapsulation), fromClient: true)
        lab.turn()
    }
}

extension WorkerTests {
    /// Cookie, hold, verdict: all as when the client itself were there, and the answers go to the gateway.
    @Test(arguments: Encapsulation.Kind.allCases, [false, true])
    func forwardersPacketsAreTheClients(kind: Encapsulation.Kind, v6: Bool) throws {
        for (outerV6, vlan) in [(false, UInt16?.none), (true, nil), (false, 7)] {
            let classifier = Classifier(kind, outerV6: outerV6)
            let lab = classifier.lab
            let client = VirtualClient(lab, v6: v6)
            client.vlan = vlan
            classifier.send(client.segment("S", seq: 0))
            let answer = try #require(lab.takeToClients().last)
            #expect(answer.flags == "S." && answer.vlan == vlan && answer.isChecksumRight)
            #expect(answer.destinationMAC == Classifier.gatewayMAC && answer.sourceMAC == Lab.directorMAC)
            func segment(_ flags: String, seq: UInt32, _ payload: [UInt8] = []) -> Segment {
                var segment = client.segment(flags, seq: seq, payload)
                segment.acknowledgement = answer.sequence &+ 1
                return segment
            }
            classifier.send(segment(".", seq: 1))
            classifier.send(segment("P.", seq: 1, request))
            let held = try #require(lab.takeHeld())
            client.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: false))
            // The proxy is on the side that the packets come from, and gets what forwarders have no mapping for yet.
            classifier.send(segment(".", seq: UInt32(1 + request.count)))
            let got = lab.takeToClients()
            #expect(got.map(\.payload) == [request, []] && got.allSatisfy { $0.destinationMAC == Lab.proxyMAC })
            #expect(got.allSatisfy { $0.sourceMAC == Lab.directorMAC && $0.isChecksumRight })
            #expect(lab.toServers.isEmpty && lab.counter(.arrivals) == 4)
            lab.finish()
        }
    }

    /// Neither strangers nor what cannot be read, nor the outer packet on its way on.
    @Test(arguments: Encapsulation.Kind.allCases) func strangersPacketsAreNotTakenOut(kind: Encapsulation.Kind) throws {
        let classifier = Classifier(kind, outerV6: false)
        let lab = classifier.lab
        let client = VirtualClient(lab)
        var foreign = classifier.encapsulation
        foreign.source = IPAddress("10.9.0.4")!
        classifier.send(client.segment("S", seq: 0), foreign)
        #expect(lab.counter(.droppedForeignForwarder) == 1 && lab.toClients.isEmpty)
        let whole = classifier.wrap(client.segment("S", seq: 0))
        for length in 42..<whole.count {
            lab.put(Array(whole[..<length]), fromClient: true)
            lab.turn()
        }
        var fragment = whole
        fragment[20] = 0x20
        lab.put(fragment, fromClient: true)
        var congested = whole
        congested[15] |= 3
        lab.put(congested, fromClient: true)
        lab.turn()
        #expect(lab.toClients.isEmpty && lab.toServers.isEmpty)
        #expect(lab.counter(.droppedUnreadable) == UInt64(whole.count - 42 + 2))
        // Somebody else's tunnel passes.
        var passing = classifier.encapsulation
        passing.destination = IPAddress("10.9.0.52")!
        classifier.send(client.segment("S", seq: 0), passing)
        #expect(lab.toServers.count == 1)
        lab.finish()
    }

    /// A queue's choice is by the outer packet, the owner's by the inner one, which is taken out before.
    @Test func invariant9AClassifiersWorkersHandOver() throws {
        let classifier = Classifier(.gue, outerV6: false, workers: 2)
        let lab = classifier.lab
        let client = VirtualClient(lab)
        for port in UInt16(1)...20 {
            client.port = port
            lab.inboundWorker = Int(port % 2)
            classifier.send(client.segment("S", seq: 0))
            let answer = try #require(lab.takeToClients().last)
            lab.inboundWorker = 1 - lab.inboundWorker
            for (flags, payload) in [(".", []), ("P.", request)] {
                var segment = client.segment(flags, seq: 1, payload)
                segment.acknowledgement = answer.sequence &+ 1
                classifier.send(segment)
            }
            let held = try #require(lab.takeHeld())
            client.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: false))
            #expect(lab.takeToClients().map(\.payload) == [request])
        }
        #expect(lab.counter(.arrivals) == 60 && lab.counter(.handedOver) > 0)
        lab.finish()
    }

    /// A forwarder may not know a connection that a proxy has: its client is not told that there is none.
    @Test func aClassifierResetsNobody() throws {
        let classifier = Classifier(.gue, outerV6: false)
        let client = VirtualClient(classifier.lab)
        classifier.send(client.segment("P.", seq: 1, request))
        #expect(classifier.lab.toClients.isEmpty && classifier.lab.counter(.cookiesRefused) == 1)
        classifier.lab.finish()
    }
}
