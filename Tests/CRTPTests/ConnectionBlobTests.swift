import CRTP
import Testing
import Wire

/// The bytes of a connection in a blob, and what is no connection.
@Suite struct ConnectionBlobTests {
    static func problem(_ bytes: [UInt8]) -> BlobProblem? {
        do throws(BlobProblem) {
            _ = try ConnectionBlob(decoding: bytes)
            return nil
        } catch {
            return error
        }
    }

    static func decoded(_ bytes: [UInt8]) -> ConnectionBlob? { try? ConnectionBlob(decoding: bytes) }

    /// With everything that may be in it.
    static var full: ConnectionBlob {
        ConnectionBlob(
            connection: transferV6().connection, received: Array("GET /next HTTP/1.1\r\n\r\n".utf8),
            sent: [UInt8](1...7), unsent: [UInt8](8...12), generation: 3,
            continuation: Continuation(
                request: Array("GET /ä HTTP/1.1\r\nHost: a\r\n\r\n".utf8), bodyBytesWritten: 70_000,
                documentBytes: 5_000_000_000, place: 70_000, modified: -1, entityTag: "\"ä-1\"",
                digest: [UInt8](0x20...0x3F),
                digestBytes: 65_536))
    }

    static func any(_ random: inout SeededGenerator) -> ConnectionBlob {
        func data() -> [UInt8] {
            random.chance(40) ? [] : random.bytes(Int.random(in: 1...300, using: &random))
        }
        var blob = ConnectionBlob(
            connection: random.chance(50) ? transferV4().connection : transferV6().connection, received: data(),
            sent: data(), unsent: data(), generation: UInt32(truncatingIfNeeded: random.next()))
        if random.chance(50) {
            blob.continuation = Continuation(
                request: data(), bodyBytesWritten: random.next(), documentBytes: random.next(),
                place: random.next(), modified: Int64(bitPattern: random.next()),
                entityTag: String(repeating: "\"é", count: Int.random(in: 0...85, using: &random)),
                digest: random.bytes(32), digestBytes: UInt32.random(in: 0...65_536, using: &random))
        }
        return blob
    }

