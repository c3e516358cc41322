import FastPath
import InterCore
import Testing
import Wire

extension Lab {
    func beginCapture(_ configure: (inout CaptureOrder) -> Void = { _ in }) {
        var order = CaptureOrder()
        order.capture = 1
        configure(&order)
        for link in captures { precondition(link.orders.push(order)) }
        tell(.capture)
        turn()
    }

    func endCapture() {
        for link in captures { precondition(link.orders.push(.off)) }
        tell(.capture)
        turn()
    }

    /// What has been captured since the last look, in the order of the records' numbers.
    func takeCaptured() -> [(packet: CapturedPacket, frame: [UInt8])] {
        var all: [(packet: CapturedPacket, frame: [UInt8])] = []
        for link in captures {
            while let taken = link.packets.pop({ ($0, Array($1)) }) { all.append((taken.0, taken.1)) }
        }
        return all.sorted { $0.packet.serial < $1.packet.serial }
    }
}

extension WorkerTests {
    /// One transfer, each packet with what became of it.
    @Test(arguments: [false, true]) func aCaptureTellsWhatBecameOfEachPacket(v6: Bool) throws {
        let lab = Lab()
        let connection = Connection(lab, isn: 1_000)
        connection.v6 = v6
        lab.beginCapture { $0.serverPort = 80 }
        let held = try #require(connection.hold())
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        connection.proxy("P.", seq: 1, ack: UInt32(1 + request.count), Array("HTTP/1.1 200 OK".utf8))
        connection.client(".", seq: UInt32(1 + request.count), ack: 16)
        connection.origin("P.", seq: 1, ack: 1, [1, 2, 3])
        let taken = lab.takeCaptured()
        #expect(
            taken.map(\.packet.verdict) == [
                .toServers, .toClients, .toServers, .held, .reset(.originResetsSent),
                .releasedToProxy(ProxyIndex(0)), .toClients, .toProxy(ProxyIndex(0)),
                .dropped(.droppedOriginAfterCommit), .reset(.tombstoneResetsSent),
            ])
        #expect(
            taken.map(\.packet.after) == [.opening, .opening, .opening, .held] + Array(repeating: .committed, count: 6))
        #expect(taken.map(\.packet.before).prefix(4) == [nil, .opening, .opening, .opening])
        #expect(taken.allSatisfy { $0.packet.key.key == connection.key && $0.packet.capture == 1 })
        #expect(taken.allSatisfy { $0.packet.handle == held.handle })
        // As it came: with the origin's address; as it left: with the proxy's.
        let (came, left) = (Segment(frame: taken[3].frame), Segment(frame: taken[5].frame))
        #expect(came?.destinationMAC == Lab.originMAC && left?.destinationMAC == Lab.proxyMAC)
        #expect(came?.payload == request && left?.payload == request)
        #expect(taken.allSatisfy { Int($0.packet.length) == $0.frame.count })
        #expect(lab.counter(.captured) == 10 && lab.counter(.captureLost) == 0)
        lab.finish()
    }

    /// The same packets leave, in the same order, with a capture as without.
    @Test func aCaptureChangesNoPacket() throws {
        func exchange(captured: Bool) throws -> [[UInt8]] {
            let lab = Lab()
            if captured { lab.beginCapture() }
            let connection = Connection(lab, isn: 77)
            connection.commit()
            for step in 0..<40 {
                connection.proxy(
                    ".", seq: UInt32(1 + step * 10), ack: UInt32(1 + request.count), Array("0123456789".utf8))
                connection.client(".", seq: UInt32(1 + request.count), ack: UInt32(11 + step * 10))
            }
            connection.origin("P.", seq: 1, ack: 1, [1])
            let sent = lab.toServers + lab.toClients
            #expect((lab.counter(.captured) + lab.counter(.captureLost) > 80) == captured)
            lab.finish()
            return sent
        }
        #expect(try exchange(captured: true) == exchange(captured: false))
    }

    @Test func aCaptureTakesOnlyWhatItsFilterWants() throws {
        let lab = Lab()
        let (one, other) = (Connection(lab, port: 40_001), Connection(lab, port: 40_002))
        one.commit()
        other.commit()
        lab.beginCapture { $0.clientPort = 40_002 }
        for connection in [one, other] { connection.client(".", seq: UInt32(1 + request.count), ack: 1) }
        #expect(lab.takeCaptured().map(\.packet.key.key.clientPort) == [40_002])
        lab.beginCapture { $0.proxy = ProxyIndex(1) }
        for connection in [one, other] { connection.client(".", seq: UInt32(1 + request.count), ack: 1) }
        #expect(lab.takeCaptured().isEmpty, "both are the first proxy's")
        lab.endCapture()
        one.client(".", seq: UInt32(1 + request.count), ack: 1)
        #expect(lab.takeCaptured().isEmpty)
        lab.finish()
    }

    /// Bounds: bytes of a frame, packets a second, packets that wait. What does not fit is counted, and goes its way.
    @Test func aCaptureHasBounds() throws {
        let lab = Lab()
        let connection = Connection(lab)
        connection.commit()
        func acknowledge(_ count: Int) {
            for _ in 0..<count { connection.client(".", seq: UInt32(1 + request.count), ack: 1) }
        }
        lab.beginCapture {
            $0.snapLength = 64
            $0.packetsPerSecond = 50
        }
        connection.proxy(".", seq: 1, ack: UInt32(1 + request.count), [UInt8](repeating: 7, count: 500))
        let cut = try #require(lab.takeCaptured().first)
        #expect(cut.frame.count == 64 && cut.packet.length == 554)
        acknowledge(10)
        #expect(lab.takeCaptured().count == 4, "a tenth of the rate in a tenth of a second")
        #expect(lab.counter(.captureLimited) == 6)
        lab.wait(milliseconds: 101)
        acknowledge(1)
        #expect(lab.takeCaptured().count == 1)

        lab.beginCapture { $0.packetsPerSecond = 100_000 }
        acknowledge(Lab.captureCapacity + 3)
        #expect(lab.counter(.captureLost) == 3)
        #expect(lab.takeCaptured().count == Lab.captureCapacity)
        lab.finish()
    }
}
