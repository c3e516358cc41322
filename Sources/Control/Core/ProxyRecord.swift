package import CRTP
package import InterCore
package import Wire

/// What the control core knows of a proxy: its channel, what its agent says of itself, and how it has answered.
package struct ProxyRecord: Sendable {
    package let index: ProxyIndex
    package var configuration: DirectorConfiguration.Proxy
    package var channel: ChannelInitiator
    package var agent: AgentDescription?
    package var status: AgentStatus?
    package var estimator: RoundTripEstimator
    package var phase = Phase.active
    package var isUp = false
    package var connection = ProxyConnection()
    /// Its agent has said that it listens to the multicast group.
    package var isInGroup = false
    package var announcement = Announcement.awaited
    /// An announcement under way that has not gone on by then is asked for again.
    package var announcementDeadline: UInt64?
    package var announcementTries = 0
    /// When the present try began.
    package var announcementStartedAt: UInt64 = 0
    /// Transfers announced in the present try, by the transactions of their FLOW_INFO. What comes late from an earlier
    /// try has other transactions than those before the end.
    package var announced: [UInt32: UInt32] = [:]
    /// What the operator wants of it.
    package var wish = ProxyWish.up
    /// Connections that others went on with after it had handed them back, and offers that came to nothing.
    package var movedAway: UInt64 = 0
    package var movesRefused: UInt64 = 0
    /// Not asked before this: a NACK said when to come again.
    package var restsUntil: UInt64 = 0
    /// TRANSFERs in a row that timed out, each of them sent after the one before had.
    package var consecutiveTimeouts = 0
    package var timeoutCountedAt: UInt64 = 0
    /// Set aside because of them: no client's request waits for it until it has answered a probe.
    package var isSuspect = false
    /// What a router said of the way to a proxy beyond layer 2: bytes of IP, and until when that is believed.
    package var narrowPath: (mtu: UInt16, until: UInt64)?
    /// The next probe is not before this.
    package var probeAt: UInt64 = 0
    /// Records in the table of transfers, in whatever state.
    package var transfers = 0
    package var pending = 0
    package var committed = 0
    package var committedAtStatus = 0
    package var pendingAtStatus = 0
    package var acks: UInt64 = 0
    package var nacks: UInt64 = 0
    package var timeouts: UInt64 = 0
    package var lateACKs: UInt64 = 0
    /// Requests that it did not take and that another proxy was asked for then.
    package var passedOn: UInt64 = 0
    package var probes: UInt64 = 0
    package var adoptionTimes = TimeHistogram()

    /// Whether it is configured. A place (`ProxyIndex`) stays its own until nothing names it any more.
    package enum Phase: Equatable, Sendable {
        case active
        /// Taken away; transfers need its channel still.
        case leaving
        /// No transfer has it. The workers that may still have flows that go there; the number is the retirement's.
        case retired(UInt32, awaited: Set<Int>)
        case free
    }

    /// Taken away, and not gone yet.
    package var isGoing: Bool { phase != .active && phase != .free }

    /// The agent's announcement of the flows that it has, after INIT (rule 6 of a transfer).
    package enum Announcement: Equatable, Sendable {
        case awaited
        case underWay
        case complete
        /// Some of it was lost: the count at its end was larger.
        case incomplete
    }

    package static var announcementPatienceMicroseconds: UInt64 { 300_000 }
    /// An announcement that has not come to its end by then has lost it.
    package static var longestAnnouncementMicroseconds: UInt64 { 30_000_000 }
    /// A committed flow that is older and not announced is over. Agents drop what is uncommitted after 120 s.
    package static var unannouncedMicroseconds: UInt64 { 125_000_000 }
    /// How often one channel is asked for its flows.
    package static var announcementLimit: Int { 16 }

    package init(
        index: ProxyIndex, configuration: DirectorConfiguration.Proxy, channel: ChannelInitiator,
        timeout: DirectorConfiguration.TimeoutSettings
    ) {
        self.index = index
        self.configuration = configuration
        self.channel = channel
        estimator = RoundTripEstimator(timeout)
    }

    /// Where its packets go; the configuration's MAC wins over the agent's. Nil while neither is known.
    package var nextHop: NextHop? {
        guard let agent else { return nil }
        let mac = configuration.mac ?? agent.mac
        if mac == .zero { return nil }
        guard let settings = configuration.encapsulation else {
            return NextHop(mac: mac, vlan: agent.vlan, mtu: agent.mtu)
        }
        // The agent's VLAN and MTU are those of a wire that is not the director's.
        return NextHop(mac: mac, mtu: settings.innerMTU(path: pathMTU(settings)))
    }

    /// Of a proxy beyond layer 2, once its agent has said who it is.
    package var encapsulation: Encapsulation? {
        guard let agent, let settings = configuration.encapsulation else { return nil }
        return settings.encapsulation(innerMAC: agent.mac)
    }

    /// Bytes of IP that the way there takes.
    package func pathMTU(_ settings: DirectorConfiguration.EncapsulationSettings) -> UInt16 {
        min(settings.mtu, narrowPath?.mtu ?? .max)
    }

    package var isDraining: Bool { wish == .drain || wish == .evacuate || status?.isDraining == true }

    /// Transfers that may be under way at once: what the agent had left at its latest word, and what was under way then.
    package var credits: Int {
        guard let status else { return Int(agent?.credits ?? 0) }
        return Int(status.credits) + pendingAtStatus
    }

    /// Why a proxy cannot be asked.
    package enum Obstacle: String, Equatable, Sendable {
        case down, draining
        case lacksCapability = "lacks a capability"
        case noAddress = "no MAC address"
        /// Set aside: too many timeouts in a row.
        case suspect
        /// A NACK said when to come again.
        case resting
        case noCredits = "no credits"
    }

    /// What keeps the proxy from being asked for a connection that needs these capabilities.
    package func obstacle(for needs: Capabilities, now: UInt64) -> Obstacle? {
        if let unfit = unfitness(for: needs) { return unfit }
        if isSuspect { return .suspect }
        if now < restsUntil { return .resting }
        return pending < credits ? nil : .noCredits
    }

    /// What no waiting mends.
    private func unfitness(for needs: Capabilities) -> Obstacle? {
        guard phase == .active, isUp, let agent else { return .down }
        if isDraining { return .draining }
        if !needs.isSubset(of: agent.capabilities) { return .lacksCapability }
        return nextHop == nil ? .noAddress : nil
    }

    /// True when the proxy can be asked for a connection that needs these capabilities.
    package func isEligible(for needs: Capabilities, now: UInt64) -> Bool { obstacle(for: needs, now: now) == nil }

    /// The same of one that may be set aside.
    package func isAble(to needs: Capabilities, now: UInt64) -> Bool {
        now >= restsUntil && pending < credits && canGoOn(with: needs)
    }

    /// The same of one that may have too much to do just now.
    package func canGoOn(with needs: Capabilities) -> Bool { unfitness(for: needs) == nil }

    /// Connections of the agent: what it last said, and what this director has added or ended since.
    package var connections: Int {
        max(0, Int(status?.connections ?? 0) + committed - committedAtStatus) + pending
    }

    package mutating func update(_ latest: AgentStatus) {
        status = latest
        isInGroup = latest.isInGroup && channel.group != nil
        committedAtStatus = committed
        pendingAtStatus = pending
    }

    package var stateName: String {
        if isGoing { return "leaving" }
        if !isUp, configuration.transport.isStream, !connection.isOpen, wish != .down { return "connecting" }
        guard isUp else { return channel.state == .initiating ? "initiating" : "down" }
        if isDraining { return "draining" }
        return isSuspect ? "suspect" : "up"
    }
}

extension Capabilities {
    /// What a proxy must be able to do to go on with this connection.
    package init(neededFor connection: ConnectionState, application: Application) {
        self = connection.key.client.isV4 ? .ipv4 : .ipv6
        if connection.options.timestamps { insert(.timestamps) }
        if connection.options.sack { insert(.sack) }
        if connection.options.windowScale { insert(.windowScale) }
        if !application.isDisjoint(with: [.httpGet, .httpOther]) { insert(.http) }
        if application.contains(.tls) { insert(.tls) }
        if application.contains(.smtp) { insert(.smtp) }
        if application.isOverUDP { insert(.datagrams) }
    }
}
