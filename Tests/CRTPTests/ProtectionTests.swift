import CRTP
import Testing
import Wire

@Suite struct ProtectionTests {
    static func protection(_ protection: Protection, _ direction: Direction = .fromInitiator) -> FrameProtection {
        KeySchedule(testKeys).session(
            5, keyID: 1, protection: protection, initiatorNonce: [UInt8](0..<16), responderNonce: [UInt8](16..<32),
            direction: direction)!
    }

    static func header(_ message: Message, _ protection: Protection, sequence: UInt64 = 77) -> FrameHeader {
        FrameHeader(
            type: message.type.rawValue, keyID: 1, protection: protection, senderID: 1, session: 5, sequence: sequence,
            transaction: 3, attempt: 1)
    }

    static func frame(_ message: Message, _ protection: Protection) -> [UInt8] {
        FrameCodec.encode(message, header: header(message, protection), protection: Self.protection(protection))
    }

    static func open(_ datagram: [UInt8], _ protection: FrameProtection) -> DecodedBody? {
        guard case .header(let header) = datagram.withUnsafeBytes(FrameHeader.parse) else { return nil }
        guard header.protection == protection.protection else { return nil }
        return protection.open(datagram, sequence: header.sequence).map { FrameCodec.decode(header, body: $0) }
    }

    @Test(arguments: Protection.allCases) func aFrameComesBack(_ protection: Protection) {
        for message in [Message.transfer(transferV4()), .transfer(transferV6()), .transferACK, .firstByte] {
            let datagram = Self.frame(message, protection)
            #expect(Self.open(datagram, Self.protection(protection)) == .message(message, detail: 0))
        }
    }

    @Test(arguments: Protection.allCases) func everyFlippedBitIsRefused(_ protection: Protection) {
        let datagram = Self.frame(.transfer(transferV4()), protection)
        for index in datagram.indices {
            for bit in 0..<8 {
                var changed = datagram
                changed[index] ^= 1 << UInt8(bit)
                #expect(Self.open(changed, Self.protection(protection)) == nil, "byte \(index) bit \(bit)")
            }
        }
    }

    @Test(arguments: Protection.allCases) func everyPrefixIsRefused(_ protection: Protection) {
        let datagram = Self.frame(.transfer(transferV4()), protection)
        for count in 0..<datagram.count {
            var shorter = Array(datagram[..<count])
            #expect(Self.open(shorter, Self.protection(protection)) == nil)
            // Also when the header says that it is meant so.
            guard count >= 48 else { continue }
            shorter[4] = UInt8(count >> 8)
            shorter[5] = UInt8(count & 0xFF)
            #expect(Self.open(shorter, Self.protection(protection)) == nil)
        }
        #expect(Self.open(datagram + [0], Self.protection(protection)) == nil)
    }

    @Test(arguments: Protection.allCases) func otherKeysDoNotOpen(_ protection: Protection) {
        let datagram = Self.frame(.firstByte, protection)
        #expect(Self.open(datagram, Self.protection(protection, .fromResponder)) == nil)
        let schedule = KeySchedule(testKeys)
        func other(_ session: UInt32, _ keyID: UInt8, _ nonce: UInt8) -> FrameProtection {
            schedule.session(
                session, keyID: keyID, protection: protection, initiatorNonce: [UInt8](repeating: nonce, count: 16),
                responderNonce: [UInt8](16..<32), direction: .fromInitiator)!
        }
        #expect(Self.open(datagram, other(5, 1, 1)) == nil)
        #expect(Self.open(datagram, other(6, 1, 0)) == nil)
        #expect(Self.open(datagram, other(5, 2, 0)) == nil)
    }

    @Test func sealedFramesShowNothing() {
        let marker = Array("a-secret-cookie-value".utf8)
        let clear = Self.frame(.transfer(transferV4(request: marker)), .authenticated)
        let sealed = Self.frame(.transfer(transferV4(request: marker)), .sealed)
        func contains(_ bytes: [UInt8]) -> Bool { bytes.indices.contains { bytes[$0...].starts(with: marker) } }
        #expect(contains(clear) && !contains(sealed))
        #expect(clear.count == sealed.count)
    }

    @Test func shortKeysAreNoKeys() {
        let schedule = KeySchedule(KeyRing(keys: [1: [UInt8](repeating: 1, count: 15)], current: 1))
        #expect(!schedule.has(1))
        #expect(schedule.handshake(1, .fromInitiator) == nil)
    }

    @Test func headersAreStrict() {
        let good = Self.frame(.firstByte, .sealed)
        func parse(_ change: (inout [UInt8]) -> Void) -> FrameHeader.Parsing {
            var bytes = good
            change(&bytes)
            return bytes.withUnsafeBytes(FrameHeader.parse)
        }
        #expect(parse { _ in } != .malformed)
        #expect(parse { $0[0] = 0x24 } == .badVersion(2, isError: false))
        #expect(parse { $0.replaceSubrange(0..<2, with: [0x24, 4]) } == .badVersion(2, isError: true))
        #expect(parse { $0[0] = 0x15 } == .malformed)
        #expect(parse { $0[7] = 0 } == .malformed)
        #expect(parse { $0[7] = 3 } == .malformed)
        #expect(parse { $0[5] += 1 } == .malformed)
        #expect(parse { $0.removeAll() } == .malformed)
        #expect(parse { $0 = [0x14] } == .malformed)
        #expect(parse { $0 = [UInt8](repeating: 0x14, count: 2_000) } == .malformed)
    }

    /// The seam for streams: frames back to back are told apart by their length.
    @Test func framesInAStreamAreToldApart() {
        let frames = [Self.frame(.firstByte, .sealed), Self.frame(.transfer(transferV6()), .authenticated)]
        var stream = frames.flatMap { $0 }
        var found: [[UInt8]] = []
        while let length = stream.withUnsafeBytes(FrameHeader.frameLength), length > 0, stream.count >= length {
            found.append(Array(stream[..<length]))
            stream.removeFirst(length)
        }
        #expect(found == frames && stream.isEmpty)
        #expect([UInt8](repeating: 0, count: 6).withUnsafeBytes(FrameHeader.frameLength) == 0)
        #expect([UInt8](repeating: 0x14, count: 5).withUnsafeBytes(FrameHeader.frameLength) == nil)
    }
}

@Suite struct ReplayWindowTests {
    @Test func agreesWithASet() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<200 {
            var window = ReplayWindow()
            var seen: Set<UInt64> = []
            var highest: UInt64 = 0
            var center: UInt64 = 1
            for _ in 0..<400 {
                if random.chance(5) { center += UInt64.random(in: 0...3_000, using: &random) }
                let low = center > 1_100 ? center - 1_100 : 0
                let number = UInt64.random(in: low...center + 70, using: &random)
                let expected = number > 0 && number + 1_024 > highest && !seen.contains(number)
                let admitted = window.admit(number)
                #expect(admitted == expected, "seed \(seed)")
                if expected {
                    seen.insert(number)
                    highest = max(highest, number)
                }
            }
        }
    }

    @Test func theEdges() {
        var window = ReplayWindow()
        let highest: UInt64 = 100_000
        let steps: [(UInt64, Bool)] = [
            (highest, true), (highest - 1_023, true), (highest - 1_024, false), (highest, false), (0, false),
            (.max, true), (.max, false), (.max - 1_023, true), (.max - 1_024, false), (highest, false),
        ]
        for (number, expected) in steps {
            let admitted = window.admit(number)
            #expect(admitted == expected, "\(number)")
        }
    }
}
