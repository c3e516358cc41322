public import CRTP
public import InterCore

// What an operator asks for and changes.
extension ControlCore {
    /// Stops (or resumes) holding. What is held goes to the origin; what is committed stays.
    public mutating func setBypass(_ isOn: Bool) {
        isBypassed = isOn
        commandAll(.bypass(isOn))
        log(.warning, isOn ? "bypass on" : "bypass off") { _ in [] }
    }

    /// For one rule, or for all of them. False when there is no rule of that name. The next KEEPALIVEs say so.
    public mutating func setAlgorithm(_ chosen: SelectionAlgorithm, rule name: String? = nil) -> Bool {
        let rules = configuration.rules.indices.filter { name == nil || configuration.rules[$0].name == name }
        guard name == nil || !rules.isEmpty else { return false }
        if name == nil {
            algorithm = chosen
            configuration.crtp.algorithm = chosen
        }
        for rule in rules {
            selections[rule].change(to: chosen, of: proxies)
            // What is in force is what a reload compares with.
            if name != nil || configuration.rules[rule].algorithm != nil {
                configuration.rules[rule].algorithm = chosen
            }
        }
        tellAlgorithms()
        log(.info, "algorithm changed") { _ in [("algorithm", chosen.name), ("rule", name ?? "all")] }
        return true
    }

    /// KEEPALIVE names one algorithm: that of the first rule that a proxy serves.
    package mutating func tellAlgorithms() {
        for index in proxies.indices {
            let own = selections.first { $0.candidates.contains(index) }
            proxies[index].channel.algorithm = own?.algorithm ?? algorithm
        }
    }

    /// The algorithms in force: all rules' own, and that of the others.
    public func algorithms() -> AlgorithmStatus {
        var rules: [String: String] = [:]
        for (rule, selection) in zip(configuration.rules, selections) { rules[rule.name] = selection.algorithm.name }
        return AlgorithmStatus(algorithm: algorithm.name, rules: rules)
    }

    /// Tells all agents that this director goes, so that none waits to miss it. Connections that were handed over go on.
    public mutating func leave(now: UInt64) {
        for index in proxies.indices {
            proxies[index].channel.stop(now: now)
            drainChannel(index, now: now)
        }
    }

    /// What an operator wants of a proxy. False when there is none of that name.
    public mutating func set(_ wish: ProxyWish, proxy name: String, now: UInt64) -> Bool {
        guard let index = position(ofProxy: name) else { return false }
        proxies[index].wish = wish
        log(.info, "proxy set") { _ in [("proxy", name), ("to", wish.rawValue)] }
        evacuations[index] = nil
        switch wish {
        case .up, .drain, .evacuate:
            if wish == .evacuate { evacuate(index, now: now) }
            if proxies[index].channel.state == .idle { open(index, now: now) }
        case .down:
            // While the agent can be told: what is pending goes to the origin.
            abandon(index, .administrative, now: now)
            proxies[index].channel.stop(now: now)
        }
        drainChannel(index, now: now)
        return true
    }

    /// `batonctl status`. `version` and `lcore` are the caller's to fill in.
    public func status(workers: [CounterBlock], now: UInt64) -> DirectorStatus {
        var status = DirectorStatus()
        status.name = configuration.name
        status.uptimeSeconds = Double(now - min(startedAt, now)) / 1_000_000
        status.bypass = isBypassed
        status.recovering = isRecovering
        status.algorithm = algorithm.name
        status.workers = workers.enumerated().map { index, block in
            var row = WorkerStatus()
            row.index = index
            for counter in Counter.allCases { row.counters["\(counter)"] = block[counter] }
            for gauge in Gauge.allCases { row.gauges["\(gauge)"] = block[gauge] }
            return row
        }
        status.transfers = counters.transfers
        status.decisionTimes = decisionTimes
        status.rules = RuleStatus.summed(ruleCounts)
        status.pendingTransfers = pendingCount
        status.queuedRequests = queue.count
        for (rule, count) in zip(configuration.rules, shedByRule) { status.shed[rule.name, default: 0] += count }
        status.proxiesUp = proxies.count { $0.isUp && $0.phase == .active }
        status.proxiesConfigured = configuration.proxies.count
        status.origins = originStatus(now: now)
        status.crtp = counters.crtp
        status.blobs = blobs.counts
        for proxy in proxies {
            for counter in proxy.channel.counters.named where counter.name != "received" && counter.name != "sent" {
                status.crtp[counter.name, default: 0] += counter.value
            }
        }
        return status
    }

    /// `batonctl proxies`, in the configuration's order.
    public func proxyStatus() -> [ProxyStatus] {
        proxies.filter { $0.phase != .free }.map { proxy in
            var row = ProxyStatus()
            row.name = proxy.configuration.name
            row.address = "\(proxy.configuration.address)"
            row.state = proxy.stateName
            row.administrative = proxy.wish
            row.transport = proxy.configuration.transport.rawValue
            row.connected = proxy.connection.isOpen
            row.connects = proxy.connection.made
            row.connectionEnds = proxy.connection.ends
            row.undelivered = proxy.connection.undelivered
            row.mac = proxy.nextHop.map { "\($0.mac)" } ?? ""
            row.weight = proxy.configuration.weight
            row.connections = proxy.status?.connections ?? 0
            row.processorLoad = proxy.status?.processorLoad ?? 0
            row.memoryLoad = proxy.status?.memoryLoad ?? 0
            row.committedFlows = proxy.committed
            row.pendingTransfers = proxy.pending
            row.acks = proxy.acks
            row.nacks = proxy.nacks
            row.timeouts = proxy.timeouts
            row.lateACKs = proxy.lateACKs
            row.passedOn = proxy.passedOn
            row.consecutiveTimeouts = proxy.consecutiveTimeouts
            row.probes = proxy.probes
            row.srttMicroseconds = proxy.estimator.srttMicroseconds ?? 0
            row.rttvarMicroseconds = proxy.estimator.rttvarMicroseconds
            row.timeoutMicroseconds = proxy.estimator.timeoutMicroseconds
            row.movedAway = proxy.movedAway
            row.movesRefused = proxy.movesRefused
            row.adoptionTimes = proxy.adoptionTimes
            return row
        }
    }

