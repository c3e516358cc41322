internal import CRTP
import Glibc
internal import Logging
internal import Wire

/// A connection on offer: mute until it is known whose it is.
struct Offer {
    var handBack: HandBack
    /// The adopting process's name for the socket.
    var handle: UInt32
    var director: Endpoint
    var frame: Frame
    var psn: SequenceNumber
    var begun: UInt64
    var next: UInt64
    var delay: UInt64 = Offer.firstDelay
    /// What goes along, as long as it has not arrived: nobody has heard of the offer yet.
    var blob: UInt64?
    /// TRANSFER is repeated for so long, and taken back then.
    var patience: UInt64 = 150_000

    /// The first repetition.
    static var firstDelay: UInt64 { 20_000 }
    static var longestDelay: UInt64 { 1_000_000 }
    /// No answer for so long: the connection is given up.
    static var lifetime: UInt64 { 10_000_000 }
    /// More than a director gives another agent, so that its word comes first.
    static var patienceWithBlob: UInt64 { 12_000_000 }
    /// Connections that are mute at once with what is under way on them.
    static var limitWithBlobs: Int { 32 }
}

// What the director says is final, so this end never decides by itself that an offer is void: it asks, by CANCEL, until
// TERMINATE_RESPONSE (it is void) or TRANSFER_ACK (it is another proxy's) has come.
extension ControlLoop {
    func offer(_ handBack: HandBack, _ now: UInt64) {
        if case .everything(let continuation) = handBack.cargo { return offerWhole(handBack, continuation, now) }
        defer { close(handBack.descriptor) }
        guard wantedHandover == nil, !ledger.isDraining,
            let (director, transfer) = ledger.offer(of: handBack.number, request: handBack.request),
            responder.directors.contains(director)
        else { return handBack.isOver(.stays) }
        let (handle, socket): (UInt32, SuspendedSocket)
        do throws(AdoptionFailure) {
            (handle, socket) = try services.adopter.suspend(handBack.descriptor, isQuiet: true)
            letRead(handle)
        } catch {
            logger.info("not handed back", metadata: ["reason": "\(error)"])
            return handBack.isOver(.stays)
        }
        var message = transfer
        message.connection.psn = SequenceNumber(socket.received.value &- UInt32(handBack.request.count))
        message.connection.pan = socket.sent
        message.connection.clientWindow = socket.clientWindow
        message.connection.serverWindowEdge = socket.windowEdge
        message.connection.serverTimestamp = socket.timestamp
        message.connection.timestampAgeMicroseconds = 0
        let frame = Frame(.transfer(message), transaction: ledger.takeTransaction())
        offers[frame.transaction] = Offer(
            handBack: handBack, handle: handle, director: director, frame: frame, psn: message.connection.psn,
            begun: now, next: now + Offer.firstDelay)
        send(frame, to: director)
    }

    /// True for the answer to an offer.
    func answered(_ frame: Frame, from director: Endpoint) -> Bool {
        guard let offer = offers[frame.transaction], offer.director.address == director.address else { return false }
        switch frame.message {
        case .transferACK: resolve(frame.transaction, .moved)
        case .transferNACK, .terminateResponse: resolve(frame.transaction, .stays)
        default: return false
        }
        return true
    }

    /// Its director is gone, or has forgotten everything: nobody can say any more what became of them.
    func giveUpOffers(to director: Endpoint) {
        blobs.exchange.forget(director)
        keepWaiting()
        for (transaction, offer) in offers where offer.director == director {
            resolve(transaction, offer.blob == nil ? .lost : .stays)
        }
    }

    func advanceOffers(_ now: UInt64) {
        for (transaction, offer) in offers where offer.next <= now {
            if offer.blob != nil {
                resolve(transaction, .stays)
                continue
            }
            guard now - offer.begun < offer.patience + Offer.lifetime else {
                resolve(transaction, .lost)
                continue
            }
            offers[transaction]?.next = now + offer.delay
            offers[transaction]?.delay = min(offer.delay * 2, Offer.longestDelay)
            offers[transaction]?.frame.attempt &+= 1
            if now - offer.begun < offer.patience {
                send(offers[transaction]!.frame, to: offer.director)
            } else {
                let cancel = Terminate(cause: .cancel, transfer: transaction, psn: offer.psn)
                send(Frame(.terminate(cancel), transaction: transaction), to: offer.director)
            }
        }
    }

    var nextOffer: UInt64? { offers.values.lazy.map(\.next).min() }

    func resolve(_ transaction: UInt32, _ outcome: HandBack.Outcome) {
        guard let offer = offers.removeValue(forKey: transaction) else { return }
        var outcome = outcome
        if let blob = offer.blob {
            blobs.exchange.cancel(blob, to: offer.director, now: monotonicMicroseconds())
            carryOutBlobs(monotonicMicroseconds())
        }
        let metadata: Logger.Metadata = [
            "transfer": "\(ledger.transaction(of: offer.handBack.number))", "offer": "\(transaction)",
        ]
        switch outcome {
        case .moved:
            logger.info("handed back", metadata: metadata)
            ledger.movedAway(offer.handBack.number, now: monotonicMicroseconds())
            services.adopter.dismiss(offer.handle)
        case .lost where ledger.hasMetForwarders:
            logger.warning("handed back, and lost", metadata: metadata)
            // No director is there to stop a reset that the other proxy's client must not get.
            services.adopter.dismiss(offer.handle)
        case .stays, .lost:
            if case .lost = outcome { logger.warning("handed back, and lost", metadata: metadata) }
            do { try services.adopter.resume(offer.handle) } catch {
                logger.error("cannot go on with a connection", metadata: ["error": "\(error)"])
                // Mute for ever.
                outcome = .lost
            }
        }
        offer.handBack.isOver(outcome)
    }

    /// Failing this, the connection only ends sooner when its client does.
    func letRead(_ handle: UInt32) {
        do throws(AdoptionFailure) { try services.adopter.letRead(handle) } catch {
            logger.warning("a suspended connection stays in repair", metadata: ["error": "\(error)"])
        }
    }

    func send(_ frame: Frame, to director: Endpoint) {
        if let bytes = responder.send(frame, to: director) { transmit(bytes, to: director) }
    }
}
