package import CRTP
import Glibc
public import Logging
internal import NIOCore
internal import Streams
import Synchronization
internal import Wire

/// An agent at work: the adopting process, the control loop's thread, the event loops that serve, and the threads that
/// follow the file system.
public final class Agent: Sendable {
    public struct StartFailure: Error, CustomStringConvertible {
        public var description: String
    }

    let configuration: AgentConfiguration
    let logger: Logger
    let server: ConnectionServer
    let loop: ControlLoop
    private let adopter: DistantAdopter
    let rendezvous: Rendezvous
    /// What a successor is told first.
    let greeting: AgentGreeting
    let predecessor: Predecessor?
    /// Connections that the predecessor had when it was succeeded.
    let inheritedNumbers: Set<UInt64>?
    let livingPredecessors: Atomic<Int>
    /// Another process is the agent.
    let isSucceeded = Atomic<Bool>(false)
    let isSuccessorGone = Atomic<Bool>(false)
    /// It was not stopped: it cannot go on.
    private let failure = FailureFlag()
    /// Where clients' packets come inside others.
    let decapsulator: Decapsulator?
    private let accessLog: AccessLog
    private let loopIsOver = OneTimeSignal()

    /// Puts everything in place, and answers directors from `start` on. To be called on the only thread: what needs
    /// privileges is opened here or goes to the adopting process, and then the process gives them up.
    /// - Parameter takesOver: succeeds the running agent of the same name. When this throws, that one goes on.
    public init(_ configuration: AgentConfiguration, takesOver: Bool = false, logger: Logger) throws {
        self.configuration = configuration
        self.logger = logger
        guard let interface = NetworkInterface(configuration.interface) else {
            throw StartFailure(description: "there is no interface \(configuration.interface)")
        }
        raiseDescriptorLimit()
        let owner = geteuid()
        let adoption = configuration.adoption
        let user = try Agent.user(configuration)
        var rules = Agent.rules(configuration)
        let predecessor = takesOver ? try Predecessor(configuration.name, rules: rules) : nil
        let ownRendezvous = takesOver ? nil : try Agent.rendezvous(configuration.name)
        self.predecessor = predecessor
        // Its connections need the rules for as long as they live.
        rules.services += (predecessor?.greeting.services ?? []).filter { !rules.services.contains($0) }
        greeting = AgentGreeting(rules: rules, control: configuration.channel.listen)
        let adopter = try DistantAdopter.launch(
            Agent.adoptingSettings(configuration, interface, rules), logLevel: configuration.log.level)
        self.adopter = adopter
        accessLog = try AccessLog(path: configuration.accessLog)
        let inherited = predecessor?.greeting.control ?? []
        var sockets = try configuration.channel.listen.filter { !inherited.contains($0) }.map { try DatagramSocket($0) }
        let groupInterface = configuration.channel.groupInterface ?? configuration.interface
        let groups = try configuration.channel.groups.map { try DatagramSocket(group: $0, interface: groupInterface) }
        let streamSockets = try Agent.streamSockets(configuration.channel)
        let identity =
            configuration.channel.secureStreams.isEmpty ? nil : try ServerIdentity(configuration.channel.tls)
        let identifiers = FlowIdentifiers(first: 0)
        decapsulator = try configuration.encapsulation.map {
            try Decapsulator($0, from: configuration.channel.directors, identifiers: identifiers, logger: logger)
        }
        // A successor listens when it is about to replace the other one, which has all packets until then.
        if predecessor == nil { try decapsulator?.listen() }
        try Privileges.reduce(to: [], user: user)
        let catalogue = try Catalogue(configuration.sites)
        let notice = NoticeBox()
        let server = ConnectionServer(
            catalogue: catalogue, settings: configuration.serving, accessLog: accessLog, logger: logger,
            handBack: { notice.tell(.handBack($0)) })
        self.server = server
        var limits = TransferLedger.Limits()
        limits.credits = Int(adoption.credits)
        limits.connections = min(adoption.connections, descriptorLimit() / 2)
        limits.uncommittedLifetime = adoption.uncommittedLifetimeMicroseconds
        let inheritance = try predecessor?.freeze(limits: limits)
        let epoch = inheritance?.channels.epoch ?? .random(in: 1...UInt64.max)
        let replayer =
            Catalogue.replays(configuration.sites).isEmpty
            ? nil : Replayer(path: configuration.replay.socket, epoch: epoch, logger: logger)
        var services = ControlLoop.Services(
            catalogue: catalogue,
            adopter: inheritance.map { SucceedingAdopter(adopter, inherited: $0.adopters) } ?? adopter,
            askCache: { number, cache, question, expires in
                let now = monotonicMicroseconds()
                let timeout = TimeAmount.microseconds(Int64(expires > now ? expires - now : 1))
                CacheInquiry.ask(cache, question, on: server.group, timeout: timeout).whenComplete { result in
                    notice.tell(.cacheAnswered(number: number, hasIt: (try? result.get()) ?? false))
                }
            },
            serve: { connection in
                server.serve(connection) { bytes in
                    notice.tell(.ended(number: connection.number, bytesSent: bytes))
                }
            },
            replayer: replayer,
            adopterIsGone: { [failure] in
                logger.critical("the adopting process is gone: nothing can be adopted, ending")
                failure.isRaised.store(true, ordering: .relaxed)
                kill(getpid(), SIGTERM)
            })
        services.wishAway = { server.wishAway($0) }
        var channel = ChannelConfiguration()
        channel.keepaliveMicroseconds = configuration.channel.keepaliveMicroseconds
        channel.protection = configuration.channel.protection
        var responder = ChannelResponder(
            keys: configuration.channel.keys,
            description: Agent.description(configuration, interface, epoch: epoch),
            configuration: channel)
        responder.groups = Set(configuration.channel.groups)
        for socket in inheritance?.control ?? [] {
            if configuration.channel.listen.contains(socket.endpoint) {
                sockets.append(socket)
            } else {
                close(socket.descriptor)
            }
        }
        var ledger =
            inheritance?.ledger
            ?? TransferLedger(
                limits: limits, firstTransaction: .random(in: 1...UInt32.max),
                firstNumber: .random(in: 1...UInt64(UInt32.max)))
        ledger.promises.capacity = configuration.capacity
        identifiers.start(at: ledger.firstNumber)
        identifiers.give(upTo: ledger.nextNumber)
        loop = try ControlLoop(
            settings: configuration.channel, sockets: sockets, groups: groups, responder: responder,
            ledger: ledger, services: services, identifiers: identifiers, logger: logger)
        try loop.accept(from: streamSockets, identity: identity)
        notice.loop = loop
        replayer?.start(
            received: { notice.tell(.replay($0)) }, isGone: { notice.tell(.replayerGone) })
        inheritedNumbers = inheritance?.ledger.committedNumbers
        livingPredecessors = Atomic(inheritance == nil ? 0 : 1)
        if let inheritance {
            rendezvous = Rendezvous(inherited: inheritance.rendezvous, owner: owner)
            loop.resume(inheritance)
            try decapsulator?.listen()
            try predecessor?.replace()
        } else {
            rendezvous = ownRendezvous!
        }
        Thread.detach("catalogue") { catalogue.follow() }
    }

