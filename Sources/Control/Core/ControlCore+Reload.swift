public import CRTP
public import InterCore
internal import Wire

// The configuration, changed while traffic runs. Everything that can refuse is asked first; then nothing fails.
extension ControlCore {
    /// What `reload` would change, in the file's words.
    public func changes(to new: DirectorConfiguration) -> [ConfigurationChange] { configuration.changes(to: new) }

    /// Why the configuration cannot be taken while the director runs; nil when it can.
    public func refusal(of new: DirectorConfiguration, keys ring: KeyRing) -> OperatorRefusal? {
        let fixed = changes(to: new).filter(\.needsRestart)
        if !fixed.isEmpty {
            let names = fixed.map { "\($0.key) (\($0.from ?? "") → \($0.to ?? ""))" }.joined(separator: ", ")
            return OperatorRefusal("only a restart can change \(names): restart batond, or take it back")
        }
        do throws(OperatorRefusal) { try checkKeys(ring) } catch { return error }
        let known = Set(proxies.filter { $0.phase != .free }.map(\.configuration.address))
        let added = new.proxies.count { !known.contains($0.address) }
        let room = proxyLimit - known.count
        guard added <= room else {
            return OperatorRefusal(
                "there is room for \(room) more proxies and \(added) are new: those that were taken away keep their place "
                    + "while they have connections; wait until they have ended, or restart batond")
        }
        return nil
    }

    /// Takes another configuration, all of it or nothing. No flow and no hold is lost: transfers under way go on as they
    /// began, connections stay with the proxy that has them, and requests that were recognised by the former rules are
    /// judged by the new ones.
    public mutating func reload(
        _ new: DirectorConfiguration, keys ring: KeyRing, now: UInt64
    ) throws(OperatorRefusal) -> [ConfigurationChange] {
        if let refusal = refusal(of: new, keys: ring) { throw refusal }
        let former = configuration
        let changes = changes(to: new)
        configuration = new
        if ring != keys.ring || new.crtp.keyFiles != keys.files { useKeys(ring, files: new.crtp.keyFiles, now: now) }
        if new.crtp.channel != former.crtp.channel { changeChannels(now: now) }
        if new.crtp.tls != former.crtp.tls { renewConnections() }
        if new.timeout != former.timeout {
            for index in proxies.indices { proxies[index].estimator.settings = new.timeout }
        }
        if new.logLinesPerSecond != former.logLinesPerSecond {
            logBudget.change(linesPerSecond: new.logLinesPerSecond)
        }
        logLevel = ControlLogEntry.Level(rawValue: new.logLevel)?.rank ?? 1
        changeProxies(now: now)
        algorithm = new.crtp.algorithm
        changeRules(from: former, now: now)
        // New connections know of the new rules before anybody is dismissed.
        dismissProxies(now: now)
        log(.warning, "configuration reloaded") { _ in [("changes", "\(changes.count)")] }
        return changes
    }

    private mutating func changeChannels(now: UInt64) {
        for index in proxies.indices where proxies[index].phase != .free {
            proxies[index].channel.change(to: configuration.crtp.channel, now: now)
            drainChannel(index, now: now)
        }
    }

    // MARK: Rules

    private mutating func changeRules(from former: DirectorConfiguration, now: UInt64) {
        policy = Policy(configuration.rules, hashSeed: hashSeed)
        selections = makeSelections()
        rulesGeneration += 1
        let table = RuleTable(
            candidates: configuration.rules.map(\.match), routes: routeRules(), generation: rulesGeneration)
        ruleTables.append(table, workers: workerCount)
        commandAll(.useRules(table))
        tellAlgorithms()
        reviewOffers(now: now)
        keepCounts(of: former)
        renewQueue(now: now)
        let choice = configuration.crtp.choice
        if choice.refusals != former.crtp.choice.refusals
            || choice.refusalLifetimeMicroseconds != former.crtp.choice.refusalLifetimeMicroseconds
        {
            refusals = RefusalCache(capacity: choice.refusals, lifetimeMicroseconds: choice.refusalLifetimeMicroseconds)
        } else {
            refusals.clear()
        }
    }

    /// Counts go with a rule's name; a rule of several combinations has them all at its first.
    private mutating func keepCounts(of former: DirectorConfiguration) {
        var rows = RuleStatus.summed(ruleCounts)
        ruleCounts = configuration.rules.map { rule in
            rows.firstIndex { $0.name == rule.name }.map { rows.remove(at: $0) } ?? RuleStatus(name: rule.name)
        }
        var counts: [String: UInt64] = [:]
        for (rule, count) in zip(former.rules, shedByRule) { counts[rule.name, default: 0] += count }
        shedByRule = configuration.rules.map { counts.removeValue(forKey: $0.name) ?? 0 }
    }

