import CRTP
import Control
import InterCore
import Wire

/// Enough of an agent to answer a director: adopts what it likes, is mute until the request comes, forgets on
/// TERMINATE, and repeats FLOW_DONE until it is answered.
struct FakeAgent {
    struct Adoption {
        var psn: SequenceNumber
        var key: FlowKey
        var isCommitted = false
        var adoptedAt: UInt64
        var doneRepeatAt: UInt64?
        var connection: ConnectionState?
        var mayComeBack = false
        /// The request came with TRANSFER: the director's FIRST_BYTE is the commit.
        var hasRequest = false
        /// Handed back by this offer: mute until it is known whose it is.
        var offer: UInt32?

        /// Whoever serves it answers its client.
        var speaks: Bool { isCommitted && offer == nil && doneRepeatAt == nil }
    }

    struct Offer {
        let transfer: UInt32
        var frame: Frame
        var begun: UInt64
        var next: UInt64
        var delay: UInt64 = 20_000
        /// What goes along, as long as it has not arrived.
        var blob: UInt64?
        var patience: UInt64 = 150_000
    }

    let endpoint: Endpoint
    let director: Endpoint
    let keys: KeyRing
    var responder: ChannelResponder
    var adoptions: [UInt32: Adoption] = [:]
    /// Answers already given, to be repeated (a TRANSFER may come twice).
    var answers: [UInt32: Message] = [:]
    /// TERMINATEs for transfers that this agent had never heard of.
    var terminated: Set<UInt32> = []
    /// Forgets TERMINATEs of unknown transfers, so that a TRANSFER that comes after its own TERMINATE is adopted.
    let isForgetful: Bool
    let credits: UInt32
    var epoch: UInt64
    var lastTransaction: UInt32 = 0
    var failures: [String] = []
    var committedCount = 0
    var announcesOnUp = true
    var offers: [UInt32: Offer] = [:]
    /// Adoptions that the director has committed by saying so, for the caller to take.
    var begun: [UInt32] = []
    /// Those that have just begun to answer their clients, for the caller to take.
    var spoke: [UInt32] = []
    /// Of connections that were handed off: their transfers, copies of what had come, and how many more it cannot adopt.
    var takenOver: [UInt32: FlowKey] = [:]
    var copies = 0
    var cannotAdopt = 0
    /// What is under way on connections that come and go, and TRANSFERs whose blob has not arrived yet.
    var arriving = BlobReceiver()
    var leaving = BlobSender()
    var awaited: [Frame] = []
    /// Bytes of a connection that goes with all that is under way.
    var blobBytes = 3_000
    /// TERMINATEs that asked for a connection.
    var askedBack = 0
    var movedAway = 0
    var kept = 0
    var lost = 0

    init(endpoint: Endpoint, director: Endpoint, keys: KeyRing, seed: UInt64, isForgetful: Bool, credits: UInt32) {
        self.credits = credits
        self.endpoint = endpoint
        self.director = director
        self.keys = keys
        self.isForgetful = isForgetful
        epoch = seed
        responder = Self.makeResponder(endpoint, keys, epoch: seed, credits)
    }

    static func makeResponder(
        _ endpoint: Endpoint, _ keys: KeyRing, epoch: UInt64, _ credits: UInt32
    ) -> ChannelResponder {
        let capabilities: Capabilities = [
            .ipv4, .ipv6, .timestamps, .sack, .windowScale, .http, .datagrams, .handedBack, .handOffs, .blobs,
        ]
        let description = AgentDescription(
            name: "agent", mac: MACAddress(0x0200_0000_0000 + UInt64(endpoint.port)), epoch: epoch, credits: credits,
            capabilities: capabilities)
        var responder = ChannelResponder(keys: keys, description: description, random: SeededGenerator(seed: epoch))
        responder.status = AgentStatus(credits: credits)
        responder.groups = [Simulation.group]
        return responder
    }

    /// Everything is gone, adopted sockets too.
    mutating func restart() {
        epoch += 1
        responder = Self.makeResponder(endpoint, keys, epoch: epoch, credits)
        adoptions = [:]
        answers = [:]
        terminated = []
        offers = [:]
        arriving = BlobReceiver()
        leaving = BlobSender()
        awaited = []
        lastTransaction = 0
    }

