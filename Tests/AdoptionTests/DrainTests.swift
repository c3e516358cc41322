import Adoption
import CRTP
import Foundation
import Glibc
import Testing
import Wire

/// SIGTERM while a connection is served.
@Suite(.serialized, .enabled(if: Namespace.isPossible && TestAgent.isBuilt)) struct DrainTests {
    @Test func aLiveFlowEndsWholeAndNewOnesAreRefused() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.beginDownload()
        kill(scene.agent.process.processIdentifier, SIGTERM)
        #expect(eventually { scene.agent.log.contains("draining") })
        #expect(try scene.isRefusedAsDraining())
        let body = client.response()?.body
        #expect(body == scene.agent.content)
        #expect(client.ending() == nil)
        scene.agent.process.waitUntilExit()
        #expect(scene.agent.process.terminationStatus == 0)
        let control = scene.spoken.filter { $0.flags & (Segment.syn | Segment.rst) != 0 }
        #expect(control.isEmpty)
        // A connection has just ended: the rules stay while the kernel may still be sending.
        #expect(try scene.network.proxy.run(["nft", "list", "tables"]).contains("baton_agent"))
    }
}

extension Scene {
    /// A client that has asked for the large file and reads nothing of it yet, so that the answer cannot end.
    func beginDownload() throws -> TestClient {
        director.plan(.commit)
        let client = try connect()
        client.send(get("/big.bin"))
        guard eventually({ spoken.count > 10 }) else { throw SystemFailure("no answer: \(agent.log)", code: 0) }
        return client
    }

    /// A TRANSFER for another connection gets NACK DRAINING.
    func isRefusedAsDraining() throws -> Bool {
        var connection = director.connection!
        connection.key.clientPort ^= 1
        let transfer = Transfer(connection: connection, request: Array(get("/").utf8), application: .httpGet)
        director.send(.transfer(transfer), transaction: 5_000)
        return eventually {
            director.frames.contains { frame in
                guard case .transferNACK(.draining, _) = frame.message else { return false }
                return frame.transaction == 5_000
            }
        }
    }
}
