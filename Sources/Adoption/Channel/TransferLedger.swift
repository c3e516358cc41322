package import CRTP
package import Wire

/// Every transfer that this agent knows, and what is owed to the directors. Pure: frames and time in, actions out.
///
/// One transfer: deciding → (refused | uncommitted) → committed → ended. TRANSFER is idempotent: its answer is
/// remembered and repeated. CANCEL is too, for transfers that were never heard of as well, and a TRANSFER that comes
/// after its CANCEL is refused.
package struct TransferLedger {
    package struct Limits: Equatable {
        package var credits = 1_024
        package var connections = 16_000
        package var uncommittedLifetime: UInt64 = 120_000_000
        /// More than twice the longest time that a director waits.
        package var answerLifetime: UInt64 = 10_000_000
        package var answers = 16_384
        package var endingRetry: UInt64 = 200_000
        package var endingTries = 10
        /// While the director's channel is down; its coming up ends the wait.
        package var unsentRetry: UInt64 = 1_000_000
        /// Ends that are still to be told.
        package var endings = 65_536
        /// FLOW_INFO frames at once.
        package var announcementBurst = 256
        package init() {}
    }

    package enum Action: Equatable {
        case send(Frame, to: Endpoint)
        /// Ask the catalogue and adopt, then say `decided`.
        case consult(number: UInt64, Transfer, expires: UInt64)
        /// Adopt behind the request and serve it, unasked; then say `takenOver`.
        case takeOver(number: UInt64, Transfer)
        /// Close the socket, silently.
        case forget(number: UInt64)
        /// The director has handed the request over by saying so: serve it.
        case begin(number: UInt64)
        /// Its director wants it elsewhere: offer it as soon as that can be.
        case wishAway(number: UInt64)
        /// A director wants to cancel what its own packet has committed: it is served to its end.
        case tooLateToCancel(number: UInt64)
    }

    struct Key: Hashable {
        var director: Endpoint
        var transaction: UInt32
    }

    enum Phase: Equatable {
        case deciding
        case uncommitted(expires: UInt64)
        case committed
    }

    struct Adoption {
        var key: Key
        var connection: ConnectionState
        var phase: Phase
        var wantsFirstByte: Bool
        /// The last TRANSFER's, to be echoed.
        var attempt: UInt8
        /// False when nothing is held, and for UDP: the answer is all.
        var isToBeAdopted: Bool
        var requirements: Requirements
        var isCancelled = false
        var mayComeBack = false
        /// The request, where the client knows it to have arrived.
        var received: [UInt8] = []
        /// It comes from another agent: the director's word is the commit.
        var comesOver = false
        var connectionID: UInt64 = 0
        /// How often the connection had changed hands when it came here.
        var generation: UInt16 = 0
    }

    struct Remembered {
        var flow: FlowKey?
        var psn: SequenceNumber
        var message: Message
        var expires: UInt64
    }

    struct Announcement {
        var flows: [(key: FlowKey, transfer: UInt32, label: FlowLabel?)]
        var firstTransaction: UInt32
        var told = 0
    }

    struct Ending {
        var director: Endpoint
        var frame: Frame
        var tries: Int
        var next: UInt64
    }

    package var limits: Limits
    package var promises = Promises()
    package var isDraining = false
    package var actions: [Action] = []
    package internal(set) var counters = TransferCounters()

    var adoptions: [UInt64: Adoption] = [:]
    var numbers: [Key: UInt64] = [:]
    var answers: [Key: Remembered] = [:]
    /// Keys of `answers`, oldest first.
    var answerOrder: [Key] = []
    var endings: [UInt32: Ending] = [:]
    /// Those whose channel is up.
    var directors: Set<Endpoint> = []
    /// Those of them that only forward.
    var forwarders: Set<Endpoint> = []
    /// There has been one: what the clients get passes no director.
    package internal(set) var hasMetForwarders = false
    /// Committed connections.
    var numbersByFlow: [FlowKey: UInt64] = [:]
    var announcements: [Endpoint: Announcement] = [:]
    /// When the last connection that had been committed was over.
    package internal(set) var lastEnd: UInt64?
    var nextNumber: UInt64
    var nextTransaction: UInt32

    /// - Parameter firstNumber: of the first transfer; forwarders know connections by numbers.
    package init(limits: Limits = Limits(), firstTransaction: UInt32 = 1, firstNumber: UInt64 = 1) {
        self.limits = limits
        nextTransaction = firstTransaction
        nextNumber = firstNumber
    }

    /// Adopted connections, committed or not.
    package var connections: Int { adoptions.count }
    package internal(set) var uncommitted = 0
    package var creditsLeft: Int { max(0, limits.credits - uncommitted) }

    /// Connections that live here, committed or not, and ends that directors who can be reached have not answered.
    package var unsettled: Int { adoptions.count + endings.values.count { directors.contains($0.director) } }

    package func connection(of number: UInt64) -> ConnectionState? { adoptions[number]?.connection }
    package func isDeciding(_ number: UInt64) -> Bool { adoptions[number]?.phase == .deciding }
    package func transaction(of number: UInt64) -> UInt32 { adoptions[number]?.key.transaction ?? 0 }

    // MARK: Frames

    package mutating func receive(_ frame: Frame, from director: Endpoint, now: UInt64) {
        switch frame.message {
        case .transfer(let transfer): receive(transfer, frame, from: director, now: now)
        case .handOff(let transfer, _): takeOver(transfer, frame, from: director, now: now)
        case .terminate(let terminate): receive(terminate, frame, from: director, now: now)
        case .terminateResponse:
            if endings[frame.transaction]?.director.address == director.address { endings[frame.transaction] = nil }
        case .firstByte: handedOver(Key(director: director, transaction: frame.transaction))
        case .flowQuery(let flow): answerQuery(flow, frame, from: director)
        case .initiate, .challenge, .accept, .keepalive, .keepaliveResponse, .error, .transferACK, .transferNACK,
            .flowInformation, .flowInformationEnd, .flowUnknown, .blob, .blobReceipt:
            counters.unexpected += 1
        }
    }

    private mutating func receive(_ transfer: Transfer, _ frame: Frame, from director: Endpoint, now: UInt64) {
        let key = Key(director: director, transaction: frame.transaction)
        if let remembered = answers[key], remembered.psn == transfer.connection.psn,
            remembered.flow.map({ $0 == transfer.connection.key }) ?? true
        {
            counters.repeated += 1
            return reply(remembered.message, key, attempt: frame.attempt)
        }
        if let number = numbers[key], adoptions[number]?.connection.psn == transfer.connection.psn,
            adoptions[number]?.connection.key == transfer.connection.key
        {
            counters.repeated += 1
            adoptions[number]?.attempt = frame.attempt
            if adoptions[number]?.phase != .deciding { reply(.transferACK, key, attempt: frame.attempt) }
            return
        }
        counters.transfers += 1
        if transfer.isAcknowledged, transfer.isTruncated || transfer.request.isEmpty {
            return refuse(.requestIncomplete, key, transfer.connection, attempt: frame.attempt, now: now)
        }
        if isDraining { return refuse(.draining, key, transfer.connection, attempt: frame.attempt, now: now) }
        guard uncommitted < limits.credits, adoptions.count < limits.connections else {
            return refuse(.busy, key, transfer.connection, attempt: frame.attempt, now: now)
        }
        if let reason = promises.refusal(of: transfer.requirements) {
            return refuse(reason, key, transfer.connection, attempt: frame.attempt, now: now)
        }
        promises.make(transfer.requirements)
        let number = nextNumber
        nextNumber += 1
        adoptions[number] = Adoption(
            key: key, connection: transfer.connection, phase: .deciding, wantsFirstByte: transfer.wantsFirstByte,
            attempt: frame.attempt, isToBeAdopted: transfer.isHeld && !transfer.application.isOverUDP,
            requirements: transfer.requirements)
        adoptions[number]?.mayComeBack = transfer.mayComeBack
        adoptions[number]?.connectionID = transfer.connectionID
        adoptions[number]?.generation = transfer.generation
        adoptions[number]?.comesOver = transfer.isAcknowledged
        if transfer.isAcknowledged, transfer.blob == nil { adoptions[number]?.received = transfer.request }
        numbers[key] = number
        uncommitted += 1
        actions.append(.consult(number: number, transfer, expires: now + UInt64(transfer.validMicroseconds)))
    }

    private mutating func receive(_ terminate: Terminate, _ frame: Frame, from director: Endpoint, now: UInt64) {
        actions.append(
            .send(Frame(.terminateResponse, transaction: frame.transaction, attempt: frame.attempt), to: director))
        let key = Key(director: director, transaction: terminate.transfer)
        if terminate.cause == .handBack, let number = numbers[key], adoptions[number]?.phase == .committed {
            actions.append(.wishAway(number: number))
        }
        guard terminate.cause == .cancel || terminate.cause == .late else { return }
        guard let number = numbers[key], let adoption = adoptions[number] else {
            // TRANSFER may still be on its way.
            if answers[key] == nil {
                remember(.transferNACK(.expired, retryAfterMilliseconds: 0), key, nil, terminate.psn, now)
            }
            return
        }
        guard adoption.connection.psn == terminate.psn else {
            counters.mismatched += 1
            return
        }
        switch adoption.phase {
        case .deciding: adoptions[number]?.isCancelled = true
        case .uncommitted:
            counters.cancelled += 1
            actions.append(.forget(number: number))
            remember(
                .transferNACK(.expired, retryAfterMilliseconds: 0), key, adoption.connection.key, terminate.psn, now)
            drop(number)
        case .committed:
            counters.lateCancels += 1
            actions.append(.tooLateToCancel(number: number))
        }
    }

    // MARK: What became of a transfer

    /// The catalogue and the kernel have spoken. nil for adopted (or, for an observed transfer, adoptable; for UDP,
    /// taken). Gives whether the caller keeps the socket.
    package mutating func decided(_ number: UInt64, _ refusal: NACKReason?, now: UInt64) -> Bool {
        guard let adoption = adoptions[number] else { return false }
        if let refusal {
            drop(number)
            refuse(refusal, adoption.key, adoption.connection, attempt: adoption.attempt, now: now)
            return false
        }
        if adoption.isCancelled {
            counters.cancelled += 1
            drop(number)
            remember(
                .transferNACK(.expired, retryAfterMilliseconds: 0), adoption.key, adoption.connection.key,
                adoption.connection.psn, now)
            return false
        }
        counters.accepted += 1
        reply(.transferACK, adoption.key, attempt: adoption.attempt)
        guard adoption.isToBeAdopted else {
            counters.withoutAdoption += 1
            drop(number)
            remember(.transferACK, adoption.key, adoption.connection.key, adoption.connection.psn, now)
            return false
        }
        adoptions[number]?.phase = .uncommitted(expires: now + limits.uncommittedLifetime)
        return true
    }

    /// The first byte of the request has been read.
    package mutating func committed(_ number: UInt64) {
        guard let adoption = adoptions[number], case .uncommitted = adoption.phase else { return }
        counters.committed += 1
        uncommitted -= 1
        adoptions[number]?.phase = .committed
        tellForwarders(of: number)
        if adoption.wantsFirstByte {
            actions.append(.send(Frame(.firstByte, transaction: adoption.key.transaction), to: adoption.key.director))
        }
    }

    mutating func takeTransaction() -> UInt32 {
        defer { nextTransaction &+= 1 }
        return nextTransaction
    }

    // MARK: Bookkeeping

    mutating func drop(_ number: UInt64) {
        guard let adoption = adoptions.removeValue(forKey: number) else { return }
        promises.end(adoption.requirements)
        if adoption.phase != .committed { uncommitted -= 1 }
        if numbers[adoption.key] == number { numbers[adoption.key] = nil }
    }

    private mutating func refuse(
        _ reason: NACKReason, _ key: Key, _ connection: ConnectionState, attempt: UInt8, now: UInt64
    ) {
        counters.refused[reason, default: 0] += 1
        let message = Message.transferNACK(reason, retryAfterMilliseconds: reason == .busy ? 100 : 0)
        remember(message, key, connection.key, connection.psn, now)
        reply(message, key, attempt: attempt)
    }

    mutating func reply(_ message: Message, _ key: Key, attempt: UInt8) {
        actions.append(.send(Frame(message, transaction: key.transaction, attempt: attempt), to: key.director))
    }

    mutating func remember(
        _ message: Message, _ key: Key, _ flow: FlowKey?, _ psn: SequenceNumber, _ now: UInt64
    ) {
        if answers[key] == nil {
            answerOrder.append(key)
            if answerOrder.count > limits.answers { answers[answerOrder.removeFirst()] = nil }
        }
        answers[key] = Remembered(flow: flow, psn: psn, message: message, expires: now + limits.answerLifetime)
    }

    /// Carries out what is due: adoptions that waited too long, endings that were not answered, old answers.
    package mutating func advance(to now: UInt64) {
        for (number, adoption) in adoptions {
            guard case .uncommitted(let expires) = adoption.phase, expires <= now else { continue }
            counters.expired += 1
            actions.append(.forget(number: number))
            ended(number, bytesSent: 0, now: now)
        }
        repeatEnds(now)
        let stale = answerOrder.prefix { (answers[$0]?.expires ?? 0) <= now }
        for key in stale { answers[key] = nil }
        answerOrder.removeFirst(stale.count)
    }
}
