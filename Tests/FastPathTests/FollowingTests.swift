import InterCore
import Testing
import Wire

private let length = UInt32(request.count)

/// Later requests of connections that are the origin's.
extension WorkerTests {
    private func lab(_ adjust: (inout WorkerConfiguration) -> Void = { _ in }) -> Lab {
        Lab {
            $0.candidates[0].followsOrigin = true
            adjust(&$0)
        }
    }

    /// A connection whose first request the origin has; what came out is forgotten.
    private func origins(_ lab: Lab, _ first: [UInt8] = request) throws -> Connection {
        let connection = Connection(lab)
        connection.handshake()
        connection.client("P.", seq: 1, first)
        let held = try #require(lab.takeHeld())
        connection.verdict(held.handle, .origin)
        _ = lab.takeToServers()
        _ = lab.takeEvents()
        return connection
    }

    /// The origin's answer in segments, each acknowledging `acknowledged`; the sequence number behind it.
    @discardableResult
    private func answer(
        _ connection: Connection, _ segments: [String], from start: UInt32 = 1, ack: UInt32 = 1 + length
    ) -> UInt32 {
        var sequence = start
        for segment in segments {
            connection.origin("P.", seq: sequence, ack: ack, Array(segment.utf8))
            sequence += UInt32(segment.utf8.count)
        }
        return sequence
    }

