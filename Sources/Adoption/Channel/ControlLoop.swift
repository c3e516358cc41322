package import CRTP
import Glibc
package import Logging
internal import Streams
import Synchronization
internal import Wire

/// The thread that talks to the directors: datagrams in, transfers judged, connections adopted, answers out. It owns
/// every socket that is adopted and not committed yet, so nothing can race with an adoption that is undone; with its
/// first byte a socket goes to `serve` and is never seen here again.
package final class ControlLoop: @unchecked Sendable {
    /// What other threads tell.
    package enum Notice: Sendable {
        /// A cache has answered for a transfer.
        case cacheAnswered(number: UInt64, hasIt: Bool)
        /// A committed connection is over.
        case ended(number: UInt64, bytesSent: UInt64)
        /// The keys that are held from now on.
        case keys(KeyRing)
        case drain
        case stop
        /// A connection's next request may be another proxy's.
        case handBack(HandBack)
        /// The host's replayer says something, or is gone.
        case replay(ReplayMessage)
        case replayerGone
        /// Another process is ready to be the agent.
        case handOver(Handover)
    }

    package struct Services {
        package var catalogue: Catalogue
        package var adopter: any Adopting
        package var askCache: (UInt64, CacheSite, CatalogueQuestion, UInt64) -> Void
        package var serve: (AdoptedConnection) -> Void
        /// Its director wants this connection elsewhere.
        package var wishAway: (UInt64) -> Void = { _ in }
        /// For servers that get connections by replay; nil where there is none.
        package var replayer: Replayer?
        /// Nothing can be adopted any more. From now on transfers are refused.
        package var adopterIsGone: () -> Void
        package init(
            catalogue: Catalogue, adopter: any Adopting,
            askCache: @escaping (UInt64, CacheSite, CatalogueQuestion, UInt64) -> Void,
            serve: @escaping (AdoptedConnection) -> Void, replayer: Replayer? = nil,
            adopterIsGone: @escaping () -> Void
        ) {
            self.replayer = replayer
            self.catalogue = catalogue
            self.adopter = adopter
            self.askCache = askCache
            self.serve = serve
            self.adopterIsGone = adopterIsGone
        }
    }

    private struct Notices {
        var list: [Notice] = []
        /// Who is to hear them instead, once another process is the agent.
        var successor: DescriptorChannel?
    }
    private let notices = Mutex(Notices())
    /// Notices whose consequences `unsettled` does not show yet.
    private let unread = Atomic<Int>(0)
    private let unsettled = Atomic<Int>(0)
    let pipe: WakePipe
    package let sockets: [DatagramSocket]
    /// For what comes to multicast groups.
    private let groups: [DatagramSocket]
    /// Connections of directors whose channels are streams; set before `run`.
    var streams: StreamListener?
    /// Frames in a row that were not the director's.
    var strangeFrames: [Endpoint: Int] = [:]
    let settings: ControlChannelSettings
    let logger: Logger
    var services: Services
    // The thread's own from here on.
    var responder: ChannelResponder
    var keys: KeyRing
    var ledger: TransferLedger
    /// What forwarders are told that connections are called.
    let identifiers: FlowIdentifiers
    /// Transfers that a cache is being asked about.
    var asked: [UInt64: (transfer: Transfer, expires: UInt64)] = [:]
    /// Where each director's datagrams arrive, so that answers leave from there.
    var homes: [Endpoint: DatagramSocket] = [:]
    /// The sender of the datagram that is being read, and where it came in: an answer leaves by that way. It becomes a
    /// home once the sender has proved who it is.
    private var present: (source: Endpoint, socket: DatagramSocket)?
    var waiting = WaitingSockets()
    /// Transfers that the replayer knows of.
    var replayed: Set<UInt64> = []
    /// Connections that are on offer, by the offers' transactions.
    var offers: [UInt32: Offer] = [:]
    var blobs = Blobs()
    private var nextTick: UInt64 = 0
    private var load = HostLoad()
    private var stops = false
    /// Nothing here is this process's any more.
    private var isSucceeded = false
    var wantedHandover: Handover?

    /// `sockets` are those of `settings.listen`.
    package init(
        settings: ControlChannelSettings, sockets: [DatagramSocket], groups: [DatagramSocket] = [],
        responder: ChannelResponder,
        ledger: TransferLedger, services: Services, identifiers: FlowIdentifiers = FlowIdentifiers(first: 0),
        logger: Logger
    ) throws(SystemFailure) {
        self.identifiers = identifiers
        self.settings = settings
        self.responder = responder
        keys = settings.keys
        self.ledger = ledger
        self.services = services
        self.logger = logger
        pipe = try WakePipe()
        self.sockets = sockets
        self.groups = groups
    }

    /// From any thread.
    package func tell(_ notice: Notice) {
        let wasEmpty = notices.withLock { notices in
            if let successor = notices.successor {
                ControlLoop.pass(notice, to: successor)
                return false
            }
            unread.add(1, ordering: .relaxed)
            notices.list.append(notice)
            return notices.list.count == 1
        }
        if wasEmpty { pipe.wake() }
    }

    /// A successor has everything: it may begin, and hears from now on what this loop would have heard.
    func succeed(by successor: DescriptorChannel) throws {
        try notices.withLock { notices in
            try successor.send(.go)
            notices.successor = successor
            for notice in notices.list { ControlLoop.pass(notice, to: successor) }
            notices.list.removeAll()
        }
        isSucceeded = true
    }

    private static func pass(_ notice: Notice, to successor: DescriptorChannel) {
        if case .handBack(let handBack) = notice {
            close(handBack.descriptor)
            return handBack.isOver(.stays)
        }
        guard case .ended(let number, let bytesSent) = notice else { return }
        try? successor.send(.ended(number: number, bytesSent: bytesSent))
    }

    /// From any thread, after `drain` was told: no connection lives here, and nothing is left to be told to a director
    /// that can be reached.
    package var isSettled: Bool { unread.load(ordering: .acquiring) == 0 && unsettled.load(ordering: .relaxed) == 0 }

    /// After `run`: a connection that was committed was over so short a time ago that its socket may still live in the
    /// kernel, with bytes that the client has not acknowledged.
    package func hasEnded(since time: UInt64) -> Bool { ledger.lastEnd.map { $0 >= time } ?? false }

    /// After `run`.
    package var homeCount: Int { homes.count }

    /// Runs until `stop`. Uncommitted connections are then forgotten, silently.
    package func run() {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        defer { streams?.shutDown() }
        // Whoever asks first hears how much room there is.
        tick(monotonicMicroseconds())
        while !stops {
            waiting.poll(
                pipe: pipe.readingEnd, adopter: services.adopter.end, sockets: sockets + groups,
                timeoutMilliseconds: timeout())
            if waiting.isPipeReady { pipe.drain() }
            if waiting.isAdopterGone {
                ledger.isDraining = true
                services.adopterIsGone()
            }
            ledger.announceMore()
            for socket in sockets { receive(socket, &buffer) }
            for socket in groups { receiveFromGroup(socket, &buffer) }
            receiveFromStreams()
            let taken = notices.withLock { notices in
                defer { notices.list.removeAll() }; return notices.list
            }
            for notice in taken { take(notice) }
            // After all others: they are in what is handed over.
            // What is on offer is decided first.
            if offers.isEmpty, blobs.arrivals.isEmpty, blobs.departures.isEmpty, let handover = wantedHandover.take() {
                handOver(handover)
            }
            if isSucceeded { return }
            for (number, descriptor) in waiting.takeReady() { firstByte(number, descriptor) }
            let now = monotonicMicroseconds()
            if now >= nextTick { tick(now) }
            if !offers.isEmpty { advanceOffers(now) }
            advanceBlobs(now)
            offerWaiting(now)
            flush(now)
            if ledger.isDraining { unsettled.store(ledger.unsettled, ordering: .relaxed) }
            unread.subtract(taken.count, ordering: .releasing)
        }
        for (_, descriptor) in waiting.removeAll() { services.adopter.forget(descriptor) }
        responder.stop(now: monotonicMicroseconds())
        flush(monotonicMicroseconds())
    }

    private func timeout() -> CInt {
        if ledger.isAnnouncing { return 1 }
        let now = monotonicMicroseconds()
        let deadline = min(
            nextTick, responder.nextDeadline ?? .max, nextOffer ?? .max, blobs.exchange.nextDeadline ?? .max)
        return deadline <= now ? 0 : CInt(min((deadline - now) / 1_000 + 1, 100))
    }

    /// At most a burst, so that sockets and notices get their turn.
    private func receive(_ socket: DatagramSocket, _ buffer: inout [UInt8]) {
        for _ in 0..<64 {
            guard let (bytes, source) = socket.receive(into: &buffer) else { return }
            guard settings.directors.contains(where: { $0.contains(source.address) }) else { continue }
            present = (source, socket)
            defer { present = nil }
            let now = monotonicMicroseconds()
            responder.receive(bytes, from: source, now: now)
            flush(now)
        }
    }

    /// The same of a group. Answers leave from the director's home.
    private func receiveFromGroup(_ socket: DatagramSocket, _ buffer: inout [UInt8]) {
        for _ in 0..<64 {
            guard let (bytes, source) = socket.receive(into: &buffer) else { return }
            guard settings.directors.contains(where: { $0.contains(source.address) }) else { continue }
            let now = monotonicMicroseconds()
            responder.receiveFromGroup(bytes, now: now)
            flush(now)
        }
    }

    private func tick(_ now: UInt64) {
        nextTick = now + 100_000
        ledger.advance(to: now)
        responder.setClock(microsecondsSince1970(), now: now)
        responder.advance(to: now)
        for (number, entry) in asked where entry.expires <= now {
            asked[number] = nil
            _ = ledger.decided(number, .expired, now: now)
        }
        tellOfRefusedBlobs(now)
        load.refresh(now)
        responder.status = AgentStatus(
            connections: UInt32(ledger.connections), credits: UInt32(ledger.creditsLeft),
            processorLoad: load.processor, memoryLoad: load.memory, isDraining: ledger.isDraining)
    }

    /// Carries out what the machines want, until they want nothing more.
    func flush(_ now: UInt64) {
        identifiers.give(upTo: ledger.nextNumber)
        while !responder.actions.isEmpty || !ledger.actions.isEmpty {
            let wanted = responder.actions
            responder.actions.removeAll(keepingCapacity: true)
            for action in wanted { perform(action, now) }
            let owed = ledger.actions
            ledger.actions.removeAll(keepingCapacity: true)
            for action in owed { perform(action, now) }
        }
    }

    private func perform(_ action: ChannelAction, _ now: UInt64) {
        switch action {
        case .transmit(let bytes, let destination): transmit(bytes, to: destination)
        case .up(let peer, _):
            logger.info("channel up", metadata: ["director": "\(peer)"])
            // A connection from the same address and port is somebody else's when the channel is one of datagrams.
            if present?.source == peer { streams?.refuse(peer) } else { streams?.confirm(peer) }
            settle(peer)
            ledger.up(peer, isForwarder: responder.isForwarder(peer))
        case .down(let peer, let reason):
            logger.notice("channel down", metadata: ["director": "\(peer)", "reason": "\(reason.rawValue)"])
            giveUpOffers(to: peer)
            // One that has started anew is up again at once.
            guard reason != .restarted else { return }
            streams?.close(peer, because: StreamEnd(.silent, "its channel has ended"))
            homes[peer] = nil
            ledger.down(peer)
        case .received(let frame, let source):
            // Who sent a hand-off is known by the key alone: its source may be anybody's.
            if case .handOff = frame.message {} else { settle(source) }
            if answered(frame, from: source) || takesBlob(frame, from: source, now) { return }
            ledger.receive(frame, from: source, now: now)
        case .status: break
        }
    }

    /// The director's answers leave from where its authentic frames come in. As many homes as channels, at most.
    private func settle(_ director: Endpoint) {
        if let present, present.source == director { homes[director] = present.socket }
    }

    func transmit(_ bytes: [UInt8], to destination: Endpoint) {
        if present?.source != destination, sendByStream(bytes, to: destination) { return }
        let way = present?.source == destination ? present?.socket : homes[destination]
        let socket = way ?? sockets.first { $0.endpoint.address.isV4 == destination.address.isV4 }
        socket?.send(bytes, to: destination)
    }

    private func perform(_ action: TransferLedger.Action, _ now: UInt64) {
        switch action {
        case .send(let frame, let director):
            guard let bytes = responder.send(frame, to: director) else {
                return ledger.unsent(frame, to: director, now: now)
            }
            transmit(bytes, to: director)
        case .consult(let number, let transfer, let expires): consult(number, transfer, expires, now)
        case .takeOver(let number, let transfer): takeOver(number, transfer, now)
        case .forget(let number):
            blobs.arrivals[number] = nil
            if forgetReplay(number) { return logger.info("replay undone", metadata: ["transfer": "\(number)"]) }
            guard let descriptor = waiting.remove(number) else { return }
            services.adopter.forget(descriptor)
            logger.info("adoption undone", metadata: ["transfer": "\(number)"])
        case .wishAway(let number): services.wishAway(number)
        case .begin(let number): if let descriptor = waiting.remove(number) { begin(number, descriptor) }
        case .tooLateToCancel(let number):
            logger.warning(
                "a director cancels a connection whose request has arrived: it is served",
                metadata: ["transfer": "\(number)"])
        }
    }

    private func take(_ notice: Notice) {
        let now = monotonicMicroseconds()
        switch notice {
        case .cacheAnswered(let number, let hasIt):
            guard let entry = asked.removeValue(forKey: number) else { return }
            if hasIt { adopt(number, entry.transfer, now) } else { _ = ledger.decided(number, .notFound, now: now) }
        case .ended(let number, let bytesSent): ledger.ended(number, bytesSent: bytesSent, now: now)
        case .keys(let ring): use(ring, now)
        case .drain:
            ledger.isDraining = true
            // Not before: whoever reads this may rely on it that no more connections are taken.
            logger.notice("draining", metadata: ["connections": "\(ledger.connections)"])
        case .stop: stops = true
        case .handBack(let handBack): offer(handBack, now)
        case .replay(let message): take(message, now)
        case .replayerGone: replayerIsGone(now)
        case .handOver(let handover): wantedHandover = handover
        }
    }
}
