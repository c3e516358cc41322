public import CRTP
public import InterCore
public import Wire

/// The control core: what workers report and agents answer goes in, commands and datagrams come out. Pure: no socket,
/// no clock, no ring; `batond` does the moving. Times are microseconds of a monotonic clock.
///
/// A request goes down one line: `handle` → policy → selection → `TransferMachine` → channel; its answer comes back by
/// `receive` → channel → `TransferMachine` → command. `TransferMachine.md` says what happens in between.
public struct ControlCore {
    /// What is to be done, in order; the caller carries it out and empties the list.
    public var actions: [ControlAction] = []

    package internal(set) var configuration: DirectorConfiguration
    package let workerCount: Int
    package let hashSeed: UInt64
    /// This director's number in CRTP.
    package let senderID: UInt32
    package internal(set) var policy: Policy
    /// By rule.
    package var selections: [Selection] = []
    package internal(set) var proxyByEndpoint: [Endpoint: Int] = [:]
    /// Of the rules that are in force here; workers may be one behind.
    package internal(set) var rulesGeneration: UInt32 = 0
    /// Tables that workers may have, oldest first.
    package var ruleTables = HandedTables<RuleTable>()
    package var virtualServers: VirtualServers
    package var virtualServerTables = HandedTables<VirtualServerTable>()
    /// Counts the proxies that were taken away.
    package var retirements: UInt32 = 0
    /// When to look after proxies that were taken away.
    package var departuresDueAt: UInt64?
    /// The next look at what routers said of ways to proxies.
    package var pathsDueAt: UInt64?
    /// Longest wait for an agent: with what recognition may have taken, it ends before the worker's own backstop.
    package let longestTimeoutMicroseconds: UInt64
    /// Transfers whose request is held, or observed, at once; more go to the origin unasked.
    package let pendingLimit: Int
    /// Adoptions that are being called back at once.
    package let recallLimit: Int
    package var logLevel: Int

    package var proxies: [ProxyRecord] = []
    private let epoch: UInt64
    private let random: any RandomNumberGenerator & Sendable
    package var keys: HeldKeys
    package var transfers: TransferTable
    package var history = TransferHistory(capacity: 1_000)
    package var wheel: TimingWheel<Int>
    package var counters = ControlCounters()
    package var decisionTimes = TimeHistogram()
    package var refusals: RefusalCache
    package var queue: RequestQueue
    /// By which rules with the algorithm `multicast` ask.
    package var group: GroupSender?
    /// By which rules with `handoff: one-way` give.
    package var handOffs = HandOffs()
    /// By rule: requests that waited in vain.
    package var shedByRule: [UInt64]
    /// When the queue was last looked at.
    package var lastServed: UInt64 = 0
    /// Proxies that are set aside.
    package var suspectCount = 0
    /// By rule.
    package var ruleCounts: [RuleStatus] = []
    package var installs = InstallTable()
    package var endedFlows = EndedFlows()
    /// Of a forwarder: connections that agents are asked for.
    package var flowQueries = FlowQueries()
    package var listing = FlowListing()
    package var traces = Traces()
    /// UDP flows whose first datagrams are held.
    package var flights = FirstFlights()
    /// Connections that agents have handed back.
    package var moves = MoveTable()
    /// What is under way on connections that change hands in the middle of something.
    package var blobs: BlobExchange<Int>
    /// Proxies that an operator wants empty, by their places.
    package var evacuations: [Int: Evacuation] = [:]
    /// Of rules that have none of their own.
    package var algorithm: SelectionAlgorithm
    package var draws: SplitMix
    package var isBypassed = false
    package var isRecovering = true
    package var pendingCount = 0
    package var recallCount = 0
    package var startedAt: UInt64 = 0
    package var nextTransaction: UInt32
    package var expired: [Int] = []
    package var transferActions: [TransferAction] = []
    package var channelActions: [ChannelAction] = []
    package var logBudget: LogBudget

    /// Timers that one `advance` lets fire, at most.
    package static var expirationsInOneAdvance: Int { 4_096 }

