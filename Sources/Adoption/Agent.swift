internal import CRTP
import Glibc
public import Logging
internal import NIOCore
import Synchronization
internal import Wire

/// An agent at work: the guard's rules, the control loop's thread, the event loops that serve, and the threads that
/// follow the file system.
public final class Agent: Sendable {
    public struct StartFailure: Error, CustomStringConvertible {
        public var description: String
    }

    private let configuration: AgentConfiguration
    private let logger: Logger
    private let server: ConnectionServer
    private let loop: ControlLoop
    private let guardRules: Guard?
    private let accessLog: AccessLog
    private let loopIsOver = OneTimeSignal()

    /// Puts everything in place, the guard first, and answers directors from `start` on.
    public init(_ configuration: AgentConfiguration, logger: Logger) throws {
        self.configuration = configuration
        self.logger = logger
        guard let interface = NetworkInterface(configuration.interface) else {
            throw StartFailure(description: "there is no interface \(configuration.interface)")
        }
        Agent.raiseDescriptorLimit()
        let adoption = configuration.adoption
        let catalogue = try Catalogue(configuration.sites)
        accessLog = try AccessLog(path: configuration.accessLog)
        let rules = Agent.rules(configuration)
        guardRules = adoption.installsGuard ? try Guard.install(rules) : nil
        let server = ConnectionServer(
            catalogue: catalogue, settings: configuration.serving, accessLog: accessLog, logger: logger)
        self.server = server
        let adopter = Adopter(
            uncommittedMark: adoption.uncommittedMark, committedMark: adoption.committedMark, mtu: interface.mtu)
        let notice = NoticeBox()
        let services = ControlLoop.Services(
            catalogue: catalogue, adopter: adopter,
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
            })
        var limits = TransferLedger.Limits()
        limits.credits = Int(adoption.credits)
        limits.connections = min(adoption.connections, Agent.descriptorLimit() / 2)
        limits.uncommittedLifetime = adoption.uncommittedLifetimeMicroseconds
        var channel = ChannelConfiguration()
        channel.keepaliveMicroseconds = configuration.channel.keepaliveMicroseconds
        channel.protection = configuration.channel.protection
        let responder = ChannelResponder(
            keys: configuration.channel.keys, description: Agent.description(configuration, interface),
            configuration: channel)
        loop = try ControlLoop(
            settings: configuration.channel, responder: responder,
            ledger: TransferLedger(limits: limits, firstTransaction: .random(in: 1...UInt32.max)), services: services,
            logger: logger)
        notice.loop = loop
        Thread.detach("catalogue") { catalogue.follow() }
    }

    public static func rules(_ configuration: AgentConfiguration) -> GuardRules {
        let adoption = configuration.adoption
        return GuardRules(
            instance: configuration.name, services: Catalogue.services(configuration.sites),
            interfaces: [configuration.interface] + configuration.extraInterfaces,
            uncommittedMark: adoption.uncommittedMark, deliveryMark: adoption.deliveryMark,
            routingTable: adoption.routingTable)
    }

    private static func description(
        _ configuration: AgentConfiguration, _ interface: NetworkInterface
    ) -> AgentDescription {
        var capabilities: Capabilities = [.ipv4, .ipv6, .timestamps, .sack, .windowScale]
        for site in configuration.sites {
            if case .relay(let relay) = site.content, relay.isTLS {
                capabilities.insert(.tls)
            } else {
                capabilities.insert(.http)
            }
        }
        return AgentDescription(
            name: configuration.name, mac: interface.mac, vlan: configuration.vlan, mtu: interface.mtu,
            epoch: .random(in: 1...UInt64.max), credits: configuration.adoption.credits, capabilities: capabilities)
    }

    public func start() {
        logger.notice(
            "ready",
            metadata: [
                "name": "\(configuration.name)", "sites": "\(configuration.sites.count)",
                "listen": "\(configuration.channel.listen.map { "\($0)" }.joined(separator: " "))",
            ])
        Thread.detach("control") { [loop, loopIsOver] in
            loop.run()
            loopIsOver.raise()
        }
    }

    /// Refuses transfers, lets connections end, at most for the configured time or until `isImpatient`, and takes
    /// back what was installed.
    public func stop(isImpatient: () -> Bool = { false }) {
        logger.notice("draining", metadata: ["connections": "\(server.count)"])
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
        let isServing = server.count > 0
        loop.tell(.stop)
        loopIsOver.wait()
        server.shutDown()
        // The loop has forgotten every uncommitted socket, so the rules have nothing left to keep quiet. But they also
        // lead the clients' acknowledgements to sockets that are closed and still have something to send.
        let now = monotonicMicroseconds()
        if isServing || loop.hasEnded(since: now - min(Agent.closingMicroseconds, now)) {
            logger.notice(
                "the packet filter's rules stay, for connections that have just ended; --remove-guard takes them away")
        } else {
            guardRules?.remove()
        }
        logger.notice("stopped")
    }

    /// How long a closed socket may go on sending.
    private static var closingMicroseconds: UInt64 { 120_000_000 }

    /// After the access log was moved away.
    public func reopenLogs() {
        do { try accessLog.reopen() } catch { logger.error("\(error)") }
    }

    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    private static func descriptorLimit() -> Int {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return Int(clamping: limit.rlim_cur)
    }
}

/// Where notices go once the loop exists.
private final class NoticeBox: @unchecked Sendable {
    /// Set once, before any connection is served.
    var loop: ControlLoop?
    func tell(_ notice: ControlLoop.Notice) { loop?.tell(notice) }
}
