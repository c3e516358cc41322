import Testing
import Wire

/// SYNs that get no answer, and ACKs that are no answer to one: each with its reason, and the frame as it was.
@Suite struct HandshakeRefusalTests {
    private func refuses(_ frame: [UInt8], _ reason: HandshakeRefusal, _ note: Comment) {
        let (answer, after) = Responder().answer(frame)
        #expect(answer == .refused(reason), note)
        #expect(after == frame, note)
    }

    private func syn(_ isV6: Bool, _ adjust: (inout HandshakeSegment) -> Void) -> [UInt8] {
        var client = Client(windowScale: 7, sack: true, timestamps: true)
        client.isV6 = isV6
        var syn = client.syn
        adjust(&syn)
        return syn.bytes
    }

    @Test(arguments: [false, true]) func flagsThatOpenNothing(isV6: Bool) {
        for flags in UInt8.min...UInt8.max {
            let opens = flags & 0x17 == 0x02
            let frame = syn(isV6) { $0.flags = flags }
            if opens {
                #expect(Responder().answer(frame).0 != .refused(.flags))
            } else {
                refuses(frame, .flags, "flags \(flags)")
            }
        }
    }

    @Test func addressesThatAreNoHosts() {
        let v4: [[UInt8]] = [
            [0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [127, 255, 0, 1], [224, 0, 0, 1], [239, 1, 1, 1],
            [255, 255, 255, 255],
        ]
        let v6: [[UInt8]] = [
            .init(repeating: 0, count: 16), .init(repeating: 0, count: 15) + [1],
            [0xFF, 2] + .init(repeating: 1, count: 14),
            .init(repeating: 0, count: 10) + [0xFF, 0xFF, 198, 51, 100, 7],
        ]
        for address in v4 + v6 {
            let isV6 = address.count == 16
            refuses(syn(isV6) { $0.source = address }, .address, "from \(address)")
            refuses(syn(isV6) { $0.destination = address }, .address, "to \(address)")
        }
        for isV6 in [false, true] {
            refuses(syn(isV6) { $0.source = $0.destination }, .address, "to itself")
            refuses(syn(isV6) { $0.sourcePort = 0 }, .address, "from port 0")
            refuses(syn(isV6) { $0.sourceMAC[0] |= 1 }, .address, "from a group")
            refuses(syn(isV6) { $0.destinationMAC = .init(repeating: 0xFF, count: 6) }, .address, "to everybody")
        }
        // Hosts, whatever they look like.
        for address in [[240, 0, 0, 1], [223, 255, 255, 255], [126, 1, 1, 1], [128, 0, 0, 1], [1, 0, 0, 0]] as [[UInt8]]
        {
            #expect(Responder().answer(syn(false) { $0.source = address }).0 == .answered(length: 74), "\(address)")
        }
    }

    @Test(arguments: [false, true]) func optionsThatCannotBeAnswered(isV6: Bool) {
        let md5: [UInt8] = [19, 18] + .init(repeating: 3, count: 16) + [1, 1]
        let authentication: [UInt8] = [29, 16, 1, 1] + .init(repeating: 3, count: 12)
        let broken: [[UInt8]] = [
            [2, 4, 5, 0xB4, 8, 40, 0, 0], [1, 1, 1, 3], [3, 0, 7, 1], [3, 1, 7, 1], [2, 5, 5, 0xB4],
        ]
        for options in [md5, authentication] + broken {
            refuses(syn(isV6) { $0.options = options }, .options, "\(options)")
        }
    }

    /// One bit of a SYN changed on the way: wherever TCP's checksum or IPv4's reaches, no answer.
    @Test(arguments: [false, true]) func everyBitIsUnderAChecksum(isV6: Bool) {
        let frame = syn(isV6) { $0.payload = [1, 2, 3] }
        let network = 14
        // IPv6: traffic class, flow label and hop limit are under no checksum.
        let free = isV6 ? [14, 15, 16, 17, 21] : []
        for bit in network * 8..<frame.count * 8 where !free.contains(bit / 8) {
            var damaged = frame
            damaged[bit / 8] ^= 0x80 >> UInt8(bit % 8)
            let (answer, after) = Responder().answer(damaged)
            guard case .refused = answer else {
                Issue.record("bit \(bit): \(answer)")
                continue
            }
            #expect(after == damaged)
        }
        var wrong = frame
        wrong[frame.count - 1] ^= 1
        refuses(wrong, .checksum, "payload")
    }

    @Test(arguments: [false, true]) func piecesAndWhatIsNotTCP(isV6: Bool) {
        let whole = syn(isV6) { _ in }
        if !isV6 {
            for fragment in [[0x20, 0], [0, 1], [0x60, 0]] as [[UInt8]] {
                var piece = whole
                piece.replaceSubrange(20..<22, with: fragment)
                refuses(piece, .fragment, "\(fragment)")
                #expect(Responder().check(piece) == .refused(.fragment))
            }
        } else {
            var piece = whole
            piece[20] = 44
            refuses(piece, .fragment, "fragment header")
        }
        var other = whole
        other[isV6 ? 20 : 23] = 17
        refuses(other, .notTCP, "UDP")
        #expect(Responder().check(other) == .refused(.notTCP))
        for length in 0..<whole.count { refuses(Array(whole.prefix(length)), .notTCP, "cut to \(length)") }
    }

    /// What carries a cookie and is no ACK of a handshake all the same.
    @Test(arguments: [false, true]) func acknowledgementsThatComplete(isV6: Bool) throws {
        var client = Client(windowScale: 7, sack: true, timestamps: true)
        client.isV6 = isV6
        let responder = Responder()
        let answer = try #require(responder.answer(client.syn))
        let good = client.acknowledgement(of: answer, request: [1, 2, 3])
        for flags in UInt8.min...UInt8.max {
            var segment = good
            segment.flags = flags
            #expect((responder.check(segment) == .refused(.flags)) == (flags & 0x16 != 0x10), "flags \(flags)")
            #expect(responder.accepts(segment) == (flags & 0x16 == 0x10), "flags \(flags)")
        }
        var damaged = good.bytes
        damaged[damaged.count - 1] ^= 1
        #expect(responder.check(damaged) == .refused(.checksum))
        var malformed = good
        malformed.options = [8, 40, 1, 1]
        #expect(responder.check(malformed) == .refused(.options))
        // Timestamps were agreed on: without them it is somebody else's (RFC 7323 section 3.2).
        var bare = good
        bare.options = []
        #expect(responder.check(bare) == .refused(.cookie))
    }
}
