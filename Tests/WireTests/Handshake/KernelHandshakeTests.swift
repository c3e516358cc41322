import Testing
import Wire

/// The kernel's own client connects through a SYN/ACK that nobody remembers, sends its request and reads the answer; what
/// its ACKs bring back is what it believes itself.
@Suite(.enabled(if: TapDevice.isPossible, "needs root and /dev/net/tun"))
struct KernelHandshakeTests {
    private static let mac: [UInt8] = [2, 0, 0, 0, 0, 0x50]

    @Test(arguments: [false, true], [1_500, 1_400]) func everySettingOfTheKernel(isV6: Bool, mtu: Int) throws {
        try TapDevice.inNamespace {
            let tap = try TapDevice(addresses: ["198.51.100.7/24", "2001:db8::7/64"], mtu: mtu)
            for settings in 0..<16 {
                try TapDevice.setKernel("tcp_sack", settings & 1)
                try TapDevice.setKernel("tcp_timestamps", settings >> 1 & 1)
                try TapDevice.setKernel("tcp_window_scaling", settings >> 2 & 1)
                try TapDevice.setKernel("tcp_ecn", settings >> 3 & 1)
                try connect(tap, isV6, settings, mtu)
            }
        }
    }

    private func connect(_ tap: borrowing TapDevice, _ isV6: Bool, _ settings: Int, _ mtu: Int) throws {
        let note: Comment = "settings \(settings)"
        let server: [UInt8] =
            isV6 ? [0x20, 1, 0xD, 0xB8] + .init(repeating: 0, count: 11) + [80] : [198, 51, 100, 80]
        var responder = Responder()
        responder.milliseconds = 77_777_777
        let client = try KernelClient(to: server)
        var answer: HandshakeSegment?
        var opened: HandshakeState?
        let request = Array("GET / HTTP/1.1\r\n\r\n".utf8)

        // The handshake, with whatever else the kernel says on a new wire.
        while opened == nil {
            guard let frame = try tap.receive() else { break }
            if let neighbor = answerToNeighbor(frame, server) {
                try tap.send(neighbor)
            } else if case (.answered, let made) = responder.answer(frame) {
                answer = HandshakeSegment(made)
                try tap.send(made)
            } else if case .accepted(let state) = responder.check(frame) {
                opened = state
            }
        }
        let state = try #require(opened, note)
        let synAck = try #require(answer, note)

        // What was agreed on: by settings, by the state, by the kernel's own account.
        let timestamps = settings & 2 != 0
        let options = state.options
        #expect(options.timestamps == timestamps && options.sack == (timestamps && settings & 1 != 0), note)
        #expect(options.windowScale == (timestamps && settings & 4 != 0), note)
        #expect(state.ecn == (timestamps && settings & 8 != 0), note)
        #expect(Int(options.clientMSS) == mtu - (isV6 ? 60 : 40), note)
        let information = try client.information()
        #expect(information.timestamps == options.timestamps && information.sack == options.sack, note)
        #expect(information.windowScale == options.windowScale && information.ecn == state.ecn, note)
        #expect(information.ownScale == options.clientWindowScale, note)
        #expect(information.peerScale == options.serverWindowScale, note)
        let most = min(options.clientMSS, options.serverMSS) - (timestamps ? 12 : 0)
        #expect(information.segmentSize == UInt32(most), note)

        // Its request returns the cookie again.
        try client.send(request)
        var asked: HandshakeSegment?
        while asked == nil, let frame = try tap.receive() {
            guard case .accepted(let again) = responder.check(frame) else { continue }
            let segment = try #require(HandshakeSegment(frame, isDirectors: false), note)
            if segment.payload.isEmpty { continue }
            #expect(again.clientISN == state.clientISN && again.options == state.options, note)
            #expect(segment.payload == request, note)
            asked = segment
        }

        // A server that goes on from this state is believed.
        var reply = try #require(asked, note)
        (reply.source, reply.destination) = (reply.destination, reply.source)
        (reply.sourceMAC, reply.destinationMAC) = (reply.destinationMAC, reply.sourceMAC)
        (reply.sourcePort, reply.destinationPort) = (reply.destinationPort, reply.sourcePort)
        reply.sequence = state.serverISN.value &+ 1
        reply.acknowledgement = state.clientISN.value &+ 1 &+ UInt32(request.count)
        #expect(synAck.sequence == state.serverISN.value && synAck.acknowledgement == state.clientISN.value &+ 1, note)
        reply.payload = Array("HTTP/1.1 200 OK\r\n\r\n".utf8)
        if timestamps {
            reply.options = [1, 1, 8, 10] + big(state.serverTimestamp &+ 5)
            reply.options += big(state.clientTimestamp)
        }
        try tap.send(reply.bytes)
        #expect(try client.receive() == reply.payload, note)
    }

    /// ARP and Neighbor Discovery, in the director's name.
    private func answerToNeighbor(_ frame: [UInt8], _ server: [UInt8]) -> [UInt8]? {
        guard let question = frame.withUnsafeBytes({ NeighborMessage(of: $0.baseAddress!, length: frame.count) }),
            question.kind == .question
        else { return nil }
        let subject =
            server.count == 4
            ? IPAddress(v4: UInt32(HandshakeSegment.number(server, 0, 4)))
            : IPAddress(high: HandshakeSegment.number(server, 0, 8), low: HandshakeSegment.number(server, 8, 8))
        guard question.subject == subject else { return nil }
        let mac = MACAddress(HandshakeSegment.number(Self.mac, 0, 6))
        return NeighborMessage(.answer, subject: subject, sender: subject, senderMAC: mac)
            .frame(to: (question.sender, question.senderMAC))
    }
}