    /// What the channel wants done; transfers come back to be decided by the caller.
    mutating func drain(now: UInt64) -> (datagrams: [[UInt8]], transfers: [Frame]) {
        var datagrams: [[UInt8]] = []
        var transfers: [Frame] = []
        while !responder.actions.isEmpty {
            let actions = responder.actions
            responder.actions = []
            for action in actions {
                switch action {
                case .transmit(let datagram, _): datagrams.append(datagram)
                case .received(let frame, _): datagrams += received(frame, &transfers, now: now)
                case .up: datagrams += announce()
                case .down:
                    for (number, offer) in offers.sorted(by: { $0.key < $1.key }) {
                        datagrams += resolve(number, offer.blob == nil ? \.lost : \.kept, now: now)
                    }
                case .status: break
                }
            }
        }
        return (datagrams, transfers)
    }

    private mutating func announce() -> [[UInt8]] {
        guard announcesOnUp else { return [] }
        let live = adoptions.filter { $0.value.isCommitted }
        var datagrams = live.compactMap { transfer, adoption in
            send(.flowInformation(adoption.key, transfer: transfer), nextTransaction())
        }
        datagrams += [send(.flowInformationEnd(count: UInt32(live.count)), nextTransaction())].compactMap { $0 }
        return datagrams
    }

    private mutating func received(_ frame: Frame, _ transfers: inout [Frame], now: UInt64) -> [[UInt8]] {
        switch frame.message {
        case .transfer:
            if let answer = answers[frame.transaction] {
                return [send(answer, frame.transaction, frame.attempt)].compactMap { $0 }
            }
            if case .transfer(let transfer) = frame.message, let blob = transfer.blob, !arriving.has(blob) {
                awaited.append(frame)
            } else {
                transfers.append(frame)
            }
            return []
        case .blob(let fragment):
            let receipt = arriving.receive(fragment, attempt: frame.attempt, from: 0, now: now)
            let complete = awaited.filter { frame in
                if case .transfer(let transfer) = frame.message { arriving.has(transfer.blob!) } else { false }
            }
            awaited.removeAll { complete.contains($0) }
            transfers += complete
            return [receipt.flatMap { send(.blobReceipt($0), frame.transaction, frame.attempt) }].compactMap { $0 }
        case .blobReceipt(let receipt):
            leaving.receive(receipt, attempt: frame.attempt, now: now)
            return bringBlobs(now: now)
        case .handOff(let transfer, _):
            if cannotAdopt > 0 {
                cannotAdopt -= 1
                return [send(.transferNACK(.resource, retryAfterMilliseconds: 0), frame.transaction, frame.attempt)]
                    .compactMap { $0 }
            }
            guard takenOver.updateValue(transfer.connection.key, forKey: frame.transaction) == nil else {
                copies += 1
                return []
            }
            adoptions[frame.transaction] = Adoption(
                psn: transfer.connection.psn, key: transfer.connection.key, adoptedAt: now,
                connection: transfer.connection)
            commit(frame.transaction)
            return []
        case .terminate(let terminate) where terminate.cause == .handBack:
            askedBack += 1
            let response = send(.terminateResponse, frame.transaction, frame.attempt)
            return [response].compactMap { $0 } + handBackWhole(terminate.transfer, now: now)
        case .terminate(let terminate):
            if let adoption = adoptions[terminate.transfer] {
                if adoption.psn != terminate.psn {
                    failures.append("TERMINATE with another PSN")
                } else if adoption.isCommitted {
                    failures.append("transfer \(terminate.transfer) was committed and called back")
                } else {
                    adoptions[terminate.transfer] = nil
                }
            } else if !isForgetful {
                terminated.insert(terminate.transfer)
            }
            return [send(.terminateResponse, frame.transaction, frame.attempt)].compactMap { $0 }
        case .transferACK where offers[frame.transaction] != nil:
            return resolve(frame.transaction, \.movedAway, now: now)
        case .transferNACK where offers[frame.transaction] != nil:
            return resolve(frame.transaction, \.kept, now: now)
        case .terminateResponse where offers[frame.transaction] != nil:
            return resolve(frame.transaction, \.kept, now: now)
        case .firstByte:
            guard adoptions[frame.transaction]?.hasRequest == true else { return [] }
            if adoptions[frame.transaction]?.isCommitted == false { commit(frame.transaction) }
            return [send(.firstByte, frame.transaction)].compactMap { $0 }
        case .terminateResponse:
            for (transfer, adoption) in adoptions where adoption.doneRepeatAt != nil && transfer == frame.transaction {
                adoptions[transfer] = nil
            }
            return []
        default: return []
        }
    }

