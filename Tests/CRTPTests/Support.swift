import CRTP
import Testing
import Wire

/// SplitMix64: small, seedable, good enough for tests.
struct SeededGenerator: RandomNumberGenerator, Sendable {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
    }
    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

let directorEndpoint = Endpoint("10.0.0.1:4789")!
let agentEndpoint = Endpoint("10.0.0.2:4789")!
let testKeys = KeyRing(keys: [1: [UInt8](0x10...0x2F), 2: [UInt8](0x40...0x5F)], current: 1)

func describeAgent(epoch: UInt64 = 7) -> AgentDescription {
    AgentDescription(
        name: "proxy-ä", mac: MACAddress(0x0200_0000_0001), vlan: VLAN(42), mtu: 1_500, epoch: epoch, credits: 1_000,
        capabilities: [.ipv4, .ipv6, .http])
}

func transferV4(request: [UInt8] = Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)) -> Transfer {
    let key = FlowKey(
        client: IPAddress(v4: 0xC000_0201), clientPort: 51_324, server: IPAddress(v4: 0xC633_6450), serverPort: 80)
    return Transfer(
        connection: ConnectionState(
            key: key, psn: SequenceNumber(0x0102_0304), pan: SequenceNumber(0xFFFF_FFFE), clientWindow: 64_240,
            serverWindowEdge: SequenceNumber(0x0103_0304),
            options: NegotiatedOptions(
                clientMSS: 1_460, serverMSS: 1_440, clientWindowScale: 7, serverWindowScale: 9, windowScale: true,
                sack: true, timestamps: true),
            serverTimestamp: 1_000_000, clientTimestamp: 0xFFFF_FFF0, timestampAgeMicroseconds: 1_234, timeToLive: 63),
        request: request)
}

func transferV6() -> Transfer {
    var transfer = transferV4(request: Array("HEAD /ä HTTP/1.1\r\n".utf8))
    transfer.connection.key = FlowKey(
        client: IPAddress("2001:db8::1")!, clientPort: 1, server: IPAddress("2001:db8:0:1::80")!, serverPort: 443,
        vlan: VLAN(7))
    transfer.connection.options = NegotiatedOptions(clientMSS: 1_220, serverMSS: 0)
    transfer.isTruncated = true
    transfer.isHeld = false
    transfer.application = .tls
    transfer.wantsFirstByte = true
    transfer.validMicroseconds = 80_000
    return transfer
}

/// With a connection's name, and a rule's wishes.
func transferThatRequires() -> Transfer {
    var transfer = transferV4()
    transfer.connectionID = 0x0A0B_0C01_0000_004D
    transfer.requirements = Requirements(bandwidth: 5_000, delay: 20_000, trafficClass: 46)
    return transfer
}

func transferThatHandsBack() -> Transfer {
    var transfer = transferV4()
    transfer.handsBack = 77
    transfer.isAcknowledged = true
    return transfer
}

func transferThatGoesOn() -> Transfer {
    var transfer = transferV4()
    transfer.wantsFirstByte = true
    transfer.mayComeBack = true
    transfer.isAcknowledged = true
    return transfer
}

/// All that is needed to go on with it is in a blob.
func transferWithBlob() -> Transfer {
    var transfer = transferThatHandsBack()
    transfer.blob = BlobReference(identifier: 0xB10B_0001_0000_0007, length: 250, checksum: 0xD87B_4C74)
    return transfer
}

/// Both ends and the wire between them, with a clock and a network of the test's making.
struct Pair {
    var initiator: ChannelInitiator
    var responder: ChannelResponder
    var now: UInt64 = 1_000_000
    /// What is under way, with its time of arrival.
    var toAgent: [(at: UInt64, bytes: [UInt8])] = []
    var toDirector: [(at: UInt64, bytes: [UInt8])] = []
    var fromInitiator: [ChannelAction] = []
    var fromResponder: [ChannelAction] = []
    var random: SeededGenerator
    var lossPercent = 0
    var duplicatePercent = 0
    var maximumDelay: UInt64 = 0

