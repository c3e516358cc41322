import InterCore
import Testing
import Wire

/// What a flood consists of is answered in a short way. With a route, though it is nobody's, all SYNs take the long one.
extension WorkerTests {
    private struct Outcome: Equatable {
        var toClients: [[UInt8]]
        var toServers: [[UInt8]]
        var counted: [UInt64]
    }

    private func outcomes(_ bursts: [[[UInt8]]], isLong: Bool) -> [Outcome] {
        let lab = Lab {
            VirtualClient.serve(&$0)
            guard isLong else { return }
            var route = RouteRule()
            (route.firstPort, route.lastPort) = (1, 1)
            $0.routes = [route]
        }
        defer { lab.finish() }
        return bursts.map { burst in
            for frame in burst { lab.put(frame, fromClient: true) }
            lab.turn()
            lab.now += 7_001
            defer { (lab.toClients, lab.toServers) = ([], []) }
            // Those of the short way come first.
            return Outcome(
                toClients: lab.toClients.sorted { $0.lexicographicallyPrecedes($1) }, toServers: lab.toServers,
                counted: Counter.allCases.map(lab.counter))
        }
    }

    /// First SYNs of many forms, most of them a virtual server's, damaged here and there, among other segments.
    private func anything() -> [UInt8] {
        let v6 = Bool.random()
        let options = [
            Options.mss(.random(in: 0...9_000)), Options.sackPermitted, Options.fastOpen, Options.multipath,
            Options.timestamps(.random(in: 0 ... .max), 0), Options.windowScale(.random(in: 0...15)), Options.md5,
        ]
        var segment = Segment(
            sourceMAC: Lab.clientMAC, destinationMAC: VirtualClient.portMAC,
            source: VirtualClient.address(.random(in: 1...255), v6: v6),
            destination: VirtualClient.address([80, 80, 80, 80, 81].randomElement()!, v6: v6),
            sourcePort: .random(in: 0...3), destinationPort: [80, 80, 80, 80, 81].randomElement()!)
        segment.vlan = Int.random(in: 0..<8) == 0 ? 42 : nil
        segment.flags = ["S", "S", "S", "S", "SEW", "SP", "SF", "P."].randomElement()!
        segment.sequence = .random(in: 0 ... .max)
        segment.options = options.shuffled().prefix(.random(in: 0...3)).flatMap { $0 }
        segment.payload = [UInt8](repeating: 1, count: [0, 0, 0, 5].randomElement()!)
        segment.isChecksumRight = Int.random(in: 0..<8) > 0
        var frame = segment.frame
        if Int.random(in: 0..<8) == 0 { frame[.random(in: 0..<frame.count)] = .random(in: 0...255) }
        return frame
    }

    @Test func theShortWayAnswersLikeTheLongOne() {
        let bursts = (0..<400).map { _ in (0..<Int.random(in: 1...40)).map { _ in anything() } }
        let (short, long) = (outcomes(bursts, isLong: false), outcomes(bursts, isLong: true))
        for index in bursts.indices {
            guard short[index] == long[index] else {
                Issue.record("burst \(index): \(bursts[index]): \(short[index]), not \(long[index])")
                return
            }
        }
        let answered = short.last?.counted[Counter.synsAnswered.rawValue] ?? 0
        #expect(answered > 1_000, "many of them were answered")
    }

    /// What is between the SYNs of a burst keeps its order and its way.
    @Test func whatComesAmongSYNsGoesItsWay() throws {
        let lab = Lab { VirtualClient.serve(&$0) }
        let client = VirtualClient(lab)
        _ = try #require(client.open())
        let stranger = Connection(lab, port: 50_000)
        stranger.serverPort = 81
        for number in 0..<30 {
            client.port = UInt16(1_000 + number)
            lab.put(client.segment("S", seq: 0).frame, fromClient: true)
            if number % 3 == 0 {
                lab.put(stranger.clientSegment(".", seq: UInt32(number), ack: 1).frame, fromClient: true)
            }
        }
        lab.turn()
        let passed = lab.takeToServers().map { $0.sequence &- stranger.isn }
        #expect(passed == [0, 3, 6, 9, 12, 15, 18, 21, 24, 27])
        #expect(lab.counter(.synsAnswered) == 31 && lab.takeToClients().count == 30)
        lab.finish()
    }

    /// A tuple that has a connection is that one's.
    @Test func aSYNOfAKnownConnectionIsNoFirstOne() throws {
        let lab = Lab { VirtualClient.serve(&$0) }
        let client = VirtualClient(lab)
        let held = try #require(client.hold())
        _ = lab.takeToClients()
        client.send("S", seq: 0)
        #expect(lab.counter(.droppedSYN) == 1 && lab.takeToClients().isEmpty)
        client.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        lab.finish()
    }

    /// Connections of a server that others shake hands for are not the worker's to open.
    @Test func aReplayedServersSYNIsNotAnswered() {
        let lab = Lab {
            VirtualClient.serve(&$0)
            for index in $0.virtualServers.indices { $0.virtualServers[index].isReplayed = true }
        }
        VirtualClient(lab).send("S", seq: 0)
        #expect(lab.takeToClients().isEmpty && lab.counter(.synsAnswered) == 0)
        lab.wait(milliseconds: 61_000, step: 100_000)
        lab.finish()
    }
}
