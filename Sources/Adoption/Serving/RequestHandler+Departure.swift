internal import CRTP
import Glibc
internal import NIOCore
internal import NIOHTTP1

/// A connection that its director wants to have elsewhere: it goes between two requests, or between two pieces of a file,
/// with all that is under way.
extension RequestHandler {
    /// What stands still meanwhile.
    struct Departure {
        /// The file that is being sent; nil between two requests.
        var download: Download?
        /// The last request's, by which its director chooses who goes on.
        let head: [UInt8]
        let begunAt = NIODeadline.now()
        /// Bytes that the client has not acknowledged, when they were last fewer than before; and when that was.
        var unacknowledged = CInt.max
        var progressAt = NIODeadline.now()
        var delay = TimeAmount.milliseconds(1)
        /// To the control loop, for another proxy: what comes meanwhile is looked at when this one is to go on.
        var isHandedOver = false
        var arrived: [HTTPServerRequestPart] = []

        /// The less is under way, the less has to be sent again: it waits so long for the client to acknowledge all.
        static var patience: TimeAmount { .milliseconds(200) }
        static var longestDelay: TimeAmount { .milliseconds(16) }
        /// More does not go along.
        static var longestQueue: CInt { 1 << 20 }
        /// What a TRANSFER with a blob has room for.
        static var longestHead: Int { 1_200 }
    }

    /// From now on it goes as soon as it can. What it is asked for later it answers as before, until then.
    func wishAway() {
        isWantedElsewhere = true
        guard let context, isIdle, case .idle = work, boundary.isBetweenRequests else { return }
        depart(context, nil)
    }

    /// True when a connection that is wanted elsewhere can leave here.
    var canDepart: Bool {
        isWantedElsewhere && !boundary.isLost && !inputIsClosed && !server.isDraining
    }

    func depart(_ context: ChannelHandlerContext, _ download: Download?) {
        guard canDepart else { return }
        guard let head = shortened(boundary.lastHead, to: Departure.longestHead), !head.isEmpty else {
            // A path that no TRANSFER has room for, or one that nobody knows any more.
            isWantedElsewhere = false
            if let download { send(context, download) }
            return
        }
        work = .departing(Departure(download: download, head: head))
        // Whatever comes from now on is the next server's to read.
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        // What this turn of the loop has still to read is this handler's, and is looked at afterwards.
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            if let context = handler.value.context { handler.value.awaitQuiet(context) }
        }
    }

    private func awaitQuiet(_ context: ChannelHandlerContext) {
        guard case .departing(var departure) = work else {
            // A request has come meanwhile.
            try? context.channel.syncOptions?.setOption(.autoRead, value: true)
            return
        }
        guard canDepart, departure.download != nil || boundary.isBetweenRequests else {
            return stay(context, departure)
        }
        let (now, pending) = (NIODeadline.now(), pendingBytes(connection.descriptor, .unacknowledged))
        if pending < departure.unacknowledged {
            departure.unacknowledged = pending
            departure.progressAt = now
        }
        let isPatient = now - departure.begunAt < Departure.patience
        if pending == 0 || !isPatient && pending <= Departure.longestQueue { return handOver(context, departure) }
        // A client that has stopped reading.
        if now - departure.progressAt > Departure.patience { return stay(context, departure) }
        let delay = departure.delay
        departure.delay = min(delay * 2, Departure.longestDelay)
        work = .departing(departure)
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: delay) {
            if let context = handler.value.context { handler.value.awaitQuiet(context) }
        }
    }

    private func handOver(_ context: ChannelHandlerContext, _ departure: Departure) {
        var departure = departure
        departure.isHandedOver = true
        work = .departing(departure)
        let copy = dup(connection.descriptor)
        guard copy >= 0 else { return stay(context, departure) }
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        server.handBack(
            HandBack(
                number: connection.number, request: departure.head, descriptor: copy,
                cargo: .everything(continuation(of: departure.download)),
                isOver: { outcome in loop.execute { handler.value.departed(outcome) } }))
    }

    private func continuation(of download: Download?) -> Continuation? {
        guard let download else { return nil }
        let place = download.response.place(after: record.bytes)
        let digest = (try? download.file.withUnsafeFileDescriptor { DocumentDigest(of: $0, before: place) })
        return Continuation(
            request: boundary.lastHead, bodyBytesWritten: UInt64(record.bytes),
            documentBytes: UInt64(download.facts.bytes), place: UInt64(place),
            modified: Int64(download.facts.modified), entityTag: download.facts.entityTag,
            digest: digest?.bytes ?? [], digestBytes: UInt32(digest?.count ?? 0))
    }

    private func departed(_ outcome: HandBack.Outcome) {
        guard let context, case .departing(let departure) = work else { return }
        switch outcome {
        case .stays: stay(context, departure)
        case .moved:
            head = nil
            account.isPassedOn = true
            context.close(promise: nil)
        case .lost: reset(context)
        }
    }

    /// Goes on here. The director may ask again.
    private func stay(_ context: ChannelHandlerContext, _ departure: Departure) {
        isWantedElsewhere = false
        work = .idle
        try? context.channel.syncOptions?.setOption(.autoRead, value: true)
        if let download = departure.download { send(context, download) }
        for part in departure.arrived { receive(context, part) }
        closeIfOver(context)
    }

    func reset(_ context: ChannelHandlerContext) {
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection.descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        context.close(promise: nil)
    }
}

/// Told to a connection's pipeline by its director's wish.
struct DepartureEvent {}
