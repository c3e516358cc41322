import ArgumentParser
import CRTP
import Wire

/// Blobs from one end of a channel to the other, in memory: what reliability costs beside sealing and opening alone.
struct Blobs: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Brings blobs over a channel, and seals and opens frames with as many bytes, in turns.")

    @Option(help: "Bytes of a blob.") var bytes = 65_536
    @Option(help: "Seconds of one turn.") var turn = 0.25
    @Option(help: "Pairs of turns.") var turns = 8

    func run() throws {
        var channel = MemoryChannel()
        let blob = [UInt8](unsafeUninitializedCapacity: bytes) { buffer, count in
            for index in 0..<bytes { buffer[index] = UInt8(truncatingIfNeeded: index &* 31 ^ index >> 8) }
            count = bytes
        }
        var rates = (blobs: [Double](), sealed: [Double]())
        // The first pair warms up.
        for number in 0...turns {
            let blobs = measure { channel.bring(blob) }
            let sealed = measure { channel.sealAndOpen(blob) }
            if number > 0 {
                rates.blobs.append(blobs)
                rates.sealed.append(sealed)
            }
        }
        let middle = rates.blobs.count / 2
        let blobsPerSecond = rates.blobs.sorted()[middle]
        try printLine(
            Outcome(
                blobsPerSecond: blobsPerSecond, sealedPerSecond: rates.sealed.sorted()[middle],
                microsecondsPerBlob: 1e6 / blobsPerSecond, framesPerBlob: channel.framesOfLast))
    }

    private func measure(_ once: () -> Void) -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        var count = 0
        repeat {
            once()
            count += 1
        } while start.duration(to: clock.now) < .seconds(turn)
        let took = start.duration(to: clock.now).components
        return Double(count) / (Double(took.seconds) + Double(took.attoseconds) / 1e18)
    }

    struct Outcome: Encodable {
        var blobsPerSecond: Double
        /// As many bytes in frames of the same size, sealed and opened and nothing else.
        var sealedPerSecond: Double
        /// Between two ends that are quick to answer: what a blob adds to a move, beside the way.
        var microsecondsPerBlob: Double
        /// Both ways.
        var framesPerBlob: Int
    }
}

/// Both ends of a channel whose datagrams arrive at once.
private struct MemoryChannel {
    private static let agent = Endpoint("192.0.2.11:7443")!
    private static let director = Endpoint("192.0.2.1:5000")!
    private static let fragmentBytes = BlobSender.fragmentBytes(initiateBytes: ChannelConfiguration().initiateBytes)

    private var initiator: ChannelInitiator
    private var responder: ChannelResponder
    private var sender = BlobSender()
    private var receiver = BlobReceiver()
    private var now: UInt64 = 1_000_000
    private var number: UInt64 = 0
    private(set) var framesOfLast = 0

    init() {
        let keys = KeyRing(keys: [1: [UInt8](repeating: 7, count: 32)], current: 1)
        initiator = ChannelInitiator(peer: Self.agent, keys: keys, senderID: 1, epoch: 1)
        responder = ChannelResponder(
            keys: keys,
            description: AgentDescription(
                name: "agent", mac: MACAddress(0x0200_0000_00F0), epoch: 1, credits: 1, capabilities: [.blobs]))
        initiator.start(now: now)
        while initiator.state != .up { exchange() }
    }

    /// What one end wants sent reaches the other. Gives the frames that came, at either.
    @discardableResult
    private mutating func exchange() -> [Frame] {
        var frames: [Frame] = []
        for action in initiator.actions {
            switch action {
            case .transmit(let bytes, _): responder.receive(bytes, from: Self.director, now: now)
            case .received(let frame, _): frames.append(frame)
            case .up, .down, .status: break
            }
        }
        initiator.actions.removeAll(keepingCapacity: true)
        for action in responder.actions {
            switch action {
            case .transmit(let bytes, _): initiator.receive(bytes, now: now)
            case .received(let frame, _): frames.append(frame)
            case .up, .down, .status: break
            }
        }
        responder.actions.removeAll(keepingCapacity: true)
        return frames
    }

    mutating func bring(_ blob: [UInt8]) {
        number += 1
        framesOfLast = 0
        _ = sender.send(blob, identifier: number, now: now)
        var isDelivered = false
        while !isDelivered {
            let wanted = sender.actions
            sender.actions.removeAll(keepingCapacity: true)
            for action in wanted {
                switch action {
                case .send(let frame):
                    framesOfLast += 1
                    if let bytes = initiator.send(frame) { responder.receive(bytes, from: Self.director, now: now) }
                case .delivered: isDelivered = true
                case .failed: preconditionFailure("nothing is lost here")
                }
            }
            for frame in exchange() {
                switch frame.message {
                case .blob(let fragment):
                    let receipt = receiver.receive(fragment, attempt: frame.attempt, from: 0, now: now)
                    guard let receipt,
                        let bytes = responder.send(
                            Frame(.blobReceipt(receipt), transaction: frame.transaction, attempt: frame.attempt),
                            to: Self.director)
                    else { continue }
                    framesOfLast += 1
                    initiator.receive(bytes, now: now)
                case .blobReceipt(let receipt): sender.receive(receipt, attempt: frame.attempt, now: now)
                default: break
                }
            }
            now += 1
        }
        _ = receiver.take(number, now: now)
    }

    /// The same bytes in single frames that nobody keeps.
    mutating func sealAndOpen(_ blob: [UInt8]) {
        let count = (blob.count + Self.fragmentBytes - 1) / Self.fragmentBytes
        for index in 0..<count {
            let bytes = Array(blob[index * Self.fragmentBytes..<min((index + 1) * Self.fragmentBytes, blob.count)])
            let fragment = BlobFragment(
                blob: 0, length: UInt32(blob.count), checksum: 0, index: UInt16(index), count: UInt16(count),
                fragmentBytes: UInt16(Self.fragmentBytes), bytes: bytes)
            if let sealed = initiator.send(Frame(.blob(fragment), transaction: UInt32(index))) {
                responder.receive(sealed, from: Self.director, now: now)
                responder.actions.removeAll(keepingCapacity: true)
            }
        }
        now += 1
    }
}
