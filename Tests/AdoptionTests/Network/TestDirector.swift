import Adoption
import CRTP
import Foundation
import Glibc
import Synchronization
import Wire

/// A director for tests: a switch between the three wires that can hold a request, ask the agent, and commit or
/// release, with everything that passed on record.
final class TestDirector: @unchecked Sendable {
    enum Plan: Sendable {
        /// Everything goes to the origin.
        case pass
        /// Hold the request, ask, and on ACK hand it to the proxy.
        case commit
        /// Hold and ask, and leave it at that until `release`, `commitHeld` or `cancelHeld`.
        case ask
    }

    struct Passed: Sendable {
        var from: TestNetwork.Port
        var frame: [UInt8]
        /// What had been decided for the flow when it came.
        var isCommitted: Bool
        var segment: Segment? { Segment(frame) }
    }

    /// A connection that the agent hands back with all that is under way.
    struct Offer: Sendable {
        var transaction: UInt32
        var transfer: Transfer
        var blob: [UInt8]
    }

    private struct State {
        var plan = Plan.pass
        var passed: [Passed] = []
        var frames: [Frame] = []
        var held: [[UInt8]] = []
        var request: [UInt8] = []
        var connection: ConnectionState?
        var serverScale: UInt8 = 0
        var isCommitted = false
        var answer: Message?
        var initiator: ChannelInitiator
        var transaction: UInt32 = 100
        /// What TRANSFER says instead of what the client said.
        var pretence: [UInt8]?
        var arriving = BlobReceiver()
        var leaving = BlobSender()
        var offer: Offer?
    }

    private let state: Mutex<State>
    private let network: TestNetwork
    private let channel: CInt
    private let agent: Endpoint
    private let service: UInt16 = 80
    private let stopped = Atomic<Bool>(false)
    private let over = OneTimeSignal()

    init(
        _ network: TestNetwork, keys: KeyRing, agent: Endpoint = Endpoint("127.0.0.1:7270")!, isForwarder: Bool = false
    ) throws {
        self.network = network
        self.agent = agent
        let own = Endpoint("127.0.0.1:7271")!
        channel = try network.proxy.inside { try DatagramSocket(own).descriptor }
        var initiator = ChannelInitiator(peer: agent, keys: keys, senderID: 7, epoch: .random(in: 1...UInt64.max))
        initiator.isForwarder = isForwarder
        state = Mutex(State(initiator: initiator))
        Adoption.Thread.detach("director") { self.run() }
    }

    func stop() {
        stopped.store(true, ordering: .relaxed)
        over.wait()
        close(channel)
    }

    // MARK: What tests say and ask

    func openChannel() -> Bool {
        state.withLock { $0.initiator.start(now: monotonicMicroseconds()) }
        return eventually { state.withLock { $0.initiator.state == .up } }
    }

    /// As a director that ends in good order.
    func closeChannel() { state.withLock { $0.initiator.stop(now: monotonicMicroseconds()) } }

    /// Also forgets the flow before.
    func plan(_ plan: Plan, pretending pretence: String? = nil) {
        state.withLock { state in
            state.pretence = pretence.map { Array($0.utf8) }
            state.plan = plan
            state.held = []
            state.request = []
            state.connection = nil
            state.isCommitted = false
            state.answer = nil
            state.transaction += 1
        }
    }

    var answer: Message? { state.withLock { $0.answer } }
    var transaction: UInt32 { state.withLock { $0.transaction } }
    var connection: ConnectionState? { state.withLock { $0.connection } }
    var passed: [Passed] { state.withLock { $0.passed } }
    /// Frames from the agent that were not about the channel itself.
    var frames: [Frame] { state.withLock { $0.frames } }
    func forget() { state.withLock { $0.passed = [] } }

    func send(_ message: Message, transaction: UInt32, attempt: UInt8 = 0) {
        state.withLock { state in
            if let bytes = state.initiator.send(Frame(message, transaction: transaction, attempt: attempt)) {
                transmit(bytes)
            }
        }
    }

    var offer: Offer? { state.withLock { $0.offer } }

    /// Asks for the connection that was committed last.
    func askBack() {
        guard let connection else { return }
        send(
            .terminate(Terminate(cause: .handBack, transfer: transaction, psn: connection.psn)),
            transaction: transaction)
    }

