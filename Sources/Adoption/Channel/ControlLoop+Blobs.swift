internal import CRTP
import Glibc
internal import Logging
internal import Wire

/// What is under way on connections that come over, and on those that go.
struct Blobs {
    /// A connection that waits to become this agent's, with what came along.
    struct Arrival {
        /// What the client has said that was not read yet.
        var received: [UInt8]
        var resumption: Resumption
    }

    var arriving = BlobReceiver()
    var leaving: [Endpoint: BlobSender] = [:]
    /// Transfers whose blob has not arrived yet.
    var awaited: [UInt64: (transfer: Transfer, expires: UInt64)] = [:]
    var arrivals: [UInt64: Arrival] = [:]
    /// Connections that are to go as soon as others have gone.
    var departures: [HandBack] = []
    /// Directors as `arriving` knows them.
    private var numbers: [Endpoint: Int] = [:]

    var nextDeadline: UInt64? {
        ([arriving.nextDeadline] + leaving.values.map(\.nextDeadline)).compactMap { $0 }.min()
    }

    mutating func number(of director: Endpoint) -> Int {
        if let number = numbers[director] { return number }
        numbers[director] = numbers.count
        return numbers.count - 1
    }
}

// MARK: Connections that go

extension ControlLoop {
    /// Makes the connection mute, and offers it with all that is under way. Only so many at once, since each stands still
    /// meanwhile.
    func offerWhole(_ handBack: HandBack, _ continuation: Continuation?, _ now: UInt64) {
        guard offers.count < Offer.limitWithBlobs else { return wait(handBack) }
        defer { close(handBack.descriptor) }
        guard wantedHandover == nil, !ledger.isDraining,
            let (director, transfer) = ledger.offer(
                of: handBack.number, request: handBack.request, isWanted: true),
            responder.directors.contains(director)
        else { return handBack.isOver(.stays) }
        let (handle, socket): (UInt32, SuspendedSocket)
        do throws(AdoptionFailure) {
            (handle, socket) = try services.adopter.suspend(handBack.descriptor, isQuiet: false)
        } catch {
            logger.info("not handed back", metadata: ["reason": "\(error)"])
            return handBack.isOver(.stays)
        }
        var blob = blobs.leaving.removeValue(forKey: director) ?? BlobSender()
        defer { keep(blob, director, now) }
        let identifier = UInt64.random(in: 1...UInt64.max)
        guard
            let whole = ConnectionBlob(
                socket, of: handBack.descriptor, transfer.connection, generation: UInt32(transfer.generation) + 1,
                continuation),
            case let bytes = whole.encode(), blob.send(bytes, identifier: identifier, now: now)
        else {
            logger.info("not handed back", metadata: ["reason": "too much is under way"])
            do { try services.adopter.resume(handle) } catch {
                logger.error("cannot go on with a connection", metadata: ["error": "\(error)"])
                return handBack.isOver(.lost)
            }
            return handBack.isOver(.stays)
        }
        var message = transfer
        message.connection = whole.connection
        message.blob = BlobReference(identifier: identifier, of: bytes)
        let frame = Frame(.transfer(message), transaction: ledger.takeTransaction())
        var offer = Offer(
            handBack: handBack, handle: handle, director: director, frame: frame, psn: message.connection.psn,
            begun: now, next: now + Offer.lifetime)
        offer.blob = identifier
        offer.patience = Offer.patienceWithBlob
        offers[frame.transaction] = offer
    }

    /// Until others have gone. One too many goes on here, and is asked for again.
    private func wait(_ handBack: HandBack) {
        if blobs.departures.count < Offer.limitWithBlobs { return blobs.departures.append(handBack) }
        close(handBack.descriptor)
        handBack.isOver(.stays)
    }

    /// Some are over: others may stand still.
    func offerWaiting(_ now: UInt64) {
        while !blobs.departures.isEmpty, offers.count < Offer.limitWithBlobs {
            offer(blobs.departures.removeFirst(), now)
        }
    }

    /// None of those that wait goes.
    func keepWaiting() {
        for handBack in blobs.departures {
            close(handBack.descriptor)
            handBack.isOver(.stays)
        }
        blobs.departures.removeAll()
    }

    /// The director has all that goes along: now it may hear of the offer.
    private func delivered(_ identifier: UInt64, _ now: UInt64) {
        guard let waiting = offers.first(where: { $0.value.blob == identifier })?.key,
            var offer = offers.removeValue(forKey: waiting)
        else { return }
        // The director hears of offers in the order of their numbers.
        let transaction = ledger.takeTransaction()
        offer.frame = Frame(offer.frame.message, transaction: transaction)
        offer.blob = nil
        offer.begun = now
        offer.next = now + Offer.firstDelay
        offers[transaction] = offer
        send(offer.frame, to: offer.director)
    }

    private func undelivered(_ identifier: UInt64) {
        guard let transaction = offers.first(where: { $0.value.blob == identifier })?.key else { return }
        resolve(transaction, .stays)
    }

    // MARK: Connections that come

