import Testing
import Wire

/// A cookie is good for whom it was made, for as long as it is meant to be, and for nothing else.
@Suite struct SYNCookieTests {
    private func clients() -> [Client] {
        [false, true].flatMap { isV6 in
            [false, true].map { timestamps in
                var client = Client(windowScale: 7, sack: true, timestamps: timestamps)
                client.isV6 = isV6
                client.tag = timestamps ? 7 : nil
                return client
            }
        }
    }

    private func handshake(_ client: Client, _ responder: Responder) throws -> HandshakeSegment {
        let answer = try #require(responder.answer(client.syn))
        let segment = client.acknowledgement(of: answer, request: [71, 69, 84])
        try #require(responder.accepts(segment))
        return segment
    }

    @Test func oneBitChangedIsAnotherConnection() throws {
        for client in clients() {
            let responder = Responder()
            let good = try handshake(client, responder)
            func refuses(_ note: Comment, _ change: (inout HandshakeSegment) -> Void) {
                var segment = good
                change(&segment)
                #expect(responder.check(segment) == .refused(.cookie), note)
            }
            for bit in 0..<32 {
                refuses("sequence \(bit)") { $0.sequence ^= 1 << bit }
                refuses("acknowledgement \(bit)") { $0.acknowledgement ^= 1 << bit }
            }
            for bit in 0..<16 {
                refuses("client's port \(bit)") { $0.sourcePort ^= 1 << bit }
                refuses("server's port \(bit)") { $0.destinationPort ^= 1 << bit }
            }
            for bit in 0..<good.source.count * 8 {
                refuses("client \(bit)") { $0.source[bit / 8] ^= 1 << (bit % 8) }
                refuses("server \(bit)") { $0.destination[bit / 8] ^= 1 << (bit % 8) }
            }
            for bit in 0..<12 { refuses("VLAN \(bit)") { $0.tag = ($0.tag ?? 0) ^ (1 << bit) } }
            // What the lowest bits of the timestamp carry.
            for bit in 0..<6 where client.timestamps { refuses("option \(bit)") { $0.options[11] ^= 1 << bit } }
        }
    }

    @Test func boundToTheOffer() throws {
        for client in clients() {
            let good = try handshake(client, Responder())
            let changes: [(inout HandshakeOffer) -> Void] = [
                { $0.maximumSegmentSize -= 1 }, { $0.window += 1 }, { $0.windowScale = 8 }, { $0.windowScale = 0xFF },
                { $0.sack = false }, { $0.timestamps = false }, { $0.ecn = false },
            ]
            for (index, change) in changes.enumerated() {
                var other = Responder()
                change(&other.offer)
                #expect(!other.accepts(good), "change \(index)")
            }
        }
    }

    @Test func anotherKeyKnowsNothingOfIt() throws {
        for client in clients() {
            let good = try handshake(client, Responder())
            for bit in 0..<128 as Range<UInt64> {
                var other = Responder()
                other.key = CookieKey(
                    secret: CookieSecret(
                        low: 0x0706_0504_0302_0100 ^ (bit < 64 ? 1 << bit : 0),
                        high: 0x0F0E_0D0C_0B0A_0908 ^ (bit < 64 ? 0 : 1 << (bit - 64))), minute: 1_000)
                #expect(other.check(good) == .refused(.cookie), "bit \(bit)")
            }
        }
    }

    /// Good in the minute that it was made in and in the next one; whether the secret changes or not.
    @Test(arguments: [false, true]) func goodForTwoMinutes(changesSecret: Bool) throws {
        for client in clients() {
            for start in [0, 1, 1_000, UInt32.max] as [UInt32] {
                var responder = Responder()
                responder.key = CookieKey(secret: CookieSecret(low: 1, high: 2), minute: start)
                let good = try handshake(client, responder)
                var latest = good
                for later in 1...9 as ClosedRange<UInt32> {
                    responder.key.advance(
                        to: start &+ later, secret: changesSecret ? CookieSecret(low: UInt64(later), high: 9) : nil)
                    #expect(responder.accepts(good) == (later == 1), "\(later) minutes after \(start)")
                    // The minute before is always good, and so is the present one.
                    #expect(responder.accepts(latest), "\(later) minutes after \(start)")
                    latest = try handshake(client, responder)
                }
            }
        }
    }