    init(
        seed: UInt64 = 1, keys: KeyRing = testKeys, agentKeys: KeyRing? = nil,
        configuration: ChannelConfiguration = ChannelConfiguration(),
        agentConfiguration: ChannelConfiguration = ChannelConfiguration()
    ) {
        random = SeededGenerator(seed)
        initiator = ChannelInitiator(
            peer: agentEndpoint, keys: keys, senderID: 0x0A0B_0C01, epoch: 100, configuration: configuration,
            random: SeededGenerator(seed &+ 1))
        responder = ChannelResponder(
            keys: agentKeys ?? keys, description: describeAgent(), configuration: agentConfiguration,
            random: SeededGenerator(seed &+ 2))
    }

    mutating func carry(_ bytes: [UInt8], toAgent isToAgent: Bool) {
        let copies = random.chance(lossPercent) ? 0 : random.chance(duplicatePercent) ? 2 : 1
        for _ in 0..<copies {
            let arrival = now + (maximumDelay == 0 ? 0 : UInt64.random(in: 0...maximumDelay, using: &random))
            if isToAgent { toAgent.append((arrival, bytes)) } else { toDirector.append((arrival, bytes)) }
        }
    }

    /// Takes the machines' actions to the network and to the lists.
    mutating func collect() {
        for action in initiator.actions {
            if case .transmit(let bytes, _) = action {
                carry(bytes, toAgent: true)
            } else {
                fromInitiator.append(action)
            }
        }
        for action in responder.actions {
            if case .transmit(let bytes, _) = action {
                carry(bytes, toAgent: false)
            } else {
                fromResponder.append(action)
            }
        }
        initiator.actions = []
        responder.actions = []
    }

    /// Delivers what has arrived until nothing is due any more.
    mutating func settle() {
        collect()
        while let next = nextArrival, next.at <= now {
            if next.isToAgent {
                let bytes = toAgent.remove(at: next.index).bytes
                responder.receive(bytes, from: directorEndpoint, now: now)
            } else {
                let bytes = toDirector.remove(at: next.index).bytes
                initiator.receive(bytes, now: now)
            }
            collect()
        }
    }

    private var nextArrival: (at: UInt64, isToAgent: Bool, index: Int)? {
        let first = toAgent.indices.min { toAgent[$0].at < toAgent[$1].at }
        let second = toDirector.indices.min { toDirector[$0].at < toDirector[$1].at }
        if let first, second.map({ toAgent[first].at <= toDirector[$0].at }) ?? true {
            return (toAgent[first].at, true, first)
        }
        return second.map { (toDirector[$0].at, false, $0) }
    }

    /// Goes from deadline to deadline.
    mutating func run(for microseconds: UInt64) {
        let end = now + microseconds
        settle()
        while true {
            let times = [nextArrival?.at, initiator.nextDeadline, responder.nextDeadline]
            let next = times.compactMap { $0 }.min() ?? .max
            guard next <= end else { break }
            now = max(now, next)
            initiator.advance(to: now)
            responder.advance(to: now)
            settle()
        }
        now = end
        initiator.advance(to: now)
        responder.advance(to: now)
        settle()
    }

    mutating func start() {
        initiator.start(now: now)
        run(for: 1_000)
    }

    var isUp: Bool { initiator.state == .up && responder.directors == [directorEndpoint] }

    mutating func restartResponder(epoch: UInt64 = 8, keys: KeyRing = testKeys) {
        responder = ChannelResponder(
            keys: keys, description: describeAgent(epoch: epoch), random: SeededGenerator(random.next()))
    }

    mutating func restartInitiator(epoch: UInt64 = 101) {
        initiator = ChannelInitiator(
            peer: agentEndpoint, keys: testKeys, senderID: 0x0A0B_0C01, epoch: epoch,
            random: SeededGenerator(random.next()))
        initiator.start(now: now)
    }
}

extension ChannelAction {
    var isUp: Bool { if case .up = self { true } else { false } }
    var downReason: ChannelDown? { if case .down(_, let reason) = self { reason } else { nil } }
    var frame: Frame? { if case .received(let frame, _) = self { frame } else { nil } }
    var bytes: [UInt8]? { if case .transmit(let bytes, _) = self { bytes } else { nil } }
}
