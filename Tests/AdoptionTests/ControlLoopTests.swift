import Adoption
import CRTP
import Glibc
import Logging
import Testing
import Wire

@Suite struct ControlLoopTests {
    /// Whoever only says that he is a director does not change where answers leave from.
    @Test func onlyAuthenticFramesMakeAHome() throws {
        let keys = KeyRing(keys: [1: [UInt8](repeating: 7, count: 32)], current: 1)
        let settings = ControlChannelSettings(
            listen: [Endpoint("127.0.0.1:47270")!], keys: keys, directors: [AddressPrefix("127.0.0.0/8")!])
        let catalogue = try Catalogue([])
        let loop = try ControlLoop(
            settings: settings, sockets: [DatagramSocket(settings.listen[0])],
            responder: ChannelResponder(
                keys: keys,
                description: AgentDescription(
                    name: "agent", mac: MACAddress(1), epoch: 1, credits: 1, capabilities: [.ipv4])),
            ledger: TransferLedger(),
            services: ControlLoop.Services(
                catalogue: catalogue, adopter: Adopter(uncommittedMark: 1), askCache: { _, _, _, _ in },
                serve: { _ in }, adopterIsGone: {}), logger: Logger(label: "test"))
        let director = try DatagramSocket(Endpoint("127.0.0.1:47271")!)
        let stranger = try DatagramSocket(Endpoint("127.0.0.1:47272")!)
        defer { for socket in [director, stranger] + loop.sockets { close(socket.descriptor) } }
        let peer = settings.listen[0]
        var initiator = ChannelInitiator(peer: peer, keys: keys, senderID: 1, epoch: 1)
        initiator.start(now: monotonicMicroseconds())
        let done = OneTimeSignal()
        Adoption.Thread.detach("loop") {
            loop.run()
            done.raise()
        }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        for _ in 0..<5_000 {
            stranger.send([1, 2, 3], to: peer)
            while let (bytes, _) = director.receive(into: &buffer) {
                initiator.receive(bytes, now: monotonicMicroseconds())
            }
            for case .transmit(let bytes, _) in initiator.actions { director.send(bytes, to: peer) }
            let isOver = initiator.actions.contains { if case .status = $0 { true } else { false } }
            initiator.actions = []
            if isOver { break }
            initiator.advance(to: monotonicMicroseconds())
            // An answer, or a moment for the initiator's own timers.
            var answer = pollfd(fd: director.descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&answer, 1, 2)
        }
        #expect(initiator.state == .up)
        loop.tell(.stop)
        done.wait()
        // The director has left, and nobody else has ever had one.
        #expect(loop.homeCount == 0)
    }
}