    /// A director that slept over a minute accepts nothing from before.
    @Test func aLeapIsTheEndOfAll() throws {
        for client in clients() {
            for leap in [2, 3, 60] as [UInt32] {
                var responder = Responder()
                let good = try handshake(client, responder)
                responder.key.advance(to: 1_000 + leap)
                #expect(!responder.accepts(good), "\(leap)")
            }
        }
    }

    /// A TSval comes back no older than a cookie may be, and not before it was told.
    @Test func echoesOfAnotherTime() throws {
        for client in clients() where client.timestamps {
            var responder = Responder()
            let good = try handshake(client, responder)
            for shift in [0, 64, 119_936] as [UInt32] {
                var older = good
                older.options.replaceSubrange(8..<12, with: big(echo(good) &- shift))
                #expect(responder.accepts(older), "\(shift) ms")
            }
            for shift in [UInt32.max - 63, 120_064, 1 << 30] {
                var other = good
                other.options.replaceSubrange(8..<12, with: big(echo(good) &- shift))
                #expect(responder.check(other) == .refused(.cookie), "\(shift) ms")
            }
            responder.milliseconds += 120_064
            #expect(responder.check(good) == .refused(.cookie))
        }
    }

    private func echo(_ segment: HandshakeSegment) -> UInt32 { UInt32(HandshakeSegment.number(segment.options, 8, 4)) }

    /// Of 2^32 numbers eight a minute are good, and no two clients' lie alike.
    @Test func numbersAreDistinct() throws {
        var seen: Set<UInt32> = []
        var differences: Set<UInt32> = []
        var count = 0
        for client in clients() {
            for minute in [1_000, 1_001] as [UInt32] {
                var previous: UInt32?
                for size in [216, 536, 1_240, 1_360, 1_400, 1_452, 1_460, 8_960] as [UInt16] {
                    var responder = Responder()
                    responder.key = CookieKey(secret: CookieSecret(low: 5, high: 6), minute: minute)
                    var other = client
                    other.segmentSize = size - (client.isV6 ? 20 : 0)
                    let sequence = try #require(responder.answer(other.syn)).sequence
                    #expect(sequence >> 31 == minute & 1)
                    seen.insert(sequence)
                    count += 1
                    if let previous { differences.insert((sequence &- previous) & 0x7FFF_FFFF) }
                    previous = sequence
                }
            }
        }
        #expect(seen.count == count)
        // One step for each of the clients and minutes.
        #expect(differences.count == 8)
    }

    /// Numbers drawn by chance: each is good with a probability of 2^-28, so of four millions 0.015 are.
    @Test(arguments: [false, true]) func chanceFindsNone(timestamps: Bool) {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        let responder = Responder()
        var segment = HandshakeSegment(isV6: false, flags: 0x10)
        if timestamps { segment.options = [1, 1, 8, 10, 0, 0, 0, 9] + big(responder.milliseconds) }
        var frame = segment.bytes
        let found = frame.withUnsafeMutableBytes { bytes in
            let base = bytes.baseAddress!
            let layout = PacketLayout(of: UnsafeRawPointer(base), length: bytes.count)
            var found = 0
            for _ in 0..<4_000_000 {
                // Sequence and acknowledgement number. The checksum is looked at only when the cookie is good.
                base.storeBytes(of: random.next(), toByteOffset: 38, as: UInt64.self)
                let outcome = CookieReturn.check(
                    UnsafeRawPointer(base), layout, offer: responder.offer, key: responder.key,
                    milliseconds: responder.milliseconds)
                if outcome != .refused(.cookie) { found += 1 }
            }
            return found
        }
        #expect(found <= 2, "seed \(seed)")
    }

    /// Every bit of the number but the minute's is set in about half of all cookies.
    @Test func bitsAreEven() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix64(seed: seed)
        var counts = [Int](repeating: 0, count: 31)
        let rounds = 8_000
        for round in 0..<rounds {
            var client = Client()
            client.isn = UInt32(round)
            var responder = Responder()
            responder.key = CookieKey(secret: CookieSecret(low: random.next(), high: random.next()), minute: 4)
            let sequence = try #require(responder.answer(client.syn)).sequence
            for bit in 0..<31 { counts[bit] += Int(sequence >> UInt32(bit) & 1) }
        }
        // Seven standard deviations.
        let allowed = Int(7 * Double(rounds).squareRoot() / 2)
        for bit in 0..<31 { #expect(abs(counts[bit] - rounds / 2) < allowed, "bit \(bit), seed \(seed)") }
    }
}
