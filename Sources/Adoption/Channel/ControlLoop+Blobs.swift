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

    /// With directors.
    var exchange = BlobExchange<Endpoint>()
    /// Transfers whose blob has not arrived yet.
    var awaited: [UInt64: (transfer: Transfer, expires: UInt64)] = [:]
    var arrivals: [UInt64: Arrival] = [:]
    /// Connections that are to go as soon as others have gone.
    var departures: [HandBack] = []
    /// What has been said of blobs that were not taken, and when.
    var told = BlobReceiverCounters()
    var toldAt: UInt64 = 0
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
        defer { carryOutBlobs(now) }
        let identifier = UInt64.random(in: 1...UInt64.max)
        let read = ConnectionBlob(
            socket, of: handBack.descriptor, transfer.connection, generation: UInt32(transfer.generation) + 1,
            continuation)
        letRead(handle)
        guard let whole = read,
            case let bytes = whole.encode(), blobs.exchange.send(bytes, identifier: identifier, to: director, now: now)
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
        guard blobs.exchange.arriving.has(blob), let bytes = blobs.exchange.arriving.take(blob.identifier, now: now)
        else {
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
                resumption: Resumption(
                    unsent: whole.unsent, continuation: whole.continuation, lastRequest: transfer.request))
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
            if let answer = blobs.exchange.receive(fragment, frame, from: director, now: now) {
                send(answer, to: director)
            }
            guard !blobs.exchange.arriving.completed.isEmpty else { return true }
            blobs.exchange.arriving.completed.removeAll()
            let complete = blobs.awaited.filter { blobs.exchange.arriving.has($0.value.transfer.blob!) }
            for (number, wait) in complete {
                blobs.awaited[number] = nil
                consult(number, wait.transfer, wait.expires, now)
            }
        case .blobReceipt(let receipt):
            blobs.exchange.receive(receipt, frame, from: director, now: now)
            carryOutBlobs(now)
        default: return false
        }
        return true
    }

    func advanceBlobs(_ now: UInt64) {
        blobs.exchange.advance(to: now)
        carryOutBlobs(now)
        for (number, wait) in blobs.awaited where wait.expires <= now {
            blobs.awaited[number] = nil
            _ = ledger.decided(number, .expired, now: now)
        }
    }

    /// A line in five seconds, when there is something to say: how many were not taken since the start, by reason.
    func tellOfRefusedBlobs(_ now: UInt64) {
        let counters = blobs.exchange.arriving.counters
        let faults = counters.faults.filter { $0.value > 0 }
        guard now >= blobs.toldAt + 5_000_000, faults.map(\.value) != blobs.told.faults.map(\.value).filter({ $0 > 0 })
        else { return }
        (blobs.told, blobs.toldAt) = (counters, now)
        logger.warning(
            "blobs not taken",
            metadata: Logger.Metadata(uniqueKeysWithValues: faults.map { ($0.name, "\($0.value)") }))
    }

    /// What becomes of one blob may change what is wanted of others.
    func carryOutBlobs(_ now: UInt64) {
        while !blobs.exchange.actions.isEmpty {
            let wanted = blobs.exchange.actions
            blobs.exchange.actions.removeAll(keepingCapacity: true)
            for (director, action) in wanted {
                switch action {
                case .send(let frame): send(frame, to: director)
                case .delivered(let identifier): delivered(identifier, now)
                case .failed(let identifier, _): undelivered(identifier)
                }
            }
        }
    }
}
