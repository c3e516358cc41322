import Adoption
import CRTP
import Foundation
import Glibc
import Testing
import Wire

/// What an adopted connection must not say, whatever happens (rule 7 of a transfer; invariants 1 and 10).
@Suite(.serialized, .enabled(if: Namespace.isPossible && TestAgent.isBuilt)) struct SilenceTests {
    static let families = [true, false]

    @Test(arguments: families) func anAdoptionIsSilentUntilTheRequestComes(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        let client = try scene.holdRequest("/big.bin")
        #expect(scene.director.answer == .transferACK)
        #expect(scene.spoken.isEmpty)
        let seen = try #require(scene.director.connection?.serverTimestamp)
        scene.director.commitHeld()
        #expect(client.response()?.body == scene.agent.content)
        // The server's clock went on in milliseconds: even at first, and never back (PAWS).
        let stamps = scene.spoken.compactMap(\.timestamp)
        #expect(stamps.allSatisfy { Int32(bitPattern: $0 &- seen) >= 0 })
        #expect(stamps.allSatisfy { Int32(bitPattern: $0 &- seen) < 60_000 })
        #expect(scene.spoken.first?.sequence == scene.director.connection?.pan.value)
    }

    @Test(arguments: families) func invariant10ACancelledAdoptionLeavesNoTrace(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        let client = try scene.holdRequest("/big.bin")
        let connection = try #require(scene.director.connection)
        let cancel = Message.terminate(
            Terminate(cause: .cancel, transfer: scene.director.transaction, psn: connection.psn))
        scene.director.send(cancel, transaction: 9_001)
        #expect(
            eventually {
                scene.director.frames.contains { $0.message == .terminateResponse && $0.transaction == 9_001 }
            })
        scene.director.releaseHeld()
        let body = try #require(client.response()?.body)
        #expect(String(decoding: body, as: UTF8.self).hasPrefix("origin /big.bin"))
        #expect(scene.spoken.isEmpty)
        #expect(try scene.network.proxy.run(["ss", "-Htan"]).isEmpty)
        // Again, and for one that never was: answered, and nothing else.
        scene.director.send(cancel, transaction: 9_002)
        let unknown = Terminate(cause: .late, transfer: 77, psn: connection.psn)
        scene.director.send(.terminate(unknown), transaction: 9_003)
        #expect(eventually { Set(scene.director.frames.map(\.transaction)).isSuperset(of: [9_002, 9_003]) })
        #expect(scene.spoken.isEmpty)
    }

    /// Even the adopting process, which would undo the adoption, is killed with the other one.
    @Test(arguments: families) func aKilledAgentSaysNothing(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        let client = try scene.holdRequest("/big.bin")
        #expect(scene.director.answer == .transferACK)
        let adopting = try #require(scene.agent.adoptingProcess)
        // First, so that it cannot notice the other one's end.
        kill(adopting, SIGKILL)
        scene.agent.kill()
        // The dead agent's kernel tries to say FIN: the rule counts it.
        #expect(try eventually { try scene.dropped(comment: "uncommitted sockets are mute") > 0 })
        #expect(scene.spoken.isEmpty)
        // The origin, which knows nothing of this, answers.
        scene.director.releaseHeld()
        let body = try #require(client.response()?.body)
        #expect(String(decoding: body, as: UTF8.self).hasPrefix("origin /big.bin"))
        #expect(scene.spoken.isEmpty)
    }

    /// The adopting process undoes what the other one has left, without even trying to say something.
    @Test(arguments: families) func aKilledServingProcessLeavesNoTrace(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        let client = try scene.holdRequest("/big.bin")
        #expect(scene.director.answer == .transferACK)
        let adopting = try #require(scene.agent.adoptingProcess)
        scene.agent.kill()
        #expect(try eventually { try scene.network.proxy.run(["ss", "-Htan"]).isEmpty })
        #expect(eventually { kill(adopting, 0) != 0 })
        #expect(try scene.dropped(comment: "uncommitted sockets are mute") == 0)
        #expect(try scene.network.proxy.run(["nft", "list", "tables"]).contains("baton_agent"))
        scene.director.releaseHeld()
        let body = try #require(client.response()?.body)
        #expect(String(decoding: body, as: UTF8.self).hasPrefix("origin /big.bin"))
        #expect(scene.spoken.isEmpty)
    }

    @Test(arguments: families) func aSegmentThatComesTooEarlyGetsNoReset(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        let client = try scene.connect()
        // A SYN and a segment of a connection that nobody has adopted, as if a director had sent them.
        let syn = try #require(
            scene.director.passed.first { $0.from == .client && ($0.segment?.flags ?? 0) & Segment.syn != 0 }?.segment)
        for flags in [Segment.syn, Segment.ack, Segment.ack | Segment.push, Segment.fin | Segment.ack] {
            let frame = syn.bare(flags: flags, sequence: syn.sequence &+ 1, acknowledgement: 1)
            scene.network.send(scene.network.addresses[.proxy]! + frame[6...], to: .proxy)
        }
        #expect(try eventually { try scene.dropped(comment: "SYN without a connection") == 1 })
        #expect(try eventually { try scene.dropped(comment: "segment without a socket") == 3 })
        #expect(scene.spoken.isEmpty)
        _ = client
    }

    @Test(arguments: families) func nobodyButTheOriginAnswersForItsAddress(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        _ = try scene.holdRequest("/big.bin")
        let before = scene.director.passed.count
        // Not even when the origin is silent.
        try scene.network.origin.ip("link", "set", "origin0", "down")
        let (from, target) = isV4 ? ("10.77.0.1", "10.77.0.80") : ("fd77::1", "fd77::80")
        try scene.network.client.ip("neigh", "flush", "dev", "client0")
        _ = try? scene.network.client.run(["ping", "-c", "1", "-W", "1", "-I", from, target])
        let answers = scene.director.passed.dropFirst(before).filter { passed in
            let isARP = passed.frame[12] == 0x08 && passed.frame[13] == 0x06 && passed.frame[21] == 2
            let isAdvertisement =
                passed.frame[12] == 0x86 && passed.frame[20] == 58 && passed.frame.count > 54 && passed.frame[54] == 136
            return passed.from == .proxy && (isARP || isAdvertisement)
        }
        #expect(answers.isEmpty)
        // It was asked.
        #expect(scene.director.passed.count > before)
    }

    /// Leaving repair takes SO_REUSEADDR away, and a socket without it would block the port.
    @Test func anAdoptedSocketLeavesItsPortToListeners() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        _ = try scene.holdRequest("/big.bin")
        let bound = try scene.network.proxy.inside {
            let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
            let any = Endpoint(IPAddress(v4: 0), port: 80)
            return any.withSocketAddress { bind(descriptor, $0, $1) } == 0 && listen(descriptor, 1) == 0
        }
        #expect(bound)
    }

    @Test func theSameTupleIsNotAdoptedTwice() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        _ = try scene.holdRequest("/big.bin")
        var connection = try #require(scene.director.connection)
        connection.psn = connection.psn + 1
        let request = Array(scene.get("/big.bin").utf8)
        scene.director.send(.transfer(Transfer(connection: connection, request: request)), transaction: 5_000)
        #expect(
            eventually {
                scene.director.frames.contains {
                    $0.message == .transferNACK(.tupleInUse, retryAfterMilliseconds: 0) && $0.transaction == 5_000
                }
            })
    }

    /// The kernel may still be sending what a closed socket was given.
    @Test func theRulesStayForConnectionsThatHaveJustEnded() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        scene.director.plan(.commit)
        let client = try scene.connect()
        client.send(scene.get("/", "Connection: close\r\n"))
        #expect(client.response() != nil)
        #expect(client.ending() == nil)
        scene.agent.stop()
        #expect(try scene.network.proxy.run(["nft", "list", "tables"]).contains("baton_agent"))
        #expect(scene.agent.log.contains("--remove-guard"))
        // The director has been told of the end before.
        let transfer = scene.director.transaction
        #expect(
            eventually {
                scene.director.frames.contains {
                    if case .terminate(let end) = $0.message { end.transfer == transfer } else { false }
                }
            })
    }

    @Test func theRulesGoWithACleanEndAndStayOtherwise() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        scene.agent.kill()
        #expect(try scene.network.proxy.run(["nft", "list", "tables"]).contains("baton_agent"))
        scene.agent = try TestAgent(scene.network.proxy, keys: scene.keys)
        #expect(scene.director.openChannel())
        scene.agent.stop()
        #expect(try !scene.network.proxy.run(["nft", "list", "tables"]).contains("baton_agent"))
        #expect(try !scene.network.proxy.run(["ip", "rule"]).contains("fwmark"))
        #expect(try !scene.network.proxy.run(["ip", "-6", "rule"]).contains("fwmark"))
    }
}

extension Scene {
    /// A connection whose request is held, and adopted.
    func holdRequest(_ path: String) throws -> TestClient {
        director.plan(.ask)
        let client = try connect()
        client.send(get(path))
        guard eventually({ director.answer != nil }) else { throw SystemFailure("no answer: \(agent.log)", code: 0) }
        return client
    }

    /// Packets that the guard's rule with this comment has dropped.
    func dropped(comment: String) throws -> Int {
        let rules = try network.proxy.run(["nft", "list", "ruleset"])
        let line = rules.split(separator: "\n").first { $0.contains(comment) } ?? ""
        let words = line.split(separator: " ")
        guard let place = words.firstIndex(of: "packets") else { return 0 }
        return Int(words[place + 1]) ?? 0
    }
}
