import Adoption
import CRTP
import Foundation
import Glibc
import Testing
import Wire

/// The agent itself, as a process in a namespace, between a real client and a real origin.
@Suite(.serialized, .enabled(if: Namespace.isPossible && TestAgent.isBuilt)) struct AgentTests {
    static let families = [true, false]

    @Test(arguments: families) func servesAFile(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send(scene.get("/big.bin"))
        let response = try #require(client.response())
        #expect(response.head.hasPrefix("HTTP/1.1 200 OK"))
        #expect(response.body == scene.agent.content)
        // Kept alive: a second file, and then something that only the origin has.
        client.send(scene.get("/"))
        #expect(client.response()?.body == Array("hello\n".utf8))
        client.send(scene.get("/only-at-origin"))
        let relayed = try #require(client.response())
        let from = isV4 ? TestNetwork.proxyAddress.v4 : TestNetwork.proxyAddress.v6
        #expect(String(decoding: relayed.body, as: UTF8.self) == "origin /only-at-origin \(from)\n")
        expectNoControlPackets(scene)
        expectLargeSegments(scene)
    }

    @Test func speaksHTTPInFull() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send(scene.get("/big.bin", "Range: bytes=100-199\r\n"))
        let part = try #require(client.response())
        #expect(part.head.hasPrefix("HTTP/1.1 206 "))
        #expect(part.body == Array(scene.agent.content[100..<200]))
        client.send(scene.get("/big.bin", method: "HEAD"))
        let head = try #require(client.response(isHead: true))
        #expect(head.head.contains("Content-Length: 3000000\r\n"))
        let tag = try #require(head.head.split(separator: "\r\n").first { $0.hasPrefix("ETag: ") }).dropFirst(6)
        client.send(scene.get("/big.bin", "If-None-Match: \(tag)\r\n"))
        #expect(client.response()?.head.hasPrefix("HTTP/1.1 304 ") == true)
        // Pipelined, some from here and some from the origin: answered in their order.
        client.send(
            scene.get("/") + scene.get("/x1") + scene.get("/") + scene.get("/x2", method: "HEAD") + scene.get("/x3"))
        #expect(client.response()?.body == Array("hello\n".utf8))
        #expect(text(client.response()).hasPrefix("origin /x1 "))
        #expect(client.response()?.body == Array("hello\n".utf8))
        #expect(client.response(isHead: true)?.head.contains("Content-Length") == true)
        #expect(text(client.response()).hasPrefix("origin /x3 "))
        // A response without a length comes in chunks, and the connection goes on.
        client.send(scene.get("/close"))
        let chunked = try #require(client.response())
        #expect(chunked.head.lowercased().contains("transfer-encoding: chunked"))
        #expect(text(chunked).contains("origin /close "))
        client.send(scene.get("/x4"))
        #expect(text(client.response()).hasPrefix("origin /x4 "))
        client.send(scene.get("/", "Connection: close\r\n"))
        #expect(client.response()?.head.contains("Connection: close") == true)
        #expect(client.ending() == nil)
        #expect(eventually { scene.agent.accessLog.split(separator: "\n").count == 11 })
        let line = try #require(scene.agent.accessLog.split(separator: "\n").first)
        #expect(line.hasPrefix("10.77.0.1 - - ["))
        #expect(
            line.hasSuffix(
                "\"GET /big.bin HTTP/1.1\" 206 100 \"-\" \"-\" transfer=\(scene.director.transaction) by=document"))
    }

    /// Clients that speak TCP as it was in 1981, one option at a time, and all that is optional together.
    @Test(arguments: [["timestamps"], ["sack"], ["window_scaling"], ["timestamps", "sack", "window_scaling"]])
    func servesClientsWithoutOptions(missing: [String]) throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        for option in missing { try scene.network.client.run(["sysctl", "-qw", "net.ipv4.tcp_\(option)=0"]) }
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send(scene.get("/big.bin"))
        let isWhole = client.response()?.body == scene.agent.content
        #expect(isWhole)
        #expect(scene.director.answer == .transferACK)
        let options = try #require(scene.director.connection?.options)
        #expect(options.timestamps == !missing.contains("timestamps"))
        #expect(options.sack == !missing.contains("sack"))
        #expect(options.windowScale == !missing.contains("window_scaling"))
        #expect(scene.spoken.allSatisfy { ($0.timestamp != nil) == options.timestamps })
        expectNoControlPackets(scene)
    }

    /// A client that ends its side while it is answered gets the whole answer, and then the end.
    @Test func aClientThatHasEndedItsSideDoesNotLinger() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        for path in ["/big.bin", "/only-at-origin"] {
            scene.director.plan(.commit)
            let client = try scene.connect()
            client.send(scene.get(path))
            if path == "/big.bin" {
                // Not before the answer has begun.
                var byte: UInt8 = 0
                #expect(recv(client.descriptor, &byte, 1, CInt(MSG_PEEK)) == 1)
            }
            shutdown(client.descriptor, CInt(SHUT_WR))
            let response = try #require(client.response())
            if path == "/big.bin" { #expect(response.body == scene.agent.content) }
            #expect(client.ending() == nil)
        }
    }

    /// The bytes on the socket count, not those in TRANSFER.
    @Test func aRequestThatCanBeReadInTwoWaysIsTheOrigins() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        scene.director.plan(.commit, pretending: scene.get("/"))
        let client = try scene.connect()
        client.send(scene.get("/", "Host: other.example.com\r\n"))
        #expect(text(client.response()).hasPrefix("origin / "))
        scene.director.plan(.commit, pretending: scene.get("/"))
        let other = try scene.connect()
        other.send("GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n")
        #expect(text(other.response()).hasPrefix("origin / "))
        expectNoControlPackets(scene)
    }

    @Test func refusesWhatItDoesNotHave() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        for (path, reason) in [("/nothing", NACKReason.notFound), ("/index.html?x", .notFound)] {
            scene.director.plan(.commit)
            let client = try scene.connect()
            client.send(scene.get(path))
            #expect(text(client.response()).hasPrefix("origin \(path) "))
            #expect(scene.director.answer == .transferNACK(reason, retryAfterMilliseconds: 0))
        }
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send("GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n")
        #expect(text(client.response()).hasPrefix("origin / "))
        #expect(scene.director.answer == .transferNACK(.policy, retryAfterMilliseconds: 0))
        #expect(scene.spoken.isEmpty)
    }

    @Test func announcesItsFlowsAndTellsTheirEnd() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        scene.director.plan(.commit)
        var client: TestClient? = try scene.connect()
        client?.send(scene.get("/"))
        #expect(client?.response() != nil)
        let key = try #require(scene.director.connection?.key)
        let psn = try #require(scene.director.connection?.psn)
        let transfer = scene.director.transaction
        scene.director.reinitiate()
        #expect(eventually { scene.director.frames.contains { $0.message == .flowInformationEnd(count: 1) } })
        #expect(scene.director.frames.contains { $0.message == .flowInformation(key, transfer: transfer) })
        client = nil
        let done = { (frame: Frame) -> Bool in
            guard case .terminate(let terminate) = frame.message else { return false }
            return terminate.cause == .flowDone && terminate.transfer == transfer && terminate.psn == psn
                && terminate.bytesSent > 200
        }
        #expect(eventually { scene.director.frames.contains(where: done) })
    }

    private func text(_ response: (head: String, body: [UInt8])?) -> String {
        response.map { String(decoding: $0.body, as: UTF8.self) } ?? "nothing"
    }

    /// SYN, RST and FIN that the client received after the handshake.
    private func expectNoControlPackets(_ scene: Scene) {
        let control = Segment.syn | Segment.rst | Segment.fin
        let bad = scene.director.passed.filter { passed in
            guard passed.from == .proxy, let segment = passed.segment, segment.source.port == 80 else { return false }
            return segment.flags & control != 0
        }
        #expect(bad.isEmpty)
    }

    /// Not the 524 bytes that a socket has whose MSS was set too late.
    private func expectLargeSegments(_ scene: Scene) {
        let sizes = scene.director.passed.filter { $0.from == .proxy }.compactMap { $0.segment?.payload.count }
        #expect((sizes.max() ?? 0) >= 1_400)
    }
}
