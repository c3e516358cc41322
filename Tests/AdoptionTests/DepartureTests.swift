import Adoption
import CRTP
import Foundation
import Glibc
import Testing
import Wire

/// Connections that go, and come, with all that is under way on them: real sockets, one agent that is both ends.
@Suite(.serialized, .enabled(if: Namespace.isPossible && TestAgent.isBuilt)) struct DepartureTests {
    static let families = [true, false]

    @Test(arguments: families) func aDownloadGoesOnWhereItWas(isV4: Bool) throws {
        let scene = try Scene(isV4: isV4)
        defer { scene.remove() }
        let client = try scene.download("/big.bin")
        let offer = try scene.offered(client)
        let blob = try ConnectionBlob(decoding: offer.blob)
        let continuation = try #require(blob.continuation)
        #expect(continuation.bodyBytesWritten > 0 && continuation.bodyBytesWritten < scene.agent.content.count)
        #expect(continuation.place == continuation.bodyBytesWritten)
        try scene.leave(offer)
        // Whatever it has still to say, it does not say it before it is told to.
        let before = scene.spoken.count
        #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
        #expect(scene.spoken.count == before)
        scene.director.send(.firstByte, transaction: scene.director.transaction)
        let response = try #require(client.response())
        #expect(response.body == scene.agent.content)
        #expect(scene.spoken.allSatisfy { $0.flags & (Segment.syn | Segment.fin | Segment.rst) == 0 })
        // One line, of the whole.
        #expect(eventually { scene.agent.accessLog.contains(" 200 \(scene.agent.content.count) ") })
        #expect(scene.agent.accessLog.split(separator: "\n").count == 1)
        client.send(scene.get("/"))
        #expect(client.response()?.body == Array("hello\n".utf8))
    }

    /// The other proxy has no answer to repeat: what the client is still to get of the last one goes along.
    @Test func betweenTwoRequests() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/")
        #expect(client.response()?.body == Array("hello\n".utf8))
        let offer = try scene.offered(client)
        let blob = try ConnectionBlob(decoding: offer.blob)
        #expect(blob.continuation == nil && blob.received.isEmpty)
        try scene.leave(offer)
        // Unanswered: it comes again, to whoever goes on.
        client.send(scene.get("/big.bin", "Range: bytes=5-9\r\n"))
        #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
        scene.director.send(.firstByte, transaction: scene.director.transaction)
        #expect(client.response()?.body == Array(scene.agent.content[5...9]))
    }

    /// Ranges, and what is made of them, are made again at the other end.
    @Test func severalRangesGoOn() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/big.bin", "Range: bytes=0-1399999,1500000-2899999\r\n")
        let offer = try scene.offered(client)
        try scene.leave(offer)
        #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
        scene.director.send(.firstByte, transaction: scene.director.transaction)
        let response = try #require(client.response())
        let content = scene.agent.content
        let first = try #require(response.body.firstRange(of: content[..<1_400_000]))
        let second = try #require(response.body[first.upperBound...].firstRange(of: content[1_500_000..<2_900_000]))
        #expect(response.body[second.upperBound...].elementsEqual("\r\n--baton-7e5d1c94b8a2f306--\r\n".utf8))
    }

    @Test func anOfferThatComesToNothingChangesNothing() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/big.bin")
        let offer = try scene.offered(client)
        scene.director.send(.transferNACK(.notFound, retryAfterMilliseconds: 0), transaction: offer.transaction)
        #expect(client.response()?.body == scene.agent.content)
        // It may be asked for again.
        client.send(scene.get("/"))
        #expect(client.response() != nil)
        #expect(try scene.offered(client).transaction != offer.transaction)
    }

    /// The client ends its side while its connection is on offer: nobody acknowledges that, so it says so again to
    /// whoever has the connection afterwards, and gets what it has asked for.
    @Test func aClientThatEndsItsSideMeanwhileGetsTheRest() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/big.bin")
        let offer = try scene.offered(client)
        shutdown(client.descriptor, CInt(SHUT_WR))
        #expect(scene.hasHeardOfItsEnd())
        scene.director.send(.transferNACK(.notFound, retryAfterMilliseconds: 0), transaction: offer.transaction)
        #expect(client.response()?.body == scene.agent.content)
        #expect(client.ending() == nil)
    }

    /// The same after a last request that came while its connection was on offer.
    @Test(arguments: [false, true]) func whatIsAskedMeanwhileIsAnsweredOnce(isMoved: Bool) throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/")
        #expect(client.response() != nil)
        let offer = try scene.offered(client)
        client.send(scene.get("/big.bin", "Range: bytes=5-9\r\n"))
        shutdown(client.descriptor, CInt(SHUT_WR))
        #expect(scene.hasHeardOfItsEnd())
        if isMoved {
            try scene.leave(offer)
            #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
            scene.director.send(.firstByte, transaction: scene.director.transaction)
        } else {
            scene.director.send(.transferNACK(.notFound, retryAfterMilliseconds: 0), transaction: offer.transaction)
        }
        #expect(client.response()?.body == Array(scene.agent.content[5...9]))
        #expect(client.ending() == nil)
        #expect(eventually { scene.agent.accessLog.split(separator: "\n").count == 2 })
    }

    /// The channel ends while the connection is on offer, so nobody can say whose it is. A director lets a reset through only
    /// if it is this agent's still; where forwarders stand, none is on that way.
    @Test(arguments: [false, true]) func aLostOfferIsResetWhereADirectorSeesIt(isForwarder: Bool) throws {
        let scene = try Scene(isV4: true, isForwarder: isForwarder)
        defer { scene.remove() }
        let client = try scene.download("/big.bin")
        _ = try scene.offered(client)
        scene.director.closeChannel()
        #expect(eventually { scene.agent.log.contains("handed back, and lost") })
        #expect(eventually { (try? scene.network.proxy.run(["ss", "-Htan"]).isEmpty) == true })
        #expect(eventually { scene.agent.log.contains("connection over") })
        #expect(scene.spoken.contains { $0.flags & Segment.rst != 0 } == !isForwarder)
        #expect(scene.spoken.allSatisfy { $0.flags & Segment.fin == 0 })
    }

    /// It is known by its last request, which another process has answered.
    @Test func whatHasComeOverGoesOnBeforeItIsAskedAnything() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/")
        #expect(client.response() != nil)
        for turn in 2...4 {
            let offer = try scene.offered(client)
            #expect(offer.transfer.request == Array(scene.get("/").utf8))
            try scene.leave(offer)
            #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
            scene.director.send(.firstByte, transaction: scene.director.transaction)
            #expect(eventually { scene.agent.log.ranges(of: "info committed").count == turn })
        }
        client.send(scene.get("/"))
        #expect(client.response()?.body == Array("hello\n".utf8))
    }

    /// Its director chooses by a shortened head; the answer is made again from all of it.
    @Test func aLongHeadGoesAlongWhole() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let long = "X-Trace: \(String(repeating: "t", count: 9_000))\r\n"
        scene.director.plan(.commit, pretending: scene.get("/big.bin"))
        let client = try scene.connect()
        client.send(scene.get("/big.bin", long + "Range: bytes=7-2900000\r\n"))
        #expect(eventually { scene.director.answer == .transferACK })
        let offer = try scene.offered(client)
        #expect(offer.transfer.request == Array(scene.get("/big.bin", "Range: bytes=7-2900000\r\n").utf8))
        try scene.leave(offer)
        #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
        scene.director.send(.firstByte, transaction: scene.director.transaction)
        #expect(client.response()?.body == Array(scene.agent.content[7...2_900_000]))
    }

    /// No TRANSFER has room for what has to be said of it: it is served to its end where it is.
    @Test func aHeadThatCannotBeShortenedStays() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        scene.director.plan(.commit, pretending: scene.get("/big.bin"))
        let client = try scene.connect()
        let spaces = String(repeating: " ", count: 1_300)
        client.send("GET /big.bin HTTP/1.1\r\nHost:\(spaces)www.example.com\r\n\r\n")
        #expect(eventually { scene.director.answer == .transferACK })
        client.read(atMost: 16_384)
        scene.director.askBack()
        let body = client.response()?.body
        #expect(body?.count == scene.agent.content.count && scene.director.offer == nil)
    }

    /// Gigabytes of the answer are left out at once.
    @Test func farInsideAFile() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let bytes = TestAgent.hugeBytes
        let client = try scene.download("/huge.bin")
        let offer = try scene.offered(client)
        try scene.leave(offer)
        var blob = try ConnectionBlob(decoding: offer.blob)
        let left = 1_000_000
        let written = Int(blob.continuation!.bodyBytesWritten)
        blob.continuation!.bodyBytesWritten = UInt64(bytes - left)
        blob.continuation!.place = UInt64(bytes - left)
        #expect(scene.come(blob.encode(), offer.transfer) == .transferACK)
        scene.director.send(.firstByte, transaction: scene.director.transaction)
        // What the client has by then, and the file's end; and the connection is there for more.
        #expect(client.body(of: written + left)?.allSatisfy { $0 == 0 } == true)
        client.send(scene.get("/"))
        #expect(client.response()?.body == Array("hello\n".utf8))
    }

    /// Nothing is adopted, and the reason is told.
    @Test func whatCannotBeGoneOnWithIsRefused() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/big.bin")
        let offer = try scene.offered(client)
        try scene.leave(offer)
        let good = try ConnectionBlob(decoding: offer.blob)
        func changed(_ change: (inout ConnectionBlob) -> Void) -> [UInt8] {
            var blob = good
            change(&blob)
            return blob.encode()
        }
        var future = offer.blob
        future[5] = 2
        let wrong: [(name: String, [UInt8], NACKReason)] = [
            ("nothing", [], .badTLV),
            ("noise", (0..<4_000).map { _ in UInt8.random(in: .min ... .max) }, .badTLV),
            ("cut", Array(offer.blob.dropLast(9)), .badTLV),
            ("from the future", future, .badTLV),
            ("another connection", changed { $0.connection.key.clientPort ^= 1 }, .badTLV),
            ("another segment size", changed { $0.connection.options.clientMSS = 1 }, .badTLV),
            ("an older file", changed { $0.continuation!.modified -= 1 }, .unknownFlow),
            ("a longer file", changed { $0.continuation!.documentBytes += 1 }, .unknownFlow),
            ("other bytes", changed { $0.continuation!.digest[0] ^= 1 }, .unknownFlow),
            ("behind the end", changed { $0.continuation!.place = .max }, .unknownFlow),
            ("no file", changed { $0.continuation!.request = Array(scene.get("/none").utf8) }, .notFound),
        ]
        for (name, blob, reason) in wrong {
            let answer = scene.come(blob, offer.transfer)
            #expect(answer == .transferNACK(reason, retryAfterMilliseconds: 0), "\(name)")
            #expect(try scene.network.proxy.run(["ss", "-Htan"]).isEmpty, "\(name)")
        }
        #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
        scene.director.send(.firstByte, transaction: scene.director.transaction)
        #expect(client.response()?.body == scene.agent.content)
    }

    /// One whose bytes are not what its checksum says, one that is too long, and one that contradicts itself.
    @Test func blobsThatAreNotTakenAreToldByReason() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        func fragment(_ blob: UInt64, length: UInt32, of count: UInt16) -> Message {
            .blob(
                BlobFragment(
                    blob: blob, length: length, checksum: 7, index: 0, count: count, fragmentBytes: 1_216,
                    bytes: [UInt8](repeating: 1, count: min(Int(length), 1_216))))
        }
        scene.director.send(fragment(1, length: 100, of: 1), transaction: 1)
        scene.director.send(fragment(2, length: 1_216 * 2_000, of: 2_000), transaction: 2)
        scene.director.send(fragment(3, length: 1_216 * 3, of: 3), transaction: 3)
        scene.director.send(fragment(3, length: 1_216 * 4, of: 4), transaction: 3)
        let told = ["blobs not taken", "checksum_failures", "refused_too_big", "contradictions"]
        #expect(eventually { told.allSatisfy { scene.agent.log.contains($0) } }, "\(scene.agent.log)")
    }

    /// As long as nobody has told it to begin, an adoption is undone without a trace.
    @Test func aDownloadThatIsCalledBackIsSilent() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.download("/big.bin")
        let offer = try scene.offered(client)
        try scene.leave(offer)
        let before = scene.spoken.count
        #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
        let cancel = Terminate(
            cause: .cancel, transfer: scene.director.transaction, psn: offer.transfer.connection.psn)
        scene.director.send(.terminate(cancel), transaction: 9_001)
        #expect(eventually { (try? scene.network.proxy.run(["ss", "-Htan"]).isEmpty) == true })
        #expect(scene.spoken.count == before)
        #expect(scene.come(offer.blob, offer.transfer) == .transferACK)
        scene.director.send(.firstByte, transaction: scene.director.transaction)
        #expect(client.response()?.body == scene.agent.content)
    }
}