    /// Sends a blob, and a TRANSFER that names it as the connection's.
    func bring(_ blob: [UInt8], _ transfer: Transfer, transaction: UInt32) {
        var transfer = transfer
        transfer.blob = BlobReference(identifier: .random(in: 1...UInt64.max), of: blob)
        transfer.handsBack = 0
        transfer.isAcknowledged = true
        transfer.wantsFirstByte = true
        transfer.validMicroseconds = 5_000_000
        let identifier = transfer.blob!.identifier
        state.withLock { state in
            _ = state.leaving.send(blob, identifier: identifier, now: monotonicMicroseconds())
            state.transaction = transaction
            state.answer = nil
            carryOutBlobs(&state)
        }
        send(.transfer(transfer), transaction: transaction)
    }

    func commitHeld() { state.withLock { commit(&$0) } }

    /// To the origin after all.
    func releaseHeld() {
        state.withLock { state in
            for frame in state.held { network.send(frame, to: .origin) }
            state.held = []
            state.plan = .pass
        }
    }

    func reinitiate() { state.withLock { $0.initiator.reinitiate(now: monotonicMicroseconds()) } }

    // MARK: The switch

    private func run() {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let descriptors = TestNetwork.Port.allCases.map { network.sockets[$0]! } + [channel]
        var entries = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while !stopped.load(ordering: .relaxed) {
            poll(&entries, nfds_t(entries.count), 20)
            for port in TestNetwork.Port.allCases {
                while let frame = network.receive(port, &buffer) { state.withLock { pass(frame, from: port, &$0) } }
            }
            while true {
                let count = recv(channel, &buffer, buffer.count, CInt(MSG_DONTWAIT))
                guard count > 0 else { break }
                state.withLock { $0.initiator.receive(Array(buffer[..<count]), now: monotonicMicroseconds()) }
            }
            state.withLock { state in
                state.initiator.advance(to: monotonicMicroseconds())
                carryOut(&state)
                state.leaving.advance(to: monotonicMicroseconds())
                carryOutBlobs(&state)
            }
        }
        over.raise()
    }

    private func transmit(_ bytes: [UInt8]) {
        _ = agent.withSocketAddress { sendto(channel, bytes, bytes.count, 0, $0, $1) }
    }

    private func carryOut(_ state: inout State) {
        let actions = state.initiator.actions
        state.initiator.actions = []
        for action in actions {
            switch action {
            case .transmit(let bytes, _): transmit(bytes)
            case .received(let frame, _): receive(frame, &state)
            case .up, .down, .status: break
            }
        }
    }

    private func carryOutBlobs(_ state: inout State) {
        for case .send(let frame) in state.leaving.actions {
            if let bytes = state.initiator.send(frame) { transmit(bytes) }
        }
        state.leaving.actions = []
    }

    private func receive(_ frame: Frame, _ state: inout State) {
        state.frames.append(frame)
        switch frame.message {
        case .blob(let fragment):
            let now = monotonicMicroseconds()
            if let receipt = state.arriving.receive(fragment, attempt: frame.attempt, from: 0, now: now),
                let bytes = state.initiator.send(
                    Frame(.blobReceipt(receipt), transaction: frame.transaction, attempt: frame.attempt))
            {
                transmit(bytes)
            }
        case .blobReceipt(let receipt):
            state.leaving.receive(receipt, attempt: frame.attempt, now: monotonicMicroseconds())
            carryOutBlobs(&state)
        case .transfer(let transfer):
            if let blob = transfer.blob, let bytes = state.arriving.take(blob.identifier, now: monotonicMicroseconds())
            {
                state.offer = Offer(transaction: frame.transaction, transfer: transfer, blob: bytes)
            }
        case .transferACK where frame.transaction == state.transaction:
            state.answer = frame.message
            if state.plan == .commit { commit(&state) }
        case .transferNACK where frame.transaction == state.transaction:
            state.answer = frame.message
            if state.plan == .commit {
                for held in state.held { network.send(held, to: .origin) }
                state.held = []
                state.plan = .pass
            }
        case .terminate:
            let reply = Frame(.terminateResponse, transaction: frame.transaction, attempt: frame.attempt)
            if let bytes = state.initiator.send(reply) { transmit(bytes) }
        default: break
        }
    }