    /// - Parameters:
    ///   - epoch: Changes with each start; also the seed of the flows' hash and of the transfers' numbers.
    ///   - random: For the channels' nonces.
    public init(
        configuration: DirectorConfiguration, keys: KeyRing, workerCount: Int, epoch: UInt64,
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.configuration = configuration
        blobs = BlobExchange(initiateBytes: configuration.crtp.channel.initiateBytes)
        self.keys = HeldKeys(ring: keys, files: configuration.crtp.keyFiles)
        self.workerCount = max(1, workerCount)
        hashSeed = foldedProduct(epoch ^ 0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93)
        policy = Policy(configuration.rules, hashSeed: hashSeed)
        algorithm = configuration.crtp.algorithm
        draws = SplitMix(seed: hashSeed)
        logBudget = LogBudget(linesPerSecond: configuration.logLinesPerSecond)
        logLevel = ControlLogEntry.Level(rawValue: configuration.logLevel)?.rank ?? 1

        let choice = configuration.crtp.choice
        refusals = RefusalCache(capacity: choice.refusals, lifetimeMicroseconds: choice.refusalLifetimeMicroseconds)

        queue = RequestQueue(
            limit: configuration.crtp.queue.requests,
            patienceMicroseconds: configuration.crtp.queue.patienceMicroseconds,
            priorities: configuration.rules.map(\.priority))
        shedByRule = .init(repeating: 0, count: configuration.rules.count)

        senderID = UInt32(truncatingIfNeeded: hashSeed >> 32)
        ruleCounts = configuration.rules.map { RuleStatus(name: $0.name) }
        self.epoch = epoch
        self.random = random
        let workers = configuration.workers
        let backstop = WorkerConfiguration().backstopMicroseconds
        longestTimeoutMicroseconds = max(1_000, backstop - min(backstop, workers.incompleteHeadMicroseconds + 5_000))
        pendingLimit = max(1, workers.heldFlows * self.workerCount)
        recallLimit = 4 * pendingLimit
        transfers = TransferTable(
            capacity: (workers.flowCapacity + workers.flowCapacityIPv6 + 2 * workers.datagramFlowCapacity)
                * self.workerCount + pendingLimit + recallLimit)
        wheel = TimingWheel(tickMicroseconds: min(200, max(100, configuration.timeout.granularityMicroseconds)))
        nextTransaction = UInt32(truncatingIfNeeded: hashSeed)
        var source = random
        virtualServers = VirtualServers(configuration, random: &source)
        proxies = configuration.proxies.prefix(proxyLimit).enumerated().map { makeProxy($1, index: $0) }
        findEndpoints()
        selections = makeSelections()
        tellAlgorithms()
        renewGroup()
        renewHandOffs()
    }

    /// `ProxyIndex` counts from 0 to 254; origins have the last ones.
    package var proxyLimit: Int { 255 - virtualServers.origins.count }

    package func makeProxy(_ proxy: DirectorConfiguration.Proxy, index: Int) -> ProxyRecord {
        var channel = ChannelInitiator(
            peer: proxy.address, keys: keys.ring, senderID: senderID, epoch: epoch,
            configuration: configuration.crtp.channel, random: random)
        channel.group = group?.description
        channel.isForwarder = configuration.role == .forwarder
        return ProxyRecord(
            index: ProxyIndex(UInt8(index)), configuration: proxy, channel: channel, timeout: configuration.timeout)
    }

    package func makeSelections() -> [Selection] {
        // Those that are about to be dismissed are active still.
        let configured = Set(configuration.proxies.map(\.address))
        return configuration.rules.map { rule in
            // In the rule's order, which `enforced` heeds.
            let candidates =
                rule.proxies.isEmpty
                ? proxies.indices.filter {
                    proxies[$0].phase == .active && configured.contains(proxies[$0].configuration.address)
                }
                : rule.proxies.compactMap(position(ofProxy:))
            return Selection(rule.algorithm ?? configuration.crtp.algorithm, among: candidates, of: proxies)
        }
    }

    package mutating func findEndpoints() {
        let known = proxies.enumerated().filter { $1.phase != .free }
        proxyByEndpoint = Dictionary(known.map { ($1.configuration.address, $0) }) { first, _ in first }
    }

    /// Opens the channels. Once, before anything else. What workers hold from before goes to the origin.
    public mutating func start(now: UInt64) {
        startedAt = now
        logBudget = LogBudget(linesPerSecond: configuration.logLinesPerSecond, now: now)
        wheel = TimingWheel(tickMicroseconds: wheel.tickMicroseconds, now: now)
        commandAll(.abortAllHolds)
        introduceClassifiers()
        if configuration.role == .classifier { reviewOffers(now: now) }
        for index in proxies.indices { open(index, now: now) }
        if configuration.workers.recoveryMicroseconds == 0 || proxies.isEmpty { endRecovery("nothing to recover") }
    }

    /// A datagram came in on the CRTP socket.
    public mutating func receive(_ datagram: [UInt8], from: Endpoint, now: UInt64) {
        // Before any parsing: a peer is known by its configured address alone.
        guard let index = proxyByEndpoint[from], !proxies[index].configuration.transport.isStream else {
            counters.add(.unknownPeer)
            return
        }
        receive(datagram, of: index, now: now)
    }

    package mutating func receive(_ frame: [UInt8], of index: Int, now: UInt64) {
        counters.add(.received)
        proxies[index].channel.receive(frame, now: now)
        drainChannel(index, now: now)
        if !queue.isEmpty { serveQueue(now: now) }
    }

