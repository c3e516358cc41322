import CRTP
import Foundation
import Glibc
import Testing
import Wire

import Adoption

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
