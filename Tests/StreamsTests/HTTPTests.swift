import Adoption
import Foundation
import Streams
import Testing
import Wire

/// Frames in headers of HTTP, between both ends and for strangers.
@Suite(.timeLimit(.minutes(1))) struct HTTPTests {
    private func frame(_ length: Int, _ filler: UInt8 = 0xAA) -> [UInt8] {
        var bytes = [UInt8](repeating: filler, count: length)
        bytes.replaceSubrange(0..<6, with: [0x14, 5, 0, 0, UInt8(length >> 8), UInt8(length & 0xFF)])
        return bytes
    }

    private func peer(_ ends: Ends) -> StreamPeer {
        var peer = StreamPeer(ends.endpoint)
        peer.isHTTP = true
        return peer
    }

    private func isOpened(_ event: StreamEvent) -> Bool { if case .opened = event { true } else { false } }

    @Test func framesGoBothWays() throws {
        let ends = try Ends(isHTTP: true)
        defer { ends.shutDown() }
        ends.dialler.connect(peer(ends))
        #expect(ends.awaitDialler(isOpened) != nil)
        let lengths = [48, 1_472, 49, 600]
        for length in lengths { #expect(ends.dialler.send(frame(length), to: ends.endpoint) == .sent) }
        let (received, source) = ends.framesAtListener(lengths.count)
        // Several connections keep no order.
        #expect(Set(received) == Set(lengths.map { frame($0) }))
        let director = try #require(source)
        ends.listener.confirm(director)
        // What the agent begins, many at once, comes by the request that waits and those after it.
        for number in 0..<100 { #expect(ends.listener.send(frame(1_472, UInt8(number)), to: director)) }
        var fillers: Set<UInt8> = []
        while fillers.count < 100 {
            let event = ends.awaitDialler { if case .frame = $0 { true } else { false } }
            guard case .frame(let bytes, _)? = event else { break }
            fillers.insert(bytes[100])
        }
        #expect(fillers.count == 100)
    }

    @Test func theEndOfAnExchangeIsTheEndOfTheConnection() throws {
        let ends = try Ends(isHTTP: true)
        defer { ends.shutDown() }
        ends.dialler.connect(peer(ends))
        for _ in 0..<2 {
            #expect(ends.awaitDialler(isOpened) != nil)
            #expect(ends.dialler.send(frame(48), to: ends.endpoint) == .sent)
            let (_, source) = ends.framesAtListener(1)
            ends.listener.close(try #require(source), because: StreamEnd(.stopped))
            #expect(ends.awaitDialler { if case .closed = $0 { true } else { false } } != nil)
        }
    }

    @Test(arguments: [
        ("POST /crtp HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("POST /crtp HTTP/1.1\r\nHost: a\r\nCRTP-Exchange: x\r\n\r\n", "400"),
        (
            "POST /crtp HTTP/1.1\r\nHost: a\r\nCRTP-Exchange: 0123456789abcdef0123456789abcdef\r\nCRTP: FAU\r\n\r\n",
            "400"
        ),
        ("NONSENSE\r\n\r\n", "400"),
    ]) func whatIsNoExchangeIsRefused(_ request: String, _ status: String) throws {
        let ends = try Ends(isHTTP: true)
        defer { ends.shutDown() }
        let client = try RawClient(ends.endpoint)
        client.write(Array(request.utf8))
        #expect(client.read().hasPrefix("HTTP/1.1 \(status) "))
        #expect(client.isClosedByPeer())
    }

    /// By hand: a frame goes in, and the answer to the first request comes when the second one is there.
    @Test func anExchangeByHand() throws {
        let ends = try Ends(isHTTP: true)
        defer { ends.shutDown() }
        let bytes = frame(48, 1)
        let text = Data(bytes).base64EncodedString().replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_").replacingOccurrences(of: "=", with: "")
        let head =
            "POST /crtp HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nCRTP-Exchange: 0123456789abcdef0123456789abcdef\r\n"
        let (first, second) = (try RawClient(ends.endpoint), try RawClient(ends.endpoint))
        first.write(Array("\(head)CRTP: \(text)\r\n\r\n".utf8))
        let (received, source) = ends.framesAtListener(1)
        #expect(received == [bytes])
        second.write(Array("\(head)\r\n".utf8))
        #expect(first.read().hasPrefix("HTTP/1.1 204 "))
        #expect(ends.listener.send(bytes, to: try #require(source)))
        let answer = second.read()
        #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("CRTP: \(text)\r\n"), "\(answer)")
    }
}
