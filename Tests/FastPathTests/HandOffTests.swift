import InterCore
import Testing
import Wire

/// Flows whose proxy was not asked, from the commit to the first answer that the client acknowledges.
extension WorkerTests {
    private func handOff(_ connection: Connection) throws -> FlowHandle {
        let held = try #require(connection.hold())
        connection.verdict(held.handle, .handOff(ProxyIndex(0)))
        return held.handle
    }

    private var end: UInt32 { UInt32(1 + request.count) }

    @Test(arguments: [false, true]) func aHandOffIsACommit(v6: Bool) throws {
        let lab = Lab()
        let connection = Connection(lab)
        connection.v6 = v6
        _ = try handOff(connection)
        let sent = lab.takeToServers()
        #expect(sent.map(\.flags) == ["R", "P."] && sent.map(\.destinationMAC) == [Lab.originMAC, Lab.proxyMAC])
        #expect(lab.takeEvents().map(\.name) == ["committed"])
        connection.proxy("P.", seq: 1, ack: end, Array("HTTP/1.1 200 OK".utf8))
        #expect(lab.takeToClients().count == 1)
        connection.client(".", seq: end, ack: 16)
        #expect(lab.takeEvents().map(\.name) == ["hand-off over"])
        connection.client(".", seq: end, ack: 16)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.proxyMAC, Lab.proxyMAC])
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func aRequestThatComesAgainIsToldOnceIn100Milliseconds() throws {
        let lab = Lab()
        let connection = Connection(lab)
        _ = try handOff(connection)
        _ = lab.takeEvents()
        // As soon as that it says nothing.
        connection.client("P.", seq: 1, request)
        #expect(lab.takeEvents().isEmpty)
        lab.wait(milliseconds: 200)
        for _ in 0..<3 { connection.client("P.", seq: 1, request) }
        #expect(lab.takeEvents().map(\.name) == ["request repeated"])
        lab.wait(milliseconds: 101)
        // A part of it, and a bare acknowledgement of nothing new.
        connection.client(".", seq: end)
        connection.client("P.", seq: 5, Array(request[4..<9]))
        #expect(lab.takeEvents().map(\.name) == ["request repeated"])
        #expect(lab.counter(.requestsRepeated) == 2)
        // All of it went to the proxy nevertheless.
        #expect(lab.takeToServers().dropFirst(2).allSatisfy { $0.destinationMAC == Lab.proxyMAC })
        connection.client(".", seq: end, ack: 2)
        #expect(lab.takeEvents().map(\.name) == ["hand-off over"])
        lab.wait(milliseconds: 200)
        connection.client("P.", seq: 1, ack: 2, request)
        #expect(lab.takeEvents().isEmpty)
        lab.finish()
    }

    /// Rule 3: neither what is damaged nor what is out of every window.
    @Test func aGuessedAcknowledgementEndsNoHandOff() throws {
        let lab = Lab()
        let connection = Connection(lab)
        _ = try handOff(connection)
        _ = lab.takeEvents()
        connection.client(".", seq: end, ack: 0x7000_0000)
        connection.client(".", seq: end, ack: 0xF000_0000)
        #expect(lab.takeEvents().isEmpty)
        lab.wait(milliseconds: 200)
        connection.client("P.", seq: 1, request)
        #expect(lab.takeEvents().map(\.name) == ["request repeated"])
        lab.finish()
    }

    @Test func whatIsDisownedIsTheOriginsToReset() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let handle = try handOff(connection)
        _ = (lab.takeEvents(), lab.takeToServers())
        lab.tell(.disown(handle))
        lab.turn()
        #expect(lab.takeEvents().map(\.name) == ["ended disowned"])
        connection.client("P.", seq: 1, request)
        #expect(lab.takeToServers().map(\.destinationMAC) == [Lab.originMAC])
        connection.origin("R", seq: 1)
        #expect(lab.takeToClients().map(\.flags) == ["R"])
        // One that has been asked is never disowned.
        let other = Connection(lab, port: 2)
        let committed = other.commit()
        lab.tell(.disown(committed))
        lab.turn()
        #expect(lab.takeEvents().isEmpty && lab.counter(.staleCommands) == 1)
        lab.finish()
    }

    @Test func aClientThatFallsSilentIsNotWaitedFor() throws {
        let lab = Lab()
        let connection = Connection(lab)
        _ = try handOff(connection)
        _ = lab.takeEvents()
        lab.wait(milliseconds: 119_000)
        #expect(lab.takeEvents().isEmpty)
        lab.wait(milliseconds: 2_000)
        #expect(lab.takeEvents().map(\.name) == ["hand-off over"])
        // The connection is the proxy's still.
        connection.client("P.", seq: 1, request)
        #expect(lab.takeToServers().last?.destinationMAC == Lab.proxyMAC && lab.takeEvents().isEmpty)
        lab.finish()
    }

    @Test func aFlowThatEndsWaitsForNothing() throws {
        let lab = Lab()
        let connection = Connection(lab)
        let handle = try handOff(connection)
        _ = lab.takeEvents()
        lab.tell(.flowDone(handle))
        lab.turn()
        lab.wait(milliseconds: 200)
        connection.client("P.", seq: 1, request)
        #expect(lab.takeEvents().map(\.name) == ["ended flowDone"])
        lab.finish()
    }
}
