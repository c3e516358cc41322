import CDPDKShim
import FastPath
import InterCore
import Testing
import Wire

private let answer = Array("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".utf8)

/// A worker between an agent's network and its host: connections that come over get a local server by a second handshake.
extension WorkerTests {
    private func lab(_ configure: (inout WorkerConfiguration) -> Void = { _ in }) -> Lab {
        Lab {
            $0.candidates = []
            Replayed.serve(&$0)
            configure(&$0)
        }
    }

    @Test(arguments: [false, true], [nil, 5_000] as [UInt32?])
    func aReplayedConnectionIsTranslatedFromTheFirstSegmentOn(v6: Bool, clock: UInt32?) throws {
        let lab = lab()
        let client = Replayed(lab, v6: v6, clock: clock)
        let syn = try #require(client.order())
        #expect(syn.flags == "S" && syn.sequence == client.isn && syn.isChecksumRight)
        #expect(syn.source == VirtualClient.address(1, v6: v6) && syn.sourcePort == client.port)
        #expect(syn.destination == VirtualClient.address(161, v6: v6) && syn.destinationPort == 8_080)
        #expect(syn.timestamps?.value == clock)
        #expect(syn.options.contains(3) == (clock != nil), "window scale, as the client has it")
        #expect(lab.takeEvents().isEmpty, "nothing is promised before the server has answered")

        let server = OriginSide(lab, syn)
        server.send("S.", seq: 0)
        let acknowledgement = try #require(lab.takeToServers().last)
        #expect(acknowledgement.flags == "." && acknowledgement.acknowledgement == server.iss &+ 1)
        _ = try #require(client.installed())
        #expect(lab.takeToClients().isEmpty, "the client hears nothing of a handshake")

        client.send("P.", seq: 1, request)
        #expect(lab.takeEvents().map(\.name) == ["committed"])
        let sent = try #require(lab.takeToServers().last)
        #expect(sent.payload == request && sent.isChecksumRight && sent.destinationPort == 8_080)
        #expect(sent.sequence == client.isn &+ 1 && sent.acknowledgement == server.iss &+ 1)
        #expect(sent.timestamps?.echo == (clock == nil ? nil : server.clock))

        server.send("P.", seq: 1, ack: 1 + UInt32(request.count), answer)
        let received = try #require(lab.takeToClients().last)
        #expect(received.payload == answer && received.isChecksumRight)
        #expect(received.source == VirtualClient.address(80, v6: v6) && received.sourcePort == 80)
        #expect(received.sequence == client.promised && received.window == (clock == nil ? 2_000 : 500))
        #expect(received.timestamps?.value == (clock == nil ? nil : client.told))
        lab.finish()
    }