extension Scene {
    /// A connection that the agent serves.
    func download(_ path: String, _ fields: String = "") throws -> TestClient {
        director.plan(.commit)
        let client = try connect()
        client.send(get(path, fields))
        guard eventually({ director.answer == .transferACK }) else { throw SystemFailure("\(agent.log)", code: 0) }
        return client
    }

    /// What the agent offers when it is asked for the connection. The client reads a little meanwhile, so that there is
    /// always something under way.
    func offered(_ client: TestClient) throws -> TestDirector.Offer {
        let former = director.offer?.transaction
        var askAt: UInt64 = 0
        let isOffered = eventually {
            // The request may not have been read yet.
            if monotonicMicroseconds() >= askAt {
                director.askBack()
                askAt = monotonicMicroseconds() + 100_000
            }
            client.read(atMost: 4_096)
            return director.offer.map { $0.transaction != former } == true
        }
        if isOffered, let offer = director.offer { return offer }
        throw SystemFailure("no offer: \(agent.log)", code: 0)
    }

    /// The client's FIN has reached the agent's kernel.
    func hasHeardOfItsEnd() -> Bool {
        eventually { (try? network.proxy.run(["ss", "-Htan"]).contains("CLOSE-WAIT")) == true }
    }

    /// It is another's: the agent's socket is gone without a word.
    func leave(_ offer: TestDirector.Offer) throws {
        let before = spoken.count
        director.send(.transferACK, transaction: offer.transaction)
        guard eventually({ (try? network.proxy.run(["ss", "-Htan"]).isEmpty) == true }), spoken.count == before else {
            throw SystemFailure("it does not leave silently: \(agent.log)", code: 0)
        }
    }

    func come(_ blob: [UInt8], _ transfer: Transfer) -> Message? {
        director.bring(blob, transfer, transaction: director.transaction + 1)
        _ = eventually { director.answer != nil }
        return director.answer
    }
}