    /// The rules, by now, that a request of a former generation comes under.
    package func renewed(_ request: HeldRequest) -> HeldRequest {
        guard request.rulesGeneration != rulesGeneration else { return request }
        var renewed = request
        renewed.rulesGeneration = rulesGeneration
        renewed.rules = suitableRules(request.connection.key, request.request)
        return renewed
    }

    /// As the workers find them.
    func suitableRules(_ key: FlowKey, _ request: RecognisedRequest) -> UInt64 {
        let hash = flowHash(of: key, seed: hashSeed)
        var rules: UInt64 = 0
        for (index, rule) in configuration.rules.prefix(64).enumerated()
        where rule.match.mismatch(key) == nil && rule.match.mode.takes(hash: hash)
            && rule.match.mismatch(request) == nil
        {
            rules |= 1 << UInt64(index)
        }
        return rules
    }

    // MARK: Proxies

    /// An agent is known by its address: under another name it is the same.
    private mutating func changeProxies(now: UInt64) {
        for index in proxies.indices where proxies[index].phase != .free {
            let address = proxies[index].configuration.address
            guard let kept = configuration.proxies.first(where: { $0.address == address }) else { continue }
            keep(index, as: kept, now: now)
        }
        for added in configuration.proxies
        where !proxies.contains(where: { $0.phase != .free && $0.configuration.address == added.address }) {
            place(added, now: now)
        }
        findEndpoints()
    }

    private mutating func keep(_ index: Int, as configuration: DirectorConfiguration.Proxy, now: UInt64) {
        let (hop, encapsulation) = (proxies[index].nextHop, proxies[index].encapsulation)
        let former = proxies[index].configuration
        proxies[index].configuration = configuration
        if former.encapsulation != configuration.encapsulation { proxies[index].narrowPath = nil }
        let isBack = proxies[index].phase != .active
        proxies[index].phase = .active
        let hasMoved = proxies[index].nextHop != hop || proxies[index].encapsulation != encapsulation
        if proxies[index].isUp, let changed = proxies[index].nextHop, hasMoved || isBack { introduce(index, changed) }
        changeConnection(index, from: former, now: now)
        if isBack, proxies[index].channel.state == .idle, proxies[index].wish != .down { open(index, now: now) }
    }

    private mutating func place(_ configuration: DirectorConfiguration.Proxy, now: UInt64) {
        let free = proxies.firstIndex { $0.phase == .free }
        let index = free ?? proxies.count
        let record = makeProxy(configuration, index: index)
        if free == nil { proxies.append(record) } else { proxies[index] = record }
        open(index, now: now)
    }

    private mutating func dismissProxies(now: UInt64) {
        for index in proxies.indices where proxies[index].phase == .active {
            let address = proxies[index].configuration.address
            if !configuration.proxies.contains(where: { $0.address == address }) {
                proxies[index].phase = .leaving
                log(.info, "proxy leaves") { [("proxy", $0.proxies[index].configuration.name)] }
            }
        }
        departuresDueAt = proxies.contains { $0.isGoing } ? now : nil
    }

    package static var departureMicroseconds: UInt64 { 200_000 }

    /// A proxy that was taken away: its channel ends when no transfer needs it any more, and its place is free when no
    /// worker has a flow that goes there.
    package mutating func seeProxiesOff(now: UInt64) {
        for index in proxies.indices where proxies[index].isGoing && proxies[index].transfers == 0 {
            switch proxies[index].phase {
            case .leaving:
                if installs.isAwaited(proxy: index) { continue }
                retirements += 1
                proxies[index].phase = .retired(retirements, awaited: Set(0..<workerCount))
                proxies[index].channel.stop(now: now)
                drainChannel(index, now: now)
                commandAll(.retireProxy(proxies[index].index, retirements))
            case .retired(_, let awaited):
                guard awaited.isEmpty else { continue }
                let name = proxies[index].configuration.name
                history.forget(proxy: index, name: name)
                trust(index)
                moves.forget(proxy: index)
                evacuations[index] = nil
                if proxies[index].configuration.transport.isStream {
                    actions.append(.disconnect(proxies[index].configuration.address))
                }
                proxies[index].phase = .free
                findEndpoints()
                log(.info, "proxy removed") { _ in [("proxy", name)] }
            case .active, .free: break
            }
        }
        departuresDueAt = proxies.contains { $0.isGoing } ? now + Self.departureMicroseconds : nil
    }

    /// A worker has no flow of a proxy any more.
    package mutating func proxyUnused(_ proxy: ProxyIndex, retirement: UInt32, worker: Int) {
        let index = Int(proxy.value)
        guard index < proxies.count, case .retired(retirement, var awaited) = proxies[index].phase else { return }
        awaited.remove(worker)
        proxies[index].phase = .retired(retirement, awaited: awaited)
    }
}