    private func commit(_ state: inout State) {
        guard !state.isCommitted, let first = state.held.first, let segment = Segment(first) else { return }
        state.isCommitted = true
        let reset = segment.bare(flags: Segment.rst, sequence: segment.sequence, acknowledgement: 0)
        network.send(reset, to: .origin)
        for frame in state.held { sendToProxy(frame) }
        state.held = []
    }

    private func sendToProxy(_ frame: [UInt8]) {
        network.send(network.addresses[.proxy]! + frame[6...], to: .proxy)
    }

    private func pass(_ frame: [UInt8], from port: TestNetwork.Port, _ state: inout State) {
        state.passed.append(Passed(from: port, frame: frame, isCommitted: state.isCommitted))
        if let segment = Segment(frame) {
            if segment.destination.port == service, port == .client { return passRequest(segment, &state) }
            if segment.source.port == service, port == .origin {
                learn(synACK: segment, &state)
                if state.isCommitted, segment.destination.port == state.connection?.key.clientPort { return }
            }
        }
        for other in TestNetwork.Port.allCases where other != port {
            let isGroup = frame[0] & 1 == 1
            if isGroup || Array(frame[..<6]) == network.addresses[other]! { network.send(frame, to: other) }
        }
    }

    private func passRequest(_ segment: Segment, _ state: inout State) {
        learn(syn: segment, &state)
        let isOfFlow = segment.source.port == state.connection?.key.clientPort
        if state.isCommitted, isOfFlow { return sendToProxy(segment.frame) }
        guard state.plan != .pass, isOfFlow, !segment.payload.isEmpty else {
            return network.send(segment.frame, to: .origin)
        }
        let expected = state.connection!.psn.value &+ UInt32(state.request.count)
        guard segment.sequence == expected else { return }
        state.held.append(segment.frame)
        state.request += segment.payload
        let isGreeting = state.request.starts(with: "EHLO".utf8) && state.request.last == 10
        guard state.request.suffix(4) == [13, 10, 13, 10] || state.request.first == 0x16 || isGreeting else { return }
        let transfer = Transfer(
            connection: state.connection!, request: state.pretence ?? state.request, application: .httpGet)
        if let bytes = state.initiator.send(Frame(.transfer(transfer), transaction: state.transaction)) {
            transmit(bytes)
        }
    }

    // MARK: The handshake

    private func learn(syn segment: Segment, _ state: inout State) {
        let options = segment.options
        if segment.flags & (Segment.syn | Segment.ack) == Segment.syn {
            let key = FlowKey(
                client: segment.source.address, clientPort: segment.source.port, server: segment.destination.address,
                serverPort: segment.destination.port)
            let mss = options[2].map { UInt16($0[0]) << 8 | UInt16($0[1]) } ?? 536
            let negotiated = NegotiatedOptions(
                clientMSS: mss, serverMSS: 0, clientWindowScale: options[3]?.first ?? 0,
                windowScale: options[3] != nil, sack: options[4] != nil, timestamps: options[8] != nil)
            state.connection = ConnectionState(
                key: key, psn: SequenceNumber(segment.sequence &+ 1), pan: SequenceNumber(0), clientWindow: 0,
                serverWindowEdge: SequenceNumber(0), options: negotiated)
        } else if var connection = state.connection, segment.source.port == connection.key.clientPort {
            connection.clientWindow = UInt32(segment.window) << UInt32(connection.options.clientWindowScale)
            if let timestamp = segment.timestamp { connection.clientTimestamp = timestamp }
            state.connection = connection
        }
    }

    private func learn(synACK segment: Segment, _ state: inout State) {
        guard var connection = state.connection, segment.destination.port == connection.key.clientPort else { return }
        defer { state.connection = connection }
        if let timestamp = segment.timestamp { connection.serverTimestamp = timestamp }
        guard segment.flags & Segment.syn != 0 else { return }
        let options = segment.options
        connection.pan = SequenceNumber(segment.sequence &+ 1)
        connection.serverWindowEdge = SequenceNumber(segment.acknowledgement &+ UInt32(segment.window))
        connection.options.serverWindowScale = options[3]?.first ?? 0
        connection.options.windowScale = connection.options.windowScale && options[3] != nil
        connection.options.sack = connection.options.sack && options[4] != nil
        connection.options.timestamps = connection.options.timestamps && options[8] != nil
    }
}