    private static func streamSockets(_ channel: ControlChannelSettings) throws(SystemFailure) -> [ListeningSocket] {
        var sockets: [ListeningSocket] = []
        for (endpoint, kind) in channel.connected { sockets.append(try ListeningSocket(endpoint, kind)) }
        return sockets
    }

    /// Whom the serving process becomes; nil to stay who it is.
    private static func user(_ configuration: AgentConfiguration) throws -> Privileges.User? {
        guard let name = configuration.user else { return nil }
        guard let user = Privileges.User(name) else { throw StartFailure(description: "there is no user \(name)") }
        return user
    }

    private static func rendezvous(_ name: String) throws -> Rendezvous {
        do throws(SystemFailure) { return try Rendezvous(name) } catch {
            guard error.code == EADDRINUSE else { throw error }
            throw StartFailure(description: "an agent named \(name) runs here already; --take-over succeeds it")
        }
    }

    private static func adoptingSettings(
        _ configuration: AgentConfiguration, _ interface: NetworkInterface, _ rules: GuardRules
    ) -> AdoptingSettings {
        let adoption = configuration.adoption
        return AdoptingSettings(
            guardRules: rules, installsGuard: adoption.installsGuard,
            committedMark: adoption.committedMark, mtu: interface.mtu,
            uncommittedLimit: min(Int(adoption.credits), descriptorLimit() / 2), user: configuration.user)
    }

    public static func rules(_ configuration: AgentConfiguration) -> GuardRules {
        let adoption = configuration.adoption
        var rules = GuardRules(
            instance: configuration.name, services: Catalogue.services(configuration.sites),
            interfaces: interfaces(configuration),
            uncommittedMark: adoption.uncommittedMark, deliveryMark: adoption.deliveryMark,
            routingTable: adoption.routingTable, datagramServers: Catalogue.datagramServers(configuration.sites))
        rules.suspendedMark = adoption.suspendedMark
        return rules
    }

