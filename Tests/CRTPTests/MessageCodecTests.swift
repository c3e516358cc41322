import CRTP
import Testing
import Wire

@Suite struct MessageCodecTests {
    static func decode(_ message: Message, session: UInt32 = 9) -> DecodedBody {
        var body: [UInt8] = []
        MessageCodec.encode(message, into: &body)
        return decode(type: message.type.rawValue, session: session, body)
    }

    static func decode(type: UInt8, session: UInt32 = 9, _ body: [UInt8]) -> DecodedBody {
        body.withUnsafeBytes { MessageCodec.decode(type: type, session: session, body: $0) }
    }

    static func anyMessage(_ random: inout SeededGenerator) -> Message {
        func number<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type) -> T {
            random.chance(20)
                ? [0, 1, .max, .max - 1].randomElement(using: &random)! : T.random(in: .min ... .max, using: &random)
        }
        func key() -> FlowKey {
            let isV4 = random.chance(50)
            func address() -> IPAddress {
                isV4
                    ? IPAddress(v4: number(UInt32.self))
                    : IPAddress(high: 0x2001_0DB8_0000_0000 | UInt64(number(UInt32.self)), low: number(UInt64.self))
            }
            return FlowKey(
                client: address(), clientPort: number(UInt16.self), server: address(), serverPort: number(UInt16.self),
                vlan: random.chance(50) ? .untagged : VLAN(UInt16.random(in: 0..<4_096, using: &random)))
        }
        func transfer() -> Transfer {
            let options = NegotiatedOptions(
                clientMSS: number(UInt16.self), serverMSS: number(UInt16.self),
                clientWindowScale: .random(in: 0...14, using: &random),
                serverWindowScale: .random(in: 0...14, using: &random), windowScale: random.chance(50),
                sack: random.chance(50), timestamps: random.chance(50))
            let state = ConnectionState(
                key: key(), psn: SequenceNumber(number(UInt32.self)), pan: SequenceNumber(number(UInt32.self)),
                clientWindow: number(UInt32.self), serverWindowEdge: SequenceNumber(number(UInt32.self)),
                options: options, serverTimestamp: number(UInt32.self), clientTimestamp: number(UInt32.self),
                timestampAgeMicroseconds: number(UInt32.self), timeToLive: number(UInt8.self))
            return Transfer(
                connection: state, request: random.bytes(Int.random(in: 0...1_216, using: &random)),
                isTruncated: random.chance(50), isHeld: random.chance(50),
                application: [.httpGet, .httpOther, .tls, .smtp].randomElement(using: &random)!,
                validMicroseconds: number(UInt32.self), wantsFirstByte: random.chance(50))
        }
        func description() -> AgentDescription {
            let names = ["", "p1", "proxy-ä", String(repeating: "x", count: 63)]
            return AgentDescription(
                name: names.randomElement(using: &random)!, mac: MACAddress(number(UInt64.self)), vlan: VLAN(4_095),
                mtu: number(UInt16.self), epoch: number(UInt64.self), credits: number(UInt32.self),
                capabilities: Capabilities(rawValue: number(UInt32.self)))
        }
        switch MessageType.allCases.randomElement(using: &random)! {
        case .initiate:
            var initiate = Initiate(
                nonce: random.bytes(16), cookie: random.chance(50) ? random.bytes(24) : nil,
                epoch: number(UInt64.self), protection: Protection.allCases.randomElement(using: &random)!,
                keepaliveMicroseconds: max(1, number(UInt32.self)), detectMultiplier: max(1, number(UInt8.self)),
                wantsFlows: random.chance(50))
            initiate.isForwarder = random.chance(50)
            return .initiate(initiate)
        case .challenge: return .challenge(Challenge(nonce: random.bytes(16), cookie: random.bytes(24)))
        case .accept:
            return .accept(
                Accept(
                    session: 9, initiatorNonce: random.bytes(16), nonce: random.bytes(16),
                    protection: Protection.allCases.randomElement(using: &random)!, agent: description()))
        case .error: return .error(ErrorCode.allCases.randomElement(using: &random)!)
        case .keepalive:
            return .keepalive(Keepalive(algorithm: SelectionAlgorithm.allCases.randomElement(using: &random)!))
        case .keepaliveResponse:
            return .keepaliveResponse(
                AgentStatus(
                    connections: number(UInt32.self), credits: number(UInt32.self), processorLoad: number(UInt16.self),
                    memoryLoad: number(UInt16.self), isDraining: random.chance(50)))
        case .transfer:
            var transfer = transfer()
            transfer.generation = number(UInt16.self)
            if random.chance(30) {
                transfer.blob = BlobReference(
                    identifier: number(UInt64.self), length: number(UInt32.self), checksum: number(UInt32.self))
                transfer.request = Array(transfer.request.prefix(1_200))
            }
            return .transfer(transfer)
        case .handOff:
            var transfer = transfer()
            if transfer.application.isOverUDP { transfer.application = .httpGet }
            return .handOff(transfer, sentAt: number(UInt64.self))
        case .transferACK: return .transferACK
        case .transferNACK:
            return .transferNACK(
                NACKReason.allCases.randomElement(using: &random)!, retryAfterMilliseconds: number(UInt16.self))
        case .firstByte: return .firstByte
        case .terminate:
            return .terminate(
                Terminate(
                    cause: Terminate.Cause.allCases.randomElement(using: &random)!, transfer: number(UInt32.self),
                    psn: SequenceNumber(number(UInt32.self)), bytesSent: number(UInt64.self)))
        case .terminateResponse: return .terminateResponse
        case .flowInformation:
            return .flowInformation(
                key(), transfer: number(UInt32.self),
                label: random.chance(50)
                    ? FlowLabel(identifier: number(UInt32.self), generation: number(UInt32.self)) : nil)
        case .flowQuery: return .flowQuery(key())
        case .flowUnknown: return .flowUnknown(key())
        case .blob: return .blob(anyFragment(&random))
        case .blobReceipt:
            let states = [BlobReceipt.State.receiving, .complete] + BlobRefusal.allCases.map { .refused($0) }
            return .blobReceipt(
                BlobReceipt(
                    blob: number(UInt64.self), state: states.randomElement(using: &random)!,
                    index: number(UInt16.self), bitmap: random.bytes(Int.random(in: 0...1_216, using: &random))))
        case .flowInformationEnd: return .flowInformationEnd(count: number(UInt32.self))
        }
    }

    /// One that agrees with itself.
    static func anyFragment(_ random: inout SeededGenerator) -> BlobFragment {
        let fragmentBytes = Int.random(in: 1...1_216, using: &random)
        let length = Int.random(in: 0...min(fragmentBytes * 9_728, 1_114_112), using: &random)
        let count = max(1, (length + fragmentBytes - 1) / fragmentBytes)
        let index = random.chance(30) ? count - 1 : Int.random(in: 0..<count, using: &random)
        return BlobFragment(
            blob: random.next(), length: UInt32(length), checksum: UInt32(truncatingIfNeeded: random.next()),
            index: UInt16(index), count: UInt16(count), fragmentBytes: UInt16(fragmentBytes),
            bytes: random.bytes(index < count - 1 ? fragmentBytes : length - index * fragmentBytes))
    }

    @Test func everyMessageComesBackAsItWas() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<3_000 {
            let message = Self.anyMessage(&random)
            #expect(Self.decode(message) == .message(message, detail: 0), "seed \(seed)")
        }
    }

    @Test func aShorterBodyIsNeverAnother() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededGenerator(seed)
        for _ in 0..<300 {
            let message = Self.anyMessage(&random)
            var body: [UInt8] = []
            MessageCodec.encode(message, into: &body)
            for count in 0..<body.count {
                let shorter = Self.decode(type: message.type.rawValue, Array(body[..<count]))
                // A part that need not be there, at the end: without it, it is a message without that part.
                switch shorter {
                case .message(.initiate(let initiate), _):
                    #expect(count == 32 && initiate.cookie == nil, "seed \(seed)")
                case .message(.transfer(let transfer), _):
                    #expect(count == body.count - 20 && transfer.blob == nil, "seed \(seed)")
                case .message(.flowInformation(_, _, let label), _):
                    #expect(count == 48 && label == nil, "seed \(seed)")
                default: #expect(shorter == .malformed, "seed \(seed)")
                }
            }
        }
    }

    @Test func whatIsTooLongIsCut() {
        let long = transferV4(request: [UInt8](repeating: 65, count: 2_000))
        guard case .message(.transfer(let transfer), _) = Self.decode(.transfer(long)) else {
            Issue.record("not a transfer")
            return
        }
        #expect(transfer.request.count == 1_216 && transfer.isTruncated)

        var description = describeAgent()
        description.name = String(repeating: "ä", count: 40)
        let accept = Accept(session: 9, nonce: [UInt8](repeating: 0, count: 16), agent: description)
        guard case .message(.accept(let read), _) = Self.decode(.accept(accept)) else {
            Issue.record("not an accept")
            return
        }
        #expect(read.agent.name == String(repeating: "ä", count: 31))

        var beside = transferV4(request: [UInt8](repeating: 65, count: 1_201))
        beside.blob = BlobReference(identifier: 1, length: 2, checksum: 3)
        guard case .message(.transfer(let shortened), _) = Self.decode(.transfer(beside)) else {
            Issue.record("not a transfer")
            return
        }
        #expect(shortened.request.count == 1_200 && shortened.isTruncated && shortened.blob == beside.blob)
        #expect(FlowLabel(identifier: 0xABCD_EF12, generation: 1).identifier == 0xCD_EF12)
    }

    @Test func unknownPartsAndTypes() {
        var body: [UInt8] = []
        MessageCodec.encode(.keepalive(Keepalive(algorithm: .roundRobin)), into: &body)
        let keepalive = MessageType.keepalive.rawValue
        #expect(
            Self.decode(type: keepalive, body + [0x01, 0x23, 0, 1, 9, 0, 0, 0])
                == .message(.keepalive(Keepalive(algorithm: .roundRobin)), detail: 0))
        #expect(Self.decode(type: keepalive, body + [0x81, 0x23, 0, 1, 9, 0, 0, 0]) == .badTLV(0x123))
        // A part of another message is unknown here.
        #expect(Self.decode(type: keepalive, body + [0x80, 1, 0, 0]) == .badTLV(1))
        #expect(Self.decode(type: keepalive, body + [0, 4, 0, 4, 0, 0, 0, 0]) != .malformed)
        #expect(Self.decode(type: keepalive, body + [0, 4, 0, 5, 0, 0, 0, 0]) == .malformed)
        #expect(Self.decode(type: keepalive, body + [0, 4, 0, 1, 0, 0, 0, 1]) == .malformed)
        #expect(Self.decode(type: keepalive, body + [0, 4, 0]) == .malformed)
        #expect(Self.decode(type: 0x7F, []) == .unknownType)
        #expect(Self.decode(type: 0, []) == .unknownType)
        #expect(Self.decode(type: 0x80, []) == .ignored)
        var transfer: [UInt8] = []
        MessageCodec.encode(.transfer(transferV4()), into: &transfer)
        #expect(Self.decode(type: MessageType.transfer.rawValue, transfer + [0x80, 1, 0, 0]) == .malformed)
    }

    @Test func impossibleValuesAreRefused() {
        func spoil(_ message: Message, _ offset: Int, _ value: UInt8) -> DecodedBody {
            var body: [UInt8] = []
            MessageCodec.encode(message, into: &body)
            body[offset] = value
            return Self.decode(type: message.type.rawValue, body)
        }
        let transfer = Message.transfer(transferV4())
        #expect(spoil(transfer, 0, 0x20) == .malformed)  // one address of each family
        #expect(spoil(transfer, 36, 0x10) == .malformed)  // VLAN 4351
        #expect(spoil(transfer, 60, 15) == .malformed)  // window scale
        #expect(spoil(transfer, 61, 15) == .malformed)
        #expect(spoil(transfer, 80, 3) == .malformed)  // two applications
        #expect(spoil(transfer, 80, 0) == .malformed)
        #expect(spoil(transfer, 80, 0x10) == .malformed)
        #expect(spoil(.keepalive(Keepalive(algorithm: .roundRobin)), 0, 0) == .malformed)
        #expect(spoil(.error(.badMessage), 0, 0) == .malformed)
        #expect(spoil(.transferNACK(.busy, retryAfterMilliseconds: 1), 0, 99) == .malformed)
        let initiate = Message.initiate(Initiate(nonce: [UInt8](repeating: 1, count: 16), epoch: 1))
        #expect(spoil(initiate, 28, 0) == .malformed)
        #expect(spoil(initiate, 29, 3) == .malformed)
        let accept = Message.accept(
            Accept(session: 9, nonce: [UInt8](repeating: 0, count: 16), agent: describeAgent()))
        let receipt = Message.blobReceipt(BlobReceipt(blob: 1, state: .refused(.busy), index: 0))
        #expect(spoil(receipt, 8, 3) == .malformed && spoil(receipt, 9, 0) == .malformed)
        #expect(spoil(receipt, 9, 6) == .malformed && spoil(receipt, 9, 5) != .malformed)
        #expect(spoil(accept, 68, 10) == .malformed)  // a line feed in the name
        #expect(spoil(accept, 68, 0xFF) == .malformed)  // not UTF-8
        #expect(Self.decode(type: MessageType.accept.rawValue, session: 0, []) == .malformed)
    }

    @Test func fragmentsMustAgreeWithThemselves() {
        func read(_ change: (inout BlobFragment) -> Void) -> Bool {
            var fragment = BlobFragment(
                blob: 1, length: 250, checksum: 9, index: 2, count: 3, fragmentBytes: 100,
                bytes: [UInt8](repeating: 7, count: 50))
            change(&fragment)
            return Self.decode(.blob(fragment)) == .message(.blob(fragment), detail: 0)
        }
        #expect(read { _ in })
        #expect(!read { $0.index = 3 })
        #expect(!read { $0.index = 1 })
        #expect(!read { $0.count = 2 } && !read { $0.count = 4 } && !read { $0.count = 0 })
        #expect(!read { $0.fragmentBytes = 0 } && !read { $0.fragmentBytes = 101 })
        #expect(!read { $0.length = 251 } && !read { $0.length = 0 } && !read { $0.length = .max })
        #expect(!read { $0.bytes.append(1) } && !read { $0.bytes = [] })
        // An empty blob is one empty fragment.
        #expect(
            read {
                ($0.length, $0.index, $0.count, $0.bytes) = (0, 0, 1, [])
            })
        #expect(!read { ($0.length, $0.index, $0.count, $0.bytes) = (0, 0, 0, []) })
        // No more fragments than a receipt has bits.
        let byte = [UInt8](repeating: 7, count: 1)
        #expect(read { ($0.length, $0.index, $0.count, $0.fragmentBytes, $0.bytes) = (9_728, 9_727, 9_728, 1, byte) })
        #expect(!read { ($0.length, $0.index, $0.count, $0.fragmentBytes, $0.bytes) = (9_729, 9_728, 9_729, 1, byte) })
        #expect(!read { ($0.length, $0.index, $0.count, $0.fragmentBytes) = (1_217, 0, 1, 1_217) })
    }

    @Test func theLongestFramesFitADatagram() {
        var body: [UInt8] = []
        MessageCodec.encode(.transfer(transferV4(request: [UInt8](repeating: 0, count: 1_216))), into: &body)
        #expect(body.count + 48 == 1_356)
        #expect(body.count + 48 < ChannelConfiguration().initiateBytes)
        // With all parts it is still no longer than the INIT that was seen to pass.
        var longest = transferThatRequires()
        longest.request = [UInt8](repeating: 0, count: 1_216)
        #expect(MessageCodec.byteCount(.transfer(longest)) + 48 == 1_384)
        longest.blob = BlobReference(identifier: 1, length: 2, checksum: 3)
        #expect(MessageCodec.byteCount(.transfer(longest)) + 48 == 1_388)
        let fragment = BlobFragment(
            blob: 1, length: 1_216, checksum: 0, index: 0, count: 1, fragmentBytes: 1_216,
            bytes: [UInt8](repeating: 0, count: 1_216))
        #expect(MessageCodec.byteCount(.blob(fragment)) + 48 == 1_292)
        let receipt = BlobReceipt(
            blob: 1, state: .receiving, index: 0, bitmap: [UInt8](repeating: 0xFF, count: 1_216))
        #expect(MessageCodec.byteCount(.blobReceipt(receipt)) + 48 == 1_280)
    }
}