    /// The content was looked up: the answer, and the adoption if it is ACK.
    mutating func decide(_ frame: Frame, accepts: Bool, now: UInt64) -> [UInt8]? {
        guard case .transfer(let transfer) = frame.message else { return nil }
        if let blob = transfer.blob { _ = arriving.take(blob.identifier, now: now) }
        if let answer = answers[frame.transaction] { return send(answer, frame.transaction, frame.attempt) }
        let answer: Message
        if terminated.contains(frame.transaction) {
            answer = .transferNACK(.expired, retryAfterMilliseconds: 0)
        } else if adoptions.values.contains(where: { $0.key == transfer.connection.key }) {
            answer = .transferNACK(.tupleInUse, retryAfterMilliseconds: 0)
        } else if !accepts {
            answer = .transferNACK(.notFound, retryAfterMilliseconds: 0)
        } else {
            answer = .transferACK
            if transfer.isHeld {
                adoptions[frame.transaction] = Adoption(
                    psn: transfer.connection.psn, key: transfer.connection.key, adoptedAt: now,
                    connection: transfer.connection, mayComeBack: transfer.mayComeBack,
                    hasRequest: transfer.isAcknowledged)
            }
        }
        answers[frame.transaction] = answer
        return send(answer, frame.transaction, frame.attempt)
    }

    /// The held request itself arrives: the commit. Returns the transfer.
    mutating func requestArrived(_ key: FlowKey) -> UInt32? {
        guard let (transfer, _) = adoptions.first(where: { $0.value.key == key }) else { return nil }
        if adoptions[transfer]?.isCommitted == false {
            committedCount += 1
            spoke.append(transfer)
        }
        adoptions[transfer]?.isCommitted = true
        return transfer
    }

    private mutating func commit(_ transfer: UInt32) {
        committedCount += 1
        adoptions[transfer]?.isCommitted = true
        begun.append(transfer)
        spoke.append(transfer)
    }

    func speaks(to key: FlowKey) -> Bool { adoptions.values.contains { $0.key == key && $0.speaks } }

    // MARK: Connections that go elsewhere

    /// Between two requests: the next one is for what is not here.
    mutating func handBack(_ transfer: UInt32, path: String = "/next", now: UInt64) -> [UInt8]? {
        guard let adoption = adoptions[transfer], adoption.speaks, adoption.mayComeBack,
            var connection = adoption.connection
        else { return nil }
        connection.psn = connection.psn + 100
        var message = Transfer(
            connection: connection, request: Array("GET \(path) HTTP/1.1\r\nHost: www.example.org\r\n\r\n".utf8),
            application: .httpGet)
        message.isAcknowledged = true
        message.handsBack = transfer
        let offer = nextTransaction()
        offers[offer] = Offer(
            transfer: transfer, frame: Frame(.transfer(message), transaction: offer), begun: now, next: now + 20_000)
        adoptions[transfer]?.offer = offer
        return send(offers[offer]!.frame.message, offer)
    }

    /// With all that is under way, as soon as the director has that.
    private mutating func handBackWhole(_ transfer: UInt32, now: UInt64) -> [[UInt8]] {
        guard let adoption = adoptions[transfer], adoption.speaks, let connection = adoption.connection else {
            return []
        }
        let bytes = (0..<blobBytes).map { UInt8(truncatingIfNeeded: $0 &+ Int(transfer)) }
        let offer = nextTransaction()
        let identifier = epoch << 32 | UInt64(offer)
        var message = Transfer(
            connection: connection, request: Array("GET /x HTTP/1.1\r\nHost: www.example.org\r\n\r\n".utf8),
            application: .httpGet)
        message.isAcknowledged = true
        message.handsBack = transfer
        message.blob = BlobReference(identifier: identifier, of: bytes)
        guard leaving.send(bytes, identifier: identifier, now: now) else { return [] }
        offers[offer] = Offer(
            transfer: transfer, frame: Frame(.transfer(message), transaction: offer), begun: now, next: .max,
            blob: identifier, patience: 12_000_000)
        adoptions[transfer]?.offer = offer
        return bringBlobs(now: now)
    }