    @Test func untilTheRequestComesTheServerIsNotHeard() throws {
        let lab = lab()
        let client = Replayed(lab)
        let server = OriginSide(lab, try #require(client.order()))
        server.send("S.", seq: 0)
        _ = lab.takeToServers()
        server.send("P.", seq: 1, answer)
        server.send("F.", seq: 1)
        server.send("R.", seq: 1)
        #expect(lab.takeToClients().isEmpty && lab.counter(.droppedUnserved) == 3)
        server.send("S.", seq: 0)
        #expect(lab.takeToServers().last?.flags == ".", "its handshake is ended again when it has not heard")
        client.send("P.", seq: 1, request)
        server.send("R.", seq: 1)
        #expect(lab.takeToClients().last?.flags == "R.", "afterwards it is")
        lab.finish()
    }

    @Test func anAdoptionIsUndoneWithoutAWordToTheClient() throws {
        let lab = lab()
        let client = Replayed(lab)
        let server = OriginSide(lab, try #require(client.order()))
        server.send("S.", seq: 0)
        let handle = try #require(client.installed())
        _ = lab.takeToServers()
        lab.tell(.cancelReplay(handle))
        lab.turn()
        let reset = try #require(lab.takeToServers().last)
        #expect(reset.flags == "R" && reset.sequence == client.isn &+ 1 && reset.destinationPort == 8_080)
        #expect(lab.takeToClients().isEmpty && lab.gauge(.flows) == 0)
        #expect(lab.takeEvents().map(\.name) == ["ended flowDone"])
        client.send("P.", seq: 1, request)
        #expect(lab.takeToServers().last?.destinationPort == 80, "a late request is the host's to drop")
        #expect(lab.takeToClients().isEmpty)
        lab.finish()
    }

    @Test func afterTheRequestNothingIsUndone() throws {
        let lab = lab()
        let client = Replayed(lab)
        let server = OriginSide(lab, try #require(client.order()))
        server.send("S.", seq: 0)
        let handle = try #require(client.installed())
        client.send("P.", seq: 1, request)
        lab.tell(.cancelReplay(handle))
        lab.turn()
        #expect(lab.counter(.staleCommands) == 1 && lab.gauge(.flows) == 1)
        server.send("P.", seq: 1, ack: 1 + UInt32(request.count), answer)
        #expect(lab.takeToClients().last?.payload == answer)
        lab.finish()
    }

    @Test func aServerThatRefusesIsSaidAtOnce() throws {
        let lab = lab()
        let client = Replayed(lab)
        OriginSide(lab, try #require(client.order())).send("R.", seq: 0)
        #expect(lab.takeEvents().map(\.name) == ["refused"] && lab.gauge(.flows) == 0)
        #expect(lab.takeToClients().isEmpty)
        lab.finish()
    }

    @Test func aServerThatIsSilentIsGivenUp() throws {
        let lab = lab {
            $0.bindRetryMicroseconds = 20_000
            $0.bindTries = 3
        }
        let client = Replayed(lab)
        let syn = try #require(client.order())
        lab.wait(milliseconds: 400)
        let sent = lab.takeToServers()
        #expect(sent.map(\.flags) == ["S", "S", "R"] && sent[0] == syn)
        #expect(lab.takeEvents().map(\.name) == ["refused"] && lab.gauge(.flows) == 0)
        lab.finish()
    }

    /// What the server cannot do, and the client was promised.
    @Test func aServerWithoutTimestampsGetsNoClientThatHasThem() throws {
        let lab = lab()
        let client = Replayed(lab, clock: 5_000)
        var server = OriginSide(lab, try #require(client.order()))
        server.options = Options.mss(1_460)
        server.send("S.", seq: 0)
        #expect(lab.takeEvents().map(\.name) == ["refused"])
        #expect(lab.takeToServers().last?.flags == "R" && lab.takeToClients().isEmpty)
        lab.finish()
    }

    @Test(arguments: ["F", "R"])
    func theEndIsToldOnce(how: String) throws {
        let lab = lab()
        let client = Replayed(lab)
        let server = OriginSide(lab, try #require(client.order()))
        server.send("S.", seq: 0)
        _ = try #require(client.installed())
        client.send("P.", seq: 1, request)
        if how == "R" {
            client.send("R", seq: 1 + UInt32(request.count))
        } else {
            server.send("F.", seq: 1, ack: 1 + UInt32(request.count))
            client.send("F.", seq: 1 + UInt32(request.count), ack: 2)
            server.send(".", seq: 2, ack: 2 + UInt32(request.count))
        }
        #expect(lab.takeEvents().map(\.name) == ["committed", "ended flowDone"])
        lab.wait(milliseconds: 61_000, step: 100_000)
        #expect(lab.takeEvents().isEmpty && lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test func aClientThatIsSilentForeverIsTold() throws {
        let lab = lab {
            $0.committedIdleMicroseconds = 10_000_000
            $0.unaskedMicroseconds = 5_000_000
        }
        let client = Replayed(lab)
        OriginSide(lab, try #require(client.order())).send("S.", seq: 0)
        _ = try #require(client.installed())
        lab.wait(milliseconds: 6_000, step: 100_000)
        #expect(lab.takeEvents().map(\.name) == ["ended idle"] && lab.gauge(.flows) == 0)
        OriginSide(lab, try #require(client.order())).send("S.", seq: 0)
        _ = try #require(client.installed())
        client.send("P.", seq: 1, request)
        lab.wait(milliseconds: 11_000, step: 100_000)
        #expect(lab.takeEvents().map(\.name) == ["committed", "ended flowDone"] && lab.gauge(.flows) == 0)
        lab.finish()
    }

    @Test func aConnectionIsNotReplayedTwice() throws {
        let lab = lab()
        let client = Replayed(lab)
        OriginSide(lab, try #require(client.order())).send("S.", seq: 0)
        _ = (client.installed(), lab.takeToServers())
        #expect(client.order() == nil)
        #expect(lab.takeEvents().map(\.name) == ["refused"] && lab.gauge(.flows) == 1)
        client.server = 81
        #expect(client.order() == nil, "nobody replays for that endpoint")
        #expect(lab.takeEvents().map(\.name) == ["refused"])
        lab.finish()
    }

    /// All but what was handed over goes on between host and network as if there were no worker.
    @Test(arguments: [false, true])
    func othersPass(v6: Bool) {
        let lab = lab()
        let client = Replayed(lab, v6: v6)
        var direct = client.segment("S", seq: 0)
        direct.destination = VirtualClient.address(161, v6: v6)
        direct.destinationPort = 8_080
        lab.put(direct.frame, fromClient: true)
        lab.turn()
        #expect(lab.takeToServers() == [direct], "the server's own clients reach it")
        let server = OriginSide(lab, direct)
        let answered = server.segment("S.", seq: 0)
        server.send("S.", seq: 0)
        #expect(lab.takeToClients() == [answered])
        // Adopted by repair, perhaps: the host knows.
        client.send("S", seq: 0)
        client.send("P.", seq: 1, request)
        #expect(lab.takeToServers() == [client.segment("S", seq: 0), client.segment("P.", seq: 1, request)])
        #expect(lab.takeToClients().isEmpty && lab.gauge(.flows) == 0)
        lab.finish()
    }

    /// The client starts anew while its former connection is here.
    @Test func aSYNIsTheServersToChallenge() throws {
        let lab = lab()
        let client = Replayed(lab)
        let server = OriginSide(lab, try #require(client.order()))
        server.send("S.", seq: 0)
        _ = lab.takeToServers()
        client.send("S", seq: 77_777)
        #expect(lab.takeToServers().isEmpty && lab.counter(.droppedSYN) == 1)
        client.send("P.", seq: 1, request)
        client.send("S", seq: 77_777)
        let challenged = try #require(lab.takeToServers().last)
        #expect(challenged.flags == "S" && challenged.destination == server.syn.destination)
        #expect(lab.gauge(.flows) == 1)
        lab.finish()
    }
}

/// A client whose connection with `10.0.0.80:80`, or its IPv6 twin, a director hands to an agent's worker.
private final class Replayed {
    let lab: Lab
    let v6: Bool
    let port: UInt16 = 40_000
    let isn: UInt32 = 0xFFFF_FFF0
    /// What the origin has promised: its next number, and its clock.
    let promised: UInt32 = 0x1234_5678
    let told: UInt32 = 99_000
    let clock: UInt32?
    /// The address's last part.
    var server: UInt8 = 80

    init(_ lab: Lab, v6: Bool = false, clock: UInt32? = nil) {
        self.lab = lab
        self.v6 = v6
        self.clock = clock
    }

    static func serve(_ configuration: inout WorkerConfiguration) {
        for (index, v6) in [false, true].enumerated() {
            configuration.virtualServers.append(
                VirtualServer(replayed: Endpoint(VirtualClient.ip(80, v6: v6), port: 80), by: index))
            configuration.origins.append(
                Origin(
                    Endpoint(VirtualClient.ip(161, v6: v6), port: 8_080),
                    hop: NextHop(mac: MACAddress(VirtualClient.originMAC))))
        }
    }

    /// The director's word; gives the SYN that the local server gets.
    func order() -> Segment? {
        var options = NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460)
        if clock != nil {
            options = NegotiatedOptions(
                clientMSS: 1_460, serverMSS: 1_460, clientWindowScale: 9, serverWindowScale: 7, windowScale: true,
                sack: true, timestamps: true)
        }
        let key = FlowKey(
            client: VirtualClient.ip(1, v6: v6), clientPort: port, server: VirtualClient.ip(server, v6: v6),
            serverPort: 80, vlan: VLAN(7))
        let state = ConnectionState(
            key: key, psn: SequenceNumber(isn &+ 1), pan: SequenceNumber(promised), clientWindow: 512_000,
            serverWindowEdge: SequenceNumber(isn &+ 1 &+ 65_535), options: options, serverTimestamp: told,
            clientTimestamp: clock ?? 0)
        precondition(lab.replays.push(ReplayOrder(state, ticket: 7)))
        lab.tell(.replay)
        lab.turn()
        return lab.takeToServers().last
    }

    func installed() -> FlowHandle? {
        guard case .flowInstalled(let handle, ticket: 7) = lab.takeEvents().last else { return nil }
        return handle
    }

    func segment(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = []) -> Segment {
        Segment(
            sourceMAC: Lab.clientMAC, destinationMAC: VirtualClient.portMAC, source: VirtualClient.address(1, v6: v6),
            destination: VirtualClient.address(80, v6: v6), sourcePort: port, destinationPort: 80,
            sequence: isn &+ seq, acknowledgement: flags.contains(".") ? promised &- 1 &+ ack : 0, flags: flags,
            window: 1_000, options: clock.map { Options.timestamps($0, told) } ?? [], payload: payload)
    }

    func send(_ flags: String, seq: UInt32, ack: UInt32 = 1, _ payload: [UInt8] = []) {
        lab.put(segment(flags, seq: seq, ack: ack, payload).frame, fromClient: true)
        lab.turn()
    }
}