    @Test func theNextRequestBehindAWholeAnswerIsHeld() throws {
        let lab = lab()
        let connection = try origins(lab)
        let end = answer(connection, ["HTTP/1.1 404 Not Found\r\nContent-Length: 10\r\n\r\n0123", "456789"])
        connection.client(".", seq: 1 + length, ack: end)
        #expect(lab.takeToClients().count == 2 && lab.takeToServers().count == 1)
        connection.client("P.", seq: 1 + length, ack: end, request)
        #expect(lab.takeToServers().isEmpty)
        let held = try #require(lab.takeHeld())
        #expect(held.connection.psn == SequenceNumber(connection.isn &+ 1 &+ length))
        #expect(held.connection.pan == SequenceNumber(connection.iss &+ end))
        #expect(held.connection.serverWindowEdge == SequenceNumber(connection.isn &+ 1 &+ length &+ 64_000 << 8))
        connection.verdict(held.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        let sent = lab.takeToServers()
        try #require(sent.count == 2)
        #expect(sent[0].flags == "R" && sent[0].sequence == connection.isn &+ 1 &+ length)
        #expect(sent[1].destinationMAC == Lab.proxyMAC && sent[1].sequence == connection.isn &+ 1 &+ length)
        // From now on the proxy alone is heard.
        answer(connection, ["HTTP/1.1 200 OK\r\n"], from: end, ack: 1 + 2 * length)
        #expect(lab.takeToClients().isEmpty)
        connection.proxy("P.", seq: end, ack: 1 + 2 * length, [1, 2, 3])
        #expect(lab.takeToClients().count == 1 && lab.counter(.answersFollowed) == 1)
        lab.finish()
    }

    /// A word on the former request, however late, is none on this one.
    @Test func aVerdictOnTheFormerRequestIsStale() throws {
        let lab = lab()
        let connection = Connection(lab)
        let first = try #require(connection.hold())
        connection.verdict(first.handle, .origin)
        let end = answer(connection, ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
        connection.client("P.", seq: 1 + length, ack: end, request)
        let second = try #require(lab.takeHeld())
        #expect(second.handle != first.handle)
        _ = lab.takeToServers()
        connection.verdict(first.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().isEmpty && lab.takeEvents().isEmpty && lab.counter(.staleCommands) == 1)
        connection.verdict(second.handle, .proxy(ProxyIndex(0), resetOrigin: true))
        #expect(lab.takeToServers().count == 2)
        lab.finish()
    }

    /// Any number of requests, each asked for; and an interim answer before one of them.
    @Test func eachLaterRequestIsAskedFor() throws {
        let lab = lab()
        let connection = try origins(lab)
        var (next, end) = (1 + length, UInt32(1))
        let answers = [
            ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"],
            [
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "c\r", "\n1",
                "0\r\n0123456789abcdef\r\n0\r\n\r", "\n",
            ],
            ["HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"], ["HTTP/1.1 204 No Content\r\n\r\n"],
        ]
        for segments in answers {
            end = answer(connection, segments, from: end, ack: next)
            connection.client("P.", seq: next, ack: end, request)
            let held = try #require(lab.takeHeld(), "\(segments)")
            connection.verdict(held.handle, .origin)
            next += length
        }
        #expect(lab.counter(.answersFollowed) == 4 && lab.counter(.answersUnclear) == 0)
        lab.finish()
    }

    @Test func anAnswerToHEADHasNoBody() throws {
        let lab = lab()
        let head = Array("HEAD /a HTTP/1.1\r\nHost: example.org\r\n\r\n".utf8)
        let connection = try origins(lab, head)
        let next = 1 + UInt32(head.count)
        let end = answer(connection, ["HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ack: next)
        connection.client("P.", seq: next, ack: end, request)
        #expect(lab.takeHeld() != nil)
        lab.finish()
    }

    /// What comes again says nothing new, and does no harm.
    @Test func repetitionsDoNoHarm() throws {
        let lab = lab()
        let connection = try origins(lab)
        connection.client("P.", seq: 1, request)
        let end = answer(connection, ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "abcd"])
        answer(connection, ["HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "abcd"])
        connection.client("P.", seq: 1, ack: 1, request)
        connection.client("S", seq: 0, options: connection.synOptions)
        connection.client("P.", seq: 1 + length, ack: end, request)
        #expect(lab.takeHeld() != nil)
        lab.finish()
    }

    /// Each makes the connection the origin's for good: the next request passes, and the one behind it.
    @Test(arguments: [
        // No length, a connection that ends, two lengths, an old version, a trailer, an extension, a half head.
        ["HTTP/1.1 200 OK\r\n\r\n"], ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"],
        ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"],
        ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        ["HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
        ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n"],
        ["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;x\r\n\r\n"],
        ["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 0\r\n\r\n"], ["HTTP/1.1 101 Switching Protocols\r\n\r\n"],
        // More than the answer.
        ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP"], ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP"],
    ])
    func whatIsUnclearIsTheOrigins(segments: [String]) throws {
        let lab = lab()
        let connection = try origins(lab)
        let end = answer(connection, segments)
        for number in 1...2 as ClosedRange<UInt32> {
            connection.client("P.", seq: 1 + number * length, ack: end, request)
        }
        #expect(lab.takeHeld() == nil && lab.takeToServers().count == 2 && lab.takeToClients().count == segments.count)
        #expect(lab.counter(.answersUnclear) == 1)
        lab.finish()
    }

    @Test(arguments: ["pipelined", "early", "gap", "lost", "deaf", "finished", "skipped"])
    func withoutProofItIsTheOrigins(case what: String) throws {
        let lab = lab()
        let connection = try origins(lab)
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"
        var end = 1 + UInt32(text.utf8.count)
        var (sequence, ack) = (1 + length, end)
        switch what {
        // The next request before the answer; before the client has all of it.
        case "pipelined":
            connection.client("P.", seq: sequence, ack: 1, request)
            answer(connection, [text])
            sequence += length
        case "early":
            answer(connection, [text])
            ack = end - 1
        // A segment that did not pass here, with chunks behind it.
        case "gap":
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            answer(connection, [head])
            end = answer(connection, ["0\r\n\r\n"], from: 10 + UInt32(head.utf8.count))
            ack = end
        // The head did not pass here.
        case "lost": answer(connection, ["abcd"], from: end - 4)
        // The origin answers what it has not got whole.
        case "deaf": answer(connection, [text], ack: length)
        case "finished":
            answer(connection, [text])
            connection.origin("F.", seq: end, ack: 1 + length)
        // A byte of the client's that nobody saw.
        default:
            answer(connection, [text])
            sequence += 1
        }
        _ = lab.takeToServers()
        connection.client("P.", seq: sequence, ack: ack, request)
        #expect(lab.takeHeld() == nil && lab.takeToServers().count == 1, "\(what)")
        lab.finish()
    }

    @Test func rulesThatDoNotAskForItAreNotFollowed() throws {
        let lab = Lab()
        let connection = try origins(lab)
        let end = answer(connection, ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
        connection.client("P.", seq: 1 + length, ack: end, request)
        #expect(lab.takeHeld() == nil && lab.counter(.answersFollowed) == 0)
        lab.finish()
    }

    /// The origin speaks while the next request is held: it goes there, and is not followed.
    @Test func anOriginThatSpeaksMeanwhileKeepsTheConnection() throws {
        let lab = lab()
        let connection = try origins(lab)
        let end = answer(connection, ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
        connection.client("P.", seq: 1 + length, ack: end, request)
        _ = lab.takeToServers()
        _ = try #require(lab.takeHeld())
        connection.origin("P.", seq: end, ack: 1 + length, Array("HTTP/1.1 408 Request Timeout\r\n".utf8))
        #expect(lab.takeToServers().count == 1 && lab.takeEvents().map(\.name) == ["aborted originClosed"])
        connection.client("P.", seq: 1 + 2 * length, ack: end + 30, request)
        #expect(lab.takeHeld() == nil && lab.takeToServers().count == 1)
        lab.finish()
    }
}