    @Test func itComesBackAsItWas() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<2_000 {
            let blob = Self.any(&random)
            let bytes = blob.encode()
            #expect(bytes.count == blob.byteCount && Self.decoded(bytes) == blob, "seed \(seed)")
        }
        #expect(Self.decoded(Self.full.encode()) == Self.full)
        let bare = ConnectionBlob(connection: transferV4().connection)
        #expect(bare.encode().count == 16 + 8 + 76 && Self.decoded(bare.encode()) == bare)
    }

    @Test func theLongestIsAMebibyteAndAHead() {
        #expect(ConnectionBlob.longest == 1_114_112)
        var blob = Self.full
        blob.unsent = [UInt8](repeating: 0, count: 1 << 20)
        #expect(blob.encode().count <= ConnectionBlob.longest && Self.decoded(blob.encode()) == blob)
    }

    @Test func whatIsTooLongIsCut() {
        var blob = Self.full
        blob.continuation?.entityTag = String(repeating: "ä", count: 200)
        blob.continuation?.digest = [1, 2]
        blob.continuation?.digestBytes = 70_000
        let read = Self.decoded(blob.encode())?.continuation
        #expect(read?.entityTag == String(repeating: "ä", count: 127) && read?.digestBytes == 65_536)
        #expect(read?.digest == [1, 2] + [UInt8](repeating: 0, count: 30))
    }

    @Test func whatIsShorterIsNothing() {
        let bytes = Self.full.encode()
        for count in 0..<bytes.count {
            var shorter = Array(bytes[..<count])
            #expect(Self.problem(shorter) == (count < 16 ? .tooShort : .badLength))
            // The same with a length that is right.
            guard count >= 16 else { continue }
            shorter.replaceSubrange(8..<12, with: [0, 0, UInt8(count >> 8), UInt8(count & 0xFF)])
            let problem = Self.problem(shorter)
            // It may end between two sections, behind the connection's.
            #expect(problem == .badSection || problem == .badConnection || problem == nil, "\(count)")
            if problem == nil { #expect([100, 132, 148, 164].contains(count), "\(count)") }
        }
        #expect(Self.problem(bytes + [0]) == .badLength)
    }

    @Test func theFutureIsRefusedByName() {
        var bytes = Self.full.encode()
        for version in [0, 2, 3, 0x0101, 0xFFFF] as [UInt16] {
            bytes[4] = UInt8(version >> 8)
            bytes[5] = UInt8(version & 0xFF)
            #expect(Self.problem(bytes) == .unknownVersion(version))
        }
        // Whatever else it has by then.
        #expect(Self.problem(Array(bytes[..<16])) == .unknownVersion(0xFFFF))
        bytes[0] = 0
        #expect(Self.problem(bytes) == .badMagic)
    }

    /// `blob` with another section behind, and the length set.
    static func with(_ section: [UInt8], behind blob: ConnectionBlob = full) -> [UInt8] {
        var bytes = blob.encode() + section
        bytes.replaceSubrange(8..<12, with: [0, 0, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)])
        return bytes
    }

    @Test func sections() {
        #expect(Self.decoded(Self.with([0, 9, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0])) == Self.full, "unknown, not critical")
        #expect(Self.problem(Self.with([0x80, 9, 0, 0, 0, 0, 0, 0])) == .badSection, "unknown and critical")
        #expect(Self.problem(Self.with([0x80, 2, 0, 0, 0, 0, 0, 0])) == .badSection, "twice")
        #expect(Self.problem(Self.with([0, 2, 0, 0, 0, 0, 0, 0])) == .badSection, "twice, critical or not")
        #expect(Self.problem(Self.with([0, 9, 0, 0, 0, 0, 0, 1, 1, 0, 0, 1])) == .badSection, "padding")
        #expect(Self.problem(Self.with([0, 9, 0, 0, 0, 0, 0, 1, 1, 0, 0])) == .badSection, "less than its padding")
        #expect(Self.problem(Self.with([0, 9, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF])) == .badSection, "longer than the blob")
        #expect(Self.problem(Self.with([0, 9, 0, 0])) == .badSection)
        let headless: [UInt8] = [0x42, 0x54, 0x4E, 0x43, 0, 1, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0]
        #expect(Self.problem(headless) == .badConnection)
    }

    @Test func connectionsAndContinuationsThatCannotBe() {
        let bytes = Self.full.encode()
        func spoilt(_ offset: Int, _ value: UInt8) -> BlobProblem? {
            var other = bytes
            other[offset] = value
            return Self.problem(other)
        }
        let state = 16 + 8
        #expect(spoilt(state + 38, 17) == .badConnection, "UDP")
        #expect(spoilt(state + 36, 0x10) == .badConnection, "VLAN 4103")
        #expect(spoilt(state + 60, 15) == .badConnection && spoilt(state + 61, 15) == .badConnection)
        let continuation = 164 + 8
        #expect(spoilt(continuation + 32, 1) == .badContinuation, "more than 65,536 bytes")
        #expect(spoilt(continuation + 35, 1) == .badContinuation)
        #expect(spoilt(continuation + 36, 255) == .badContinuation, "a tag longer than the section")
        #expect(spoilt(continuation + 72, 0xFF) == .badContinuation, "not UTF-8")
        #expect(spoilt(continuation + 40, 9) == nil)
    }

    /// Whatever comes is read or refused; what is read is written again to what reads the same.
    @Test(arguments: 0..<8) func anythingIsReadOrRefused(_ round: Int) {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        var reasons: Set<String> = []
        for _ in 0..<3_000 {
            var bytes = Self.any(&random).encode()
            switch round % 4 {
            case 0: bytes = random.bytes(Int.random(in: 0...400, using: &random))
            case 1: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
            default:
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    bytes[Int.random(in: bytes.indices, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                }
            }
            if round >= 4, bytes.count >= 16 {
                bytes.replaceSubrange(0..<6, with: [0x42, 0x54, 0x4E, 0x43, 0, 1])
                bytes.replaceSubrange(8..<12, with: [0, 0, UInt8(bytes.count >> 8), UInt8(bytes.count & 0xFF)])
            }
            if let problem = Self.problem(bytes) {
                reasons.insert("\(problem)")
            } else if let blob = Self.decoded(bytes) {
                #expect(Self.decoded(blob.encode()) == blob, "seed \(seed)")
            }
        }
        #expect(!reasons.isEmpty, "seed \(seed)")
    }
}