    mutating func bringBlobs(now: UInt64) -> [[UInt8]] {
        let actions = leaving.actions
        leaving.actions = []
        var datagrams: [[UInt8]] = []
        for action in actions {
            switch action {
            case .send(let frame):
                datagrams += [send(frame.message, frame.transaction, frame.attempt)].compactMap { $0 }
            case .delivered(let identifier):
                guard let number = offers.first(where: { $0.value.blob == identifier })?.key else { continue }
                offers[number]!.blob = nil
                offers[number]!.begun = now
                offers[number]!.next = now + 20_000
                datagrams += [send(offers[number]!.frame.message, number)].compactMap { $0 }
            case .failed(let identifier, _):
                guard let number = offers.first(where: { $0.value.blob == identifier })?.key else { continue }
                datagrams += resolve(number, \.kept, now: now)
            }
        }
        return datagrams
    }

    /// TRANSFER for 150 ms, then CANCEL, and after 10 s nobody can say any more.
    mutating func repeatOffers(now: UInt64) -> [[UInt8]] {
        var datagrams: [[UInt8]] = []
        for (number, offer) in offers.sorted(by: { $0.key < $1.key }) where offer.next <= now {
            guard now - offer.begun < offer.patience + 10_000_000 else {
                datagrams += resolve(number, \.lost, now: now)
                continue
            }
            offers[number]?.next = now + offer.delay
            offers[number]?.delay = min(offer.delay * 2, 1_000_000)
            offers[number]?.frame.attempt &+= 1
            let attempt = offers[number]!.frame.attempt
            if now - offer.begun < offer.patience {
                datagrams += [send(offer.frame.message, number, attempt)].compactMap { $0 }
            } else {
                datagrams += [cancel(number)].compactMap { $0 }
            }
        }
        return datagrams
    }

    mutating func cancel(_ number: UInt32) -> [UInt8]? {
        guard let offer = offers[number], case .transfer(let transfer) = offer.frame.message else { return nil }
        return send(.terminate(Terminate(cause: .cancel, transfer: number, psn: transfer.connection.psn)), number)
    }

    mutating func die(_ transfer: UInt32, now: UInt64) -> [UInt8]? {
        offers = offers.filter { $0.value.transfer != transfer }
        adoptions[transfer]?.offer = nil
        return finish(transfer, now: now)
    }

    private mutating func resolve(
        _ number: UInt32, _ outcome: WritableKeyPath<FakeAgent, Int>, now: UInt64
    ) -> [[UInt8]] {
        guard let offer = offers.removeValue(forKey: number) else { return [] }
        self[keyPath: outcome] += 1
        adoptions[offer.transfer]?.offer = nil
        if outcome == \.movedAway { adoptions[offer.transfer] = nil }
        if outcome == \.kept { spoke.append(offer.transfer) }
        return outcome == \.lost ? [finish(offer.transfer, now: now)].compactMap { $0 } : []
    }

    /// FLOW_DONE, the first or another time.
    mutating func finish(_ transfer: UInt32, now: UInt64) -> [UInt8]? {
        guard let adoption = adoptions[transfer] else { return nil }
        adoptions[transfer]?.doneRepeatAt = now + 50_000
        let done = Terminate(cause: .flowDone, transfer: transfer, psn: adoption.psn, bytesSent: 1)
        return send(.terminate(done), transfer)
    }

    /// An uncommitted adoption is dropped after 120 s, never sooner.
    mutating func reap(now: UInt64) {
        adoptions = adoptions.filter { $0.value.isCommitted || now - $0.value.adoptedAt < 120_000_000 }
    }

    private mutating func send(_ message: Message, _ transaction: UInt32, _ attempt: UInt8 = 0) -> [UInt8]? {
        responder.send(Frame(message, transaction: transaction, attempt: attempt), to: director)
    }

    private mutating func nextTransaction() -> UInt32 {
        lastTransaction += 1
        return lastTransaction
    }
}