    /// A worker reports. `payload` is only good for the call.
    public mutating func handle(_ event: WorkerEvent, payload: UnsafeRawBufferPointer, worker: Int, now: UInt64) {
        switch event {
        case .requestHeld(let request): decide(request, isHeld: true, payload: payload, now: now)
        case .requestObserved(let request): decide(request, isHeld: false, payload: payload, now: now)
        case .datagramHeld(let datagram): read(datagram, isHeld: true, payload: payload, now: now)
        case .datagramObserved(let datagram): read(datagram, isHeld: false, payload: payload, now: now)
        case .identifierLearnt(let identifier): spread(identifier, from: worker)
        case .committed(let handle):
            drive(handle, .committed, now: now)
            if handle.isOfDatagrams { settled(handle, isCommitted: true, now: now) }
        case .aborted(let handle, let reason):
            drive(handle, .aborted(reason), now: now)
            if handle.isOfDatagrams { settled(handle, isCommitted: false, now: now) }
        case .moved(let handle): moved(handle, now: now)
        case .moveRefused(let handle): moveRefused(handle, now: now)
        case .requestRepeated(let handle): drive(handle, .requestRepeated, now: now)
        case .handOffOver(let handle): handOffOver(handle)
        case .flowEnded(let handle, let end): drive(handle, .flowEnded(end), now: now)
        case .flowInstalled(let handle, let ticket): flowInstalled(handle, ticket: ticket, now: now)
        case .flowRefused(let ticket): flowRefused(ticket: ticket)
        case .proxyUnused(let proxy, let retirement): proxyUnused(proxy, retirement: retirement, worker: worker)
        case .flowWanted(let key): flowWanted(key, now: now)
        case .pathNarrowed(let proxy, let mtu): pathNarrowed(proxy, mtu, now: now)
        case .rulesInForce(let generation): ruleTables.inForce(generation, worker: worker)
        case .virtualServersInForce(let generation): virtualServerTables.inForce(generation, worker: worker)
        case .flow(let summary, let ticket): listing.append(summary, worker: worker, ticket: ticket)
        case .flowCount(let state, let proxy, let count, let ticket):
            listing.append(count, state: state, proxy: proxy, worker: worker, ticket: ticket)
        case .endOfFlows(let next, let ticket): continueListing(worker: worker, next: next, ticket: ticket)
        }
        if !queue.isEmpty { serveQueue(now: now) }
    }

    /// Lets everything happen that was due by `now`.
    public mutating func advance(to now: UInt64) {
        logBudget.advance(to: now)
        if let suppressed = logBudget.takeSuppressed() {
            actions.append(.log(ControlLogEntry(.warning, "lines suppressed", suppressed.fields)))
        }
        for index in proxies.indices {
            if let deadline = proxies[index].channel.nextDeadline, deadline <= now {
                proxies[index].channel.advance(to: now)
                drainChannel(index, now: now)
            }
            if let deadline = proxies[index].announcementDeadline, deadline <= now { announceAgain(index, now: now) }
        }
        var due = expired
        expired = []
        wheel.advance(to: now, limit: Self.expirationsInOneAdvance) { due.append($0) }
        for slot in due where transfers.contains(slot: slot) {
            transfers[slot].timer = nil
            drive(slot: slot, .timer, now: now)
        }
        due.removeAll(keepingCapacity: true)
        expired = due
        if !queue.isEmpty { serveQueue(now: now) }
        if !traces.isEmpty { traces.forget(now: now) }
        if !moves.isEmpty { advanceMoves(to: now) }
        if let due = blobs.nextDeadline, due <= now { advanceBlobs(to: now) }
        if !evacuations.isEmpty { advanceEvacuations(to: now) }
        if isRecovering, now >= recoveryDeadline { endRecovery("time is up") }
        if let due = departuresDueAt, due <= now { seeProxiesOff(now: now) }
        if let due = pathsDueAt, due <= now { widenPaths(now: now) }
        if let due = virtualServers.offersDueAt, due <= now { reviewOffers(now: now) }
    }

    /// When `advance` must be called next; nil for "whenever something comes".
    public var nextDeadline: UInt64? {
        var earliest = wheel.nextDeadline
        func consider(_ deadline: UInt64?) {
            if let deadline { earliest = min(earliest ?? deadline, deadline) }
        }
        for index in proxies.indices {
            consider(proxies[index].channel.nextDeadline)
            consider(proxies[index].announcementDeadline)
        }
        if isRecovering { consider(recoveryDeadline) }
        consider(listing.deadline)
        consider(queueDeadline)
        consider(departuresDueAt)
        consider(pathsDueAt)
        consider(virtualServers.offersDueAt)
        consider(moves.nextDeadline)
        consider(blobs.nextDeadline)
        for evacuation in evacuations.values { consider(evacuation.nextDeadline) }
        return earliest
    }

    package var recoveryDeadline: UInt64 { startedAt + configuration.workers.recoveryMicroseconds }
}

extension ControlCore {
    package mutating func commandAll(_ command: WorkerCommand) {
        for worker in 0..<workerCount { actions.append(.command(command, worker: worker)) }
    }

    /// The line is only made when the configured level wants it and the bound on lines has room for it: where transfers
    /// are many, their lines would cost more than they do.
    package mutating func log(
        _ level: ControlLogEntry.Level, _ event: String, _ fields: (ControlCore) -> [(name: String, value: String)]
    ) {
        guard level.rank >= logLevel, logBudget.take(event) else { return }
        actions.append(.log(ControlLogEntry(level, event, fields(self))))
    }
}