    /// With a director on the host the clients' packets arrive at the host's side of it; out of tunnels, by their device.
    private static func interfaces(_ configuration: AgentConfiguration) -> [String] {
        let tunnelled = configuration.encapsulation.map { [$0.device] } ?? []
        return [configuration.interface] + configuration.extraInterfaces + [configuration.replay.device] + tunnelled
    }

    /// What connections directors may ask for. A relay's server may speak anything.
    package static func capabilities(_ sites: [Site]) -> Capabilities {
        var capabilities: Capabilities = [
            .ipv4, .ipv6, .timestamps, .sack, .windowScale, .handedBack, .handOffs, .blobs,
        ]
        for site in sites {
            switch site.content {
            case .relay(let relay): capabilities.formUnion(relay.isTLS ? .tls : [.http, .smtp])
            case .directory, .cache: capabilities.insert(.http)
            case .datagrams: capabilities.insert(.datagrams)
            // A server that speaks first would say twice what the client has heard.
            case .replay(let replay): capabilities.insert(replay.isTLS ? .tls : .http)
            }
        }
        return capabilities
    }

    private static func description(
        _ configuration: AgentConfiguration, _ interface: NetworkInterface, epoch: UInt64
    ) -> AgentDescription {
        AgentDescription(
            name: configuration.name, mac: interface.mac, vlan: configuration.vlan, mtu: interface.mtu,
            epoch: epoch, credits: configuration.adoption.credits,
            capabilities: capabilities(configuration.sites))
    }

    public func start() {
        logger.notice(
            "ready",
            metadata: [
                "name": "\(configuration.name)", "sites": "\(configuration.sites.count)",
                "listen": "\(configuration.channel.listen.map { "\($0)" }.joined(separator: " "))",
                "tcp": "\(configuration.channel.streams.map { "\($0)" }.joined(separator: " "))",
                "tls": "\(configuration.channel.secureStreams.map { "\($0)" }.joined(separator: " "))",
                "http": "\(configuration.channel.exchanges.map { "\($0)" }.joined(separator: " "))",
            ])
        decapsulator?.start()
        if decapsulator != nil, !Catalogue.replays(configuration.sites).isEmpty {
            logger.warning(
                "entries with replay get nothing that comes encapsulated: the replayer takes from the network")
        }
        Thread.detach("control") { [loop, loopIsOver] in
            loop.run()
            loopIsOver.raise()
        }
        beginSuccession()
    }

    /// Refuses transfers, lets connections end, at most for the configured time or until `isImpatient`, and takes
    /// back what was installed.
    public func stop(isImpatient: () -> Bool = { false }) {
        loop.tell(.drain)
        server.isDraining = true
        let deadline = monotonicMicroseconds() + configuration.serving.drainMicroseconds
        while server.count > 0 || !loop.isSettled, monotonicMicroseconds() < deadline, !isImpatient() {
            usleep(20_000)
        }
        server.closeAll()
        // What is left of the connections tells the directors that it is over.
        let patience = min(deadline, monotonicMicroseconds()) + 1_000_000
        while server.count > 0 || !loop.isSettled, monotonicMicroseconds() < patience { usleep(5_000) }
        let isServing = server.count > 0 || livingPredecessors.load(ordering: .acquiring) > 0
        loop.tell(.stop)
        loopIsOver.wait()
        server.shutDown()
        // The loop has forgotten every uncommitted socket, so the rules have nothing left to keep quiet. But they also
        // lead the clients' acknowledgements to sockets that are closed and still have something to send.
        let now = monotonicMicroseconds()
        let keepsRules = isServing || loop.hasEnded(since: now - min(Agent.closingMicroseconds, now))
        if keepsRules {
            logger.notice(
                "the packet filter's rules stay, for connections that have just ended; --remove-guard takes them away")
        }
        adopter.finish(keepsRules: keepsRules)
        logger.notice("stopped")
    }

    /// How long a closed socket may go on sending.
    private static var closingMicroseconds: UInt64 { 120_000_000 }

    /// Another process is the agent now: what is left is `serveOut`.
    public var hasSuccessor: Bool { isSucceeded.load(ordering: .acquiring) }

    /// It has asked to be stopped by SIGTERM, because it cannot go on.
    public var hasFailed: Bool { failure.isRaised.load(ordering: .relaxed) }

    /// After the access log was moved away.
    public func reopenLogs() {
        do { try accessLog.reopen() } catch { logger.error("\(error)") }
    }
}

/// Where notices go once the loop exists.
private final class NoticeBox: @unchecked Sendable {
    /// Set once, before any connection is served.
    var loop: ControlLoop?
    func tell(_ notice: ControlLoop.Notice) { loop?.tell(notice) }
}

/// Raised once by the control loop, read by the thread that waits for signals.
private final class FailureFlag: Sendable {
    let isRaised = Atomic<Bool>(false)
}