    /// `batonctl transfers`: pending ones, then those that ended, newest first.
    public func transferStatus(limit: Int, now: UInt64) -> [TransferStatus] {
        var rows: [TransferStatus] = []
        for slot in transfers.slotsInUse where rows.count < limit && transfers[slot].machine.state.isPending {
            rows.append(transferRow(slot, now: now))
        }
        for entry in history.newestFirst.prefix(max(0, limit - rows.count)) {
            var row = row(
                entry.transaction, entry.formerProxy ?? proxies[entry.proxy].configuration.name, "\(entry.key)",
                entry.request?.summary(limit: TransferHistory.textLimit))
            row.state =
                entry.isPassedOn ? "passedOn" : entry.outcome.ending == .committed ? "committed" : "origin"
            row.reason = entry.outcome.reason
            row.tookMicroseconds = entry.tookMicroseconds
            note(entry.endedAt - min(entry.tookMicroseconds, entry.endedAt), entry.answeredAt, in: &row)
            rows.append(row)
        }
        return rows
    }

    /// A transfer that is not over.
    package func transferRow(_ slot: Int, now: UInt64) -> TransferStatus {
        let record = transfers[slot]
        var row = row(
            record.transaction, proxies[record.proxy].configuration.name, "\(record.key)", record.request?.summary())
        row.state = record.machine.state.rawValue
        row.tookMicroseconds = now - min(record.startedAt, now)
        note(record.startedAt, record.answeredAt, in: &row)
        return row
    }

    private func note(_ startedAt: UInt64, _ answeredAt: UInt64?, in row: inout TransferStatus) {
        row.startedSeconds = Double(startedAt - min(self.startedAt, startedAt)) / 1_000_000
        row.answeredMicroseconds = answeredAt.map { $0 - min(startedAt, $0) } ?? 0
    }

    private func row(
        _ transaction: UInt32, _ proxy: String, _ flow: String, _ request: TransferSummary?
    ) -> TransferStatus {
        var row = TransferStatus()
        row.transfer = transaction
        row.flow = flow
        row.proxy = proxy
        guard let request else { return row }
        row.host = request.host
        row.path = request.path
        row.rule = request.rule
        return row
    }

    /// The routes with their proxies' places.
    package func routeRules() -> [RouteRule] {
        configuration.routes.map { route in
            var rule = route.match
            rule.proxy = route.proxy.flatMap(position(ofProxy:)).map { proxies[$0].index } ?? .none
            return rule
        }
    }

    /// The configured proxy of that name.
    package func position(ofProxy name: String) -> Int? {
        proxies.firstIndex { $0.phase == .active && $0.configuration.name == name }
    }

    /// What a worker is told before it starts. Every worker has the same rules, routes and hash seed.
    public func workerConfiguration(for index: Int) -> WorkerConfiguration {
        let workers = configuration.workers
        var result = WorkerConfiguration()
        result.candidates = configuration.rules.prefix(64).map(\.match)
        result.routes = routeRules()
        result.role = configuration.role
        if let forwarders = configuration.forwarders {
            var arrivals = Arrivals(
                forwarders.kind, at: configuration.tunnelAddresses, from: forwarders.addresses,
                gateway: forwarders.gateway)
            arrivals.network = forwarders.network
            result.arrivals = arrivals
            // Answers to clients, and proxies that give them, do not depend on any one classifier.
            result.proxiesOnClientSide = true
        }
        result.virtualServers = virtualServers.servers.map(\.shared)
        result.origins = virtualServers.origins.map(\.shared)
        result.cookieSecret = virtualServers.cookieSecret
        result.timestampOffset = virtualServers.timestampOffset
        result.flowCapacity = workers.flowCapacity
        result.flowCapacityIPv6 = workers.flowCapacityIPv6
        result.datagramFlowCapacity = workers.datagramFlowCapacity
        result.datagramIdleMicroseconds = workers.datagramIdleMicroseconds
        result.heldPacketLimit = workers.heldPackets
        result.heldFlowLimit = workers.heldFlows
        result.headLimit = workers.headLimit
        result.incompleteHeadMicroseconds = workers.incompleteHeadMicroseconds
        result.synOnlyMicroseconds = workers.synOnlyMicroseconds
        result.idleMicroseconds = workers.idleMicroseconds
        result.committedIdleMicroseconds = workers.committedIdleMicroseconds
        result.closedMicroseconds = workers.closedMicroseconds
        result.maximumSegment = workers.maximumSegment
        result.recoveryMicroseconds = workers.recoveryMicroseconds
        result.hashSeed = hashSeed
        result.idle = workers.idle
        result.transmitDelayMicroseconds = workers.transmitDelayMicroseconds
        result.workerCount = workerCount
        result.workerIndex = index
        return result
    }
}
