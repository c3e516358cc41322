import Adoption
import CRTP
import Foundation
import Glibc
import Testing
import Wire

/// Connections that a server beside the agent takes.
@Suite(.serialized, .enabled(if: Namespace.isPossible && TestAgent.isBuilt)) struct RelayTests {
    private static let hasTools = ["curl", "openssl"].allSatisfy {
        (try? Command.run([$0, "--version"])) != nil
            || (try? Command.run([$0, "version"])) != nil
    }

    /// TLS goes through as it is: the certificate and the keys are the local server's.
    @Test(.enabled(if: hasTools, "curl or openssl is missing")) func handsTLSToALocalServer() throws {
        let scene = try Scene(
            isV4: true,
            catalogue: """
                  - origins: ["10.77.0.80:80"]
                    hosts: [secure.example.com]
                    relay: 127.0.0.1:8443
                    tls: true
                """)
        defer { scene.remove() }
        let directory = scene.agent.directory
        try Command.run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
            "2", "-subj", "/CN=secure.example.com", "-addext", "subjectAltName=DNS:secure.example.com", "-keyout",
            directory + "/tls.key", "-out", directory + "/tls.crt",
        ])
        let server = Process()
        server.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        server.arguments = [
            "ip", "netns", "exec", scene.network.proxy.name, "openssl", "s_server", "-quiet", "-WWW", "-accept",
            "127.0.0.1:8443", "-cert", directory + "/tls.crt", "-key", directory + "/tls.key",
        ]
        server.currentDirectoryURL = URL(fileURLWithPath: directory + "/www")
        server.standardInput = FileHandle.nullDevice
        try server.run()
        defer {
            // It inherited this thread's blocked signals.
            kill(server.processIdentifier, SIGKILL)
            server.waitUntilExit()
        }
        let listens = { try scene.network.proxy.run(["ss", "-Htln"]).contains("127.0.0.1:8443") }
        #expect(try eventually(listens))
        scene.director.plan(.commit)
        let file = directory + "/got"
        try scene.network.client.run([
            "curl", "-sS", "--fail", "--http1.1", "--max-time", "20", "--cacert", directory + "/tls.crt", "--resolve",
            "secure.example.com:80:10.77.0.80", "-o", file, "https://secure.example.com:80/big.bin",
        ])
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data(scene.agent.content))
        #expect(scene.director.answer == .transferACK)
        let early = scene.spoken.prefix(20).filter { $0.flags & (Segment.syn | Segment.rst) != 0 }
        #expect(early.isEmpty)
    }

    /// A cache is asked before the transfer is answered, and again for the content.
    @Test func asksACacheBeforeItPromises() throws {
        let scene = try Scene(
            isV4: true,
            catalogue: """
                  - origins: ["10.77.0.80:80"]
                    hosts: [cached.example.com]
                    cache: http://127.0.0.1:8080
                """)
        defer { scene.remove() }
        let cache = try TestOrigin(scene.network.proxy, Endpoint("127.0.0.1:8080")!)
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send("GET /thing HTTP/1.1\r\nHost: cached.example.com\r\n\r\n")
        let response = try #require(client.response())
        #expect(String(decoding: response.body, as: UTF8.self) == "origin http://cached.example.com/thing 127.0.0.1\n")
        #expect(scene.director.answer == .transferACK)
        cache.close()
        scene.director.plan(.commit)
        let other = try scene.connect()
        other.send("GET /thing HTTP/1.1\r\nHost: cached.example.com\r\n\r\n")
        let fallback = try #require(other.response())
        #expect(String(decoding: fallback.body, as: UTF8.self) == "origin /thing 10.77.0.1\n")
        #expect(scene.director.answer == .transferNACK(.notFound, retryAfterMilliseconds: 0))
    }

    /// Byte for byte what PROXY protocol version 2 asks for, and behind it what the client said.
    @Test func tellsAUNIXSocketWhoTheClientIs() throws {
        let path = NSTemporaryDirectory() + "baton-\(UUID().uuidString.prefix(8)).sock"
        let server = try OneAnswerServer(path)
        defer { server.close() }
        let scene = try Scene(
            isV4: true,
            catalogue: """
                  - origins: ["10.77.0.80:80"]
                    hosts: [socket.example.com]
                    relay: "unix:\(path)"
                    proxy-protocol: true
                """)
        defer { scene.remove() }
        scene.director.plan(.commit)
        let client = try scene.connect()
        let request = "GET /x HTTP/1.1\r\nHost: socket.example.com\r\n\r\n"
        client.send(request)
        let body = client.response().map { String(decoding: $0.body, as: UTF8.self) }
        #expect(body == "here\n")
        let port = try #require(scene.director.connection?.key.clientPort)
        let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
        let addresses: [UInt8] = [10, 77, 0, 1, 10, 77, 0, 80, UInt8(port >> 8), UInt8(port & 255), 0, 80]
        #expect(server.received == signature + [0x21, 0x11, 0, 12] + addresses + Array(request.utf8))
    }

    /// The client has had a greeting, the origin's; a server that greets a second time, as all do, must not be heard,
    /// and gets the client's EHLO only then.
    @Test(arguments: [
        ("220-here\r\n220 mail\r\n", "EHLO client\r\n", "250 mail\r\n"), ("554 go away\r\n", "", "554 go away\r\n"),
    ]) func aMailServersGreetingIsNotTheClients(greeting: String, heard: String, answer: String) throws {
        let scene = try Scene(
            isV4: true,
            catalogue: """
                  - origins: ["10.77.0.80:80"]
                    relay: 127.0.0.1:2525
                """)
        defer { scene.remove() }
        let server = try TestMailServer(scene.network.proxy, Endpoint("127.0.0.1:2525")!, greeting: greeting)
        defer { server.close() }
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send("EHLO client\r\n")
        #expect(client.line() == answer)
        #expect(scene.director.answer == .transferACK)
        #expect(server.heard == (early: "", greeted: heard))
    }

    @Test func onlyARelayWithoutTLSIsForMail() {
        func capabilities(_ content: SiteContent) -> Capabilities {
            Agent.capabilities([Site(origins: [], hosts: [], content: content)]).intersection([.http, .tls, .smtp])
        }
        let target = RelaySite.Target.address(Endpoint("127.0.0.1:2525")!)
        var secure = RelaySite(target: target)
        secure.isTLS = true
        #expect(capabilities(.relay(RelaySite(target: target))) == [.http, .smtp])
        #expect(capabilities(.relay(secure)) == .tls)
        #expect(capabilities(.directory(DirectorySite(root: "/"))) == .http)
    }

    /// The cache had it when it was asked, and has lost it when it is to answer.
    @Test func whatTheCacheHasLostIsTheOrigins() throws {
        let scene = try Scene(
            isV4: true,
            catalogue: """
                  - origins: ["10.77.0.80:80"]
                    hosts: [cached.example.com]
                    cache: http://127.0.0.1:8080
                """)
        defer { scene.remove() }
        let cache = try TestOrigin(scene.network.proxy, Endpoint("127.0.0.1:8080")!)
        defer { cache.close() }
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send("GET /lost HTTP/1.1\r\nHost: cached.example.com\r\n\r\n")
        let response = try #require(client.response())
        #expect(scene.director.answer == .transferACK)
        #expect(response.head.hasPrefix("HTTP/1.1 200 "))
        #expect(String(decoding: response.body, as: UTF8.self) == "origin /lost 10.77.0.90\n")
    }
}
