import Adoption
import Foundation
import Streams
import Testing
import Wire

/// A dialler and a listener over real sockets of this host's loopback.
@Suite(.timeLimit(.minutes(1))) struct StreamTests {
    private func frame(_ length: Int, _ filler: UInt8 = 0xAA) -> [UInt8] {
        var bytes = [UInt8](repeating: filler, count: length)
        bytes.replaceSubrange(0..<6, with: [0x14, 5, 0, 0, UInt8(length >> 8), UInt8(length & 0xFF)])
        return bytes
    }

    @Test func framesGoBothWays() throws {
        let ends = try Ends()
        defer { ends.shutDown() }
        ends.dialler.connect(StreamPeer(ends.endpoint))
        #expect(ends.awaitDialler { if case .opened = $0 { true } else { false } } != nil)
        let lengths = [48, 1_472, 49, 600]
        for length in lengths { #expect(ends.dialler.send(frame(length), to: ends.endpoint) == .sent) }
        let (received, peer) = ends.framesAtListener(lengths.count)
        #expect(received == lengths.map { frame($0) })
        let source = try #require(peer)
        #expect(ends.listener.send(frame(100), to: source))
        let answer = ends.awaitDialler { if case .frame(let bytes, _) = $0 { bytes == frame(100) } else { false } }
        #expect(answer != nil)
    }

    @Test func whoSendsNoFramesIsCutOff() throws {
        let ends = try Ends()
        defer { ends.shutDown() }
        let client = try RawClient(ends.endpoint)
        client.write(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        let end = ends.awaitListener { if case .closed(_, let end, _) = $0 { end.reason == .badFrame } else { false } }
        #expect(end != nil)
        #expect(client.isClosedByPeer())
    }

    @Test func whoSaysNothingAuthenticIsCutOff() throws {
        var bounds = StreamBounds()
        bounds.patienceMicroseconds = 50_000
        let ends = try Ends(bounds)
        defer { ends.shutDown() }
        let client = try RawClient(ends.endpoint)
        let end = ends.awaitListener {
            if case .closed(_, let end, _) = $0 { end.reason == .unauthenticated } else { false }
        }
        #expect(end != nil && client.isClosedByPeer())
    }

    @Test func thoseBeyondTheBoundAreTurnedAway() throws {
        var bounds = StreamBounds()
        bounds.connections = 2
        let ends = try Ends(bounds)
        defer { ends.shutDown() }
        let served = try (0..<2).map { _ in try RawClient(ends.endpoint) }
        for _ in served { _ = ends.awaitListener { if case .opened = $0 { true } else { false } } }
        #expect(try RawClient(ends.endpoint).isClosedByPeer())
        #expect(ends.listener.takeRefused() == 1)
    }

    @Test func strangersAreTurnedAway() throws {
        let ends = try Ends(admits: { _ in false })
        defer { ends.shutDown() }
        #expect(try RawClient(ends.endpoint).isClosedByPeer())
    }

    /// A peer that never reads costs a bounded number of bytes; frames beyond are lost, and sending never waits.
    @Test func aPeerThatNeverReadsCostsFramesAndNoMemory() throws {
        let deaf = try ListeningSocket(Endpoint(IPAddress("127.0.0.1")!, port: 0), .bare)
        let endpoint = try #require(boundEndpoint(of: deaf.descriptor))
        let bell = Bell()
        let dialler = StreamDialler { bell.ring() }
        defer {
            dialler.shutDown()
            close(deaf.descriptor)
        }
        dialler.connect(StreamPeer(endpoint))
        var waiting: [StreamEvent] = []
        #expect(bell.await(&waiting, dialler.take) { if case .opened = $0 { true } else { false } } != nil)
        // The kernels' buffers take some more now and then; at last nothing fits for a tenth of a second.
        var (sent, refused) = (0, 0)
        while sent < 100_000, refused < 1_000 {
            let isSent = dialler.send(frame(1_472), to: endpoint) == .sent
            (sent, refused) = isSent ? (sent + 1, 0) : (sent, refused + 1)
            if !isSent { usleep(100) }
        }
        #expect(sent < 100_000 && dialler.send(frame(1_472), to: endpoint) == .full)
    }

    /// A loop that does not take what has come makes the peer wait, by TCP; nothing is lost.
    @Test func whatIsNotTakenIsNotRead() throws {
        let ends = try Ends()
        defer { ends.shutDown() }
        ends.dialler.connect(StreamPeer(ends.endpoint))
        _ = ends.awaitDialler { if case .opened = $0 { true } else { false } }
        var sent = 0
        for _ in 0..<200_000 where ends.dialler.send(frame(48), to: ends.endpoint) == .sent { sent += 1 }
        #expect(sent > 2_000)
        let first = ends.listener.take().count
        // One turn of the event loop may bring more than the bound: four reads of the socket.
        #expect(first <= 256 + 4 * 65_536 / 48 + 1, "\(first) were waiting")
        // The connection itself was the first to be told.
        let rest = sent - max(0, first - 1)
        #expect(ends.framesAtListener(rest).frames.count == rest)
    }

    @Test func aLostConnectionIsMadeAgain() throws {
        let ends = try Ends()
        defer { ends.shutDown() }
        ends.dialler.connect(StreamPeer(ends.endpoint))
        for _ in 0..<3 {
            #expect(ends.awaitDialler { if case .opened = $0 { true } else { false } } != nil)
            #expect(ends.dialler.send(frame(48), to: ends.endpoint) == .sent)
            let (_, peer) = ends.framesAtListener(1)
            ends.listener.close(try #require(peer), because: StreamEnd(.stopped))
            let end = ends.awaitDialler { if case .closed = $0 { true } else { false } }
            guard case .closed(_, let why, let pause)? = end else { return }
            #expect(why.reason == .closed && pause > 0)
            #expect(ends.dialler.send(frame(48), to: ends.endpoint) == .notConnected)
        }
    }

    /// Somebody else's connection: nothing is sent by it, and its end is not the director's.
    @Test func whatIsRefusedIsGoneAtOnce() throws {
        let ends = try Ends()
        defer { ends.shutDown() }
        ends.dialler.connect(StreamPeer(ends.endpoint))
        guard case .opened(let peer)? = ends.awaitListener({ if case .opened = $0 { true } else { false } }) else {
            Issue.record("no connection")
            return
        }
        ends.listener.refuse(peer)
        #expect(!ends.listener.hasConnection(from: peer) && !ends.listener.send(frame(48), to: peer))
        // The next thing to be told is the next connection.
        let next = ends.awaitListener { if case .failed = $0 { false } else { true } }
        if case .opened(let other)? = next {
            #expect(other != peer)
        } else {
            Issue.record("\(String(describing: next))")
        }
    }

    @Test func nobodyThereIsToldWithTheTimeOfTheNextAttempt() throws {
        // Bound, so that nobody else gets the port, and not listening.
        let taken = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(taken) }
        #expect(Endpoint(IPAddress("127.0.0.1")!, port: 0).withSocketAddress { bind(taken, $0, $1) } == 0)
        let endpoint = try #require(boundEndpoint(of: taken))
        let bell = Bell()
        let dialler = StreamDialler { bell.ring() }
        defer { dialler.shutDown() }
        dialler.connect(StreamPeer(endpoint))
        var waiting: [StreamEvent] = []
        let told = bell.await(&waiting, dialler.take) { if case .failed = $0 { true } else { false } }
        guard case .failed(endpoint, let end, let pause)? = told else {
            Issue.record("\(String(describing: told))")
            return
        }
        #expect(end == StreamEnd(.unreachable, "Connection refused") && (75_000...100_000).contains(pause))
    }
}
