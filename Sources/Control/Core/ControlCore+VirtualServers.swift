internal import CRTP
internal import InterCore
internal import Wire

// Addresses of the director's own: which of their origins are up, and what their SYN/ACKs may promise.
extension ControlCore {
    /// A check of the origin at a place has ended.
    public mutating func checked(origin index: Int, _ check: OriginCheck, now: UInt64) {
        guard virtualServers.origins.indices.contains(index) else { return counters.add(.strayEvent) }
        let before = virtualServers.origins[index].shared
        let isChange = virtualServers.origins[index].note(check)
        let after = virtualServers.origins[index].shared
        // One that is down from the start is told of, too.
        if isChange || virtualServers.origins[index].changedAt == nil {
            virtualServers.origins[index].changedAt = now
            let (origin, isUp) = (virtualServers.origins[index], after.isUp)
            log(isUp ? .info : .warning, isUp ? "origin up" : "origin down") { _ in
                [("origin", origin.name), isUp ? ("mac", "\(after.hop.mac)") : ("reason", origin.reason)]
            }
        }
        if before != after { handVirtualServers() }
    }

    /// All workers get a table with everything as it is now.
    private mutating func handVirtualServers() {
        introduceClassifiers()
        virtualServers.generation += 1
        let table = VirtualServerTable(
            servers: virtualServers.servers.map(\.shared), origins: virtualServers.origins.map(\.shared),
            generation: virtualServers.generation, areClassifiers: virtualServers.areClassifiers)
        virtualServerTables.append(table, workers: workerCount)
        commandAll(.useVirtualServers(table))
    }

    /// `batonctl origins`.
    public func originStatus(now: UInt64) -> [OriginStatus] {
        virtualServers.origins.map { origin in
            let server = virtualServers.servers[origin.server].configuration
            var row = OriginStatus()
            row.server = origin.tunnel == nil ? server.name : "classifiers"
            row.serverAddress = origin.tunnel.map { "\($0.address)" } ?? "\(server.address)"
            row.origin = origin.configuration.name
            row.address = "\(origin.configuration.address)"
            row.up = origin.shared.isUp
            row.sinceSeconds = Double(now - min(origin.changedAt ?? startedAt, now)) / 1_000_000
            row.reason = origin.reason
            row.mac = origin.mac == .zero ? "" : "\(origin.mac)"
            return row
        }
    }

    // MARK: Offers

    /// Lets each virtual server promise what its origins and proxies can keep by now.
    package mutating func reviewOffers(now: UInt64) {
        virtualServers.offersDueAt = nil
        // A forwarder promises nothing.
        if configuration.role == .forwarder { return }
        var isChanged = false
        for index in virtualServers.servers.indices {
            let wanted = offer(of: index)
            let server = virtualServers.servers[index]
            guard wanted != server.shared.offer else { continue }
            let dueAt = server.offerChangedAt.map { $0 + VirtualServers.offerPauseMicroseconds } ?? now
            if dueAt > now {
                virtualServers.offersDueAt = min(virtualServers.offersDueAt ?? dueAt, dueAt)
                continue
            }
            virtualServers.servers[index].shared.formerOffer = server.shared.offer
            virtualServers.servers[index].shared.offer = wanted
            virtualServers.servers[index].offerChangedAt = now
            isChanged = true
            log(.info, "offer changed") { _ in
                [("server", server.configuration.name), ("offer", wanted.summary)]
            }
        }
        if isChanged { handVirtualServers() }
    }

    /// What the origins keep, less what a proxy cannot that may get the connections. One that is down counts as it was, so
    /// that a channel that comes and goes changes nothing; one that never came up does not count.
    private func offer(of index: Int) -> HandshakeOffer {
        let server = virtualServers.servers[index].configuration
        var offer = HandshakeOffer(server)
        // What clients send comes by a forwarder's tunnel.
        if let forwarders = configuration.forwarders { offer.limit(toPath: forwarders.innerMTU) }
        for proxy in proxiesInReach(of: server.address) {
            guard proxies[proxy].phase == .active, let agent = proxies[proxy].agent,
                agent.capabilities.contains(server.address.address.isV4 ? .ipv4 : .ipv6)
            else { continue }
            offer.limit(to: agent, pathMTU: proxies[proxy].nextHop?.mtu ?? agent.mtu)
        }
        return offer
    }

    /// The proxies of all rules that cover an address and port.
    private func proxiesInReach(of address: Endpoint) -> Set<Int> {
        var found: Set<Int> = []
        for (rule, selection) in zip(configuration.rules, selections) {
            let match = rule.match
            guard match.mode != .off, !match.applications.isOverUDP, match.server.contains(address.address),
                (match.firstPort...match.lastPort).contains(address.port)
            else { continue }
            found.formUnion(selection.candidates)
        }
        return found
    }
}

extension OriginRecord {
    /// True when it came up or went down, for workers too: what has no Ethernet address is down for them.
    fileprivate mutating func note(_ check: OriginCheck) -> Bool {
        let before = shared.isUp
        switch check {
        case .good(let found):
            if configuration.mac == nil, let found { mac = found }
            let isReachable = mac != .zero
            reason = isReachable ? "takes connections" : "the kernel knows no Ethernet address for it"
            _ = health.note(isGood: isReachable)
        case .failed(let why):
            reason = why
            _ = health.note(isGood: false)
        }
        return shared.isUp != before
    }
}

extension HandshakeOffer {
    /// An adopted connection has no room for more than the way to its proxy takes.
    fileprivate mutating func limit(to agent: AgentDescription, pathMTU: UInt16) {
        if !agent.capabilities.contains(.windowScale) { windowScale = 0xFF }
        if !agent.capabilities.contains(.sack) { sack = false }
        if !agent.capabilities.contains(.timestamps) { timestamps = false }
        if pathMTU > 0 { limit(toPath: pathMTU) }
    }

    fileprivate mutating func limit(toPath mtu: UInt16) {
        maximumSegmentSize = min(maximumSegmentSize, max(Self.leastSegment, mtu - min(mtu, 40)))
    }

    /// What every TCP must be able to take (RFC 9293 section 3.7.1).
    private static var leastSegment: UInt16 { 536 }

    fileprivate var summary: String {
        let options = [(windowScale <= 14, "window-scale"), (sack, "sack"), (timestamps, "timestamps")]
        return (["mss \(maximumSegmentSize)"] + options.filter(\.0).map(\.1)).joined(separator: ", ")
    }
}