    func consult(
        _ number: UInt64, _ transfer: Transfer, _ blob: BlobReference, _ expires: UInt64, _ now: UInt64
    ) {
        guard wantedHandover == nil else { return _ = ledger.decided(number, .busy, now: now) }
        guard blobs.arriving.has(blob), let bytes = blobs.arriving.take(blob.identifier, now: now) else {
            blobs.awaited[number] = (transfer, expires)
            return
        }
        let metadata: Logger.Metadata = [
            "transfer": "\(ledger.transaction(of: number))",
            "connection": "\(String(transfer.connectionID, radix: 16))", "flow": "\(transfer.connection.key)",
        ]
        do {
            let whole = try ConnectionBlob(decoding: bytes)
            if let reason = refusal(of: whole, transfer) {
                logger.debug("transfer refused", metadata: metadata.merging(["reason": "\(reason)"]) { $1 })
                _ = ledger.decided(number, reason, now: now)
                return
            }
            let descriptor = try open(whole)
            setTrafficClass(of: descriptor, transfer)
            guard ledger.decided(number, nil, now: now) else { return services.adopter.forget(descriptor) }
            blobs.arrivals[number] = Blobs.Arrival(
                received: whole.received,
                resumption: Resumption(unsent: whole.unsent, continuation: whole.continuation))
            waiting.add(number, descriptor)
            logger.info(
                "adopted with what is under way", metadata: metadata.merging(["bytes": "\(bytes.count)"]) { $1 })
        } catch {
            logger.warning("cannot adopt", metadata: metadata.merging(["error": "\(error)"]) { $1 })
            _ = ledger.decided(number, (error as? AdoptionFailure)?.reason ?? .badTLV, now: now)
        }
    }

    /// Only what is said of the same connection, and can be gone on with here.
    private func refusal(of whole: ConnectionBlob, _ transfer: Transfer) -> NACKReason? {
        // What TRANSFER says was looked at.
        guard whole.connection.key == transfer.connection.key,
            whole.connection.options == transfer.connection.options, whole.connection.key.clientPort > 0
        else { return .badTLV }
        var question = transfer
        if let continuation = whole.continuation { question.request = continuation.request }
        switch TransferJudgement(question, services.catalogue) {
        case .refuse(let reason): return reason
        case .replay: return .notFound
        case .take, .askCache: break
        }
        guard let continuation = whole.continuation else { return nil }
        let key = transfer.connection.key
        let origin = Endpoint(key.server, port: key.serverPort)
        // No refusal of the object: others may be given it here.
        guard let (document, _) = services.catalogue.open(continuation, origin: origin) else { return .unknownFlow }
        document.closeFile()
        return nil
    }

    /// A mute socket that has everything but what the application says next.
    private func open(_ whole: ConnectionBlob) throws -> CInt {
        var state = whole.connection
        state.psn = state.psn + UInt32(whole.received.count)
        let descriptor = try services.adopter.open(state, room: UInt32(whole.sent.count))
        do {
            guard refill(descriptor, whole.sent) else { throw SystemFailure("filling the queue of a socket") }
            try services.adopter.seal(descriptor)
        } catch {
            services.adopter.forget(descriptor)
            throw error
        }
        return descriptor
    }

    // MARK: Frames and time

    /// True for what belongs to blobs.
    func takesBlob(_ frame: Frame, from director: Endpoint, _ now: UInt64) -> Bool {
        switch frame.message {
        case .blob(let fragment):
            let receipt = blobs.arriving.receive(
                fragment, attempt: frame.attempt, from: blobs.number(of: director), now: now)
            if let receipt {
                send(
                    Frame(.blobReceipt(receipt), transaction: frame.transaction, attempt: frame.attempt), to: director)
            }
            guard !blobs.arriving.completed.isEmpty else { return true }
            blobs.arriving.completed.removeAll()
            let complete = blobs.awaited.filter { blobs.arriving.has($0.value.transfer.blob!) }
            for (number, wait) in complete {
                blobs.awaited[number] = nil
                consult(number, wait.transfer, wait.expires, now)
            }
        case .blobReceipt(let receipt):
            guard var sender = blobs.leaving.removeValue(forKey: director) else { return true }
            sender.receive(receipt, attempt: frame.attempt, now: now)
            keep(sender, director, now)
        default: return false
        }
        return true
    }

    func advanceBlobs(_ now: UInt64) {
        blobs.arriving.advance(to: now)
        for director in blobs.leaving.keys {
            guard let deadline = blobs.leaving[director]?.nextDeadline, deadline <= now,
                var sender = blobs.leaving.removeValue(forKey: director)
            else { continue }
            sender.advance(to: now)
            keep(sender, director, now)
        }
        for (number, wait) in blobs.awaited where wait.expires <= now {
            blobs.awaited[number] = nil
            _ = ledger.decided(number, .expired, now: now)
        }
    }

    private func keep(_ sender: BlobSender, _ director: Endpoint, _ now: UInt64) {
        var sender = sender
        let wanted = sender.actions
        sender.actions.removeAll(keepingCapacity: true)
        blobs.leaving[director] = sender
        for action in wanted {
            switch action {
            case .send(let frame): send(frame, to: director)
            case .delivered(let identifier): delivered(identifier, now)
            case .failed(let identifier, _): undelivered(identifier)
            }
        }
    }
}
