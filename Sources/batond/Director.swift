import Adoption
import CDPDKShim
import CRTP
import Control
import Datagrams
import FastPath
import Glibc
import HealthChecks
import InterCore
import Logging
import Operator
import Streams
import Wire

/// A running director: makes ports, rings and workers, runs the control loop, and takes all of it down.
struct Director {
    let configuration: DirectorConfiguration
    let keys: KeyRing
    /// Where the two come from.
    let source: ConfigurationSource
    let logger: Logger
    private let sink: LogSink
    /// Where it stands on a server.
    private let host: HostSide?

    /// - Parameter agent: of the host that it stands on, if it does.
    init(
        _ configuration: DirectorConfiguration, keys: KeyRing, from source: ConfigurationSource,
        agent: AgentConfiguration?, eal: [String]
    ) throws {
        self.configuration = configuration
        self.source = source
        self.keys = keys
        sink = LogSink(
            format: LogFormat(rawValue: configuration.logFormat) ?? .text,
            linesPerSecond: configuration.logLinesPerSecond)
        LineLogHandler.bootstrap(level: configuration.logLevel, sink: sink)
        logger = Logger(label: "batond")
        // Before EAL starts threads, so that none of them takes it.
        HangUpSignal.block()
        let logger = logger
        host = try agent.map { try HostSide($0, logger: logger) }
        try Environment.start(["batond"] + (eal.isEmpty ? host?.defaultEAL ?? [] : eal))
    }

    func run() throws {
        StopSignal.listen()
        let count = configuration.workers.count
        let lcores = try workerLcores(count)
        let pools = try lcores.enumerated().map { index, lcore in
            try PacketPool(
                packets: configuration.workers.mbufs, index: index, socket: Environment.socket(ofLcore: lcore))
        }
        if let host {
            let interrupts = configuration.workers.idle == .adaptive
            try host.whileAttached(pools, interrupts: interrupts) { try serve($0, pools, lcores) }
        } else {
            let sides = try openPorts(pools)
            try serve(sides, pools, lcores)
            for port in sides.client + sides.server { port.stop() }
        }
        Environment.stop()
    }

    private func serve(_ sides: (client: [Port], server: [Port]), _ pools: [PacketPool], _ lcores: [Int]) throws {
        let count = lcores.count
        guard let clientQueues = queues(sides.client, count), let serverQueues = queues(sides.server, count) else {
            throw Environment.Failure(
                description: "\(count) worker(s) need \(count) queue(s) on each side: add ports or `ports: queues`, or "
                    + "lower `workers: count`.")
        }

        warn(of: lcores, sides)
        let core = ControlCore(configuration: configuration, keys: keys, workerCount: count, epoch: epoch())
        let bell = Doorbell(descriptor: try eventDescriptor())
        let heartbeat = Heartbeat()
        heartbeat.beat(now: Environment.timestamp)
        let ownAddress = configuration.crtp.via == .serverPort ? configuration.crtp.listen.address : nil
        let workers = try WorkerSet(
            count: count, lcores: lcores, core: core, pools: pools, clientQueues: clientQueues,
            serverQueues: serverQueues, clientMACs: sides.client.flatMap { port in port.queues.map { _ in port.mac } },
            serverMACs: sides.server.flatMap { port in port.queues.map { _ in port.mac } },
            own: ownAddress.map { ($0, sides.server[0].mac, configuration.crtp.vlan) }, host: host,
            controlDoorbell: bell, controlHeartbeat: heartbeat, idle: configuration.workers.idle)
        let endpoint = try ControlEndpoint(configuration.crtp, mac: sides.server[0].mac)
        let mailbox = OperatorMailbox()
        let controlSocket = try ControlSocket.open(
            configuration.control, mailbox: mailbox, source: source, logger: logger)

        if !Telemetry.register(workers.links.map(\.counters)) { logger.warning("DPDK's telemetry takes no commands") }
        let pages = try OperatorPages.open(configuration, mailbox: mailbox, logger: logger)

        let table = FlowTable.Size(
            ipv4: configuration.workers.flowCapacity, ipv6: configuration.workers.flowCapacityIPv6)
        logger.info(
            "flow tables",
            metadata: [
                "ipv4": "\(table.ipv4)", "ipv6": "\(table.ipv6)", "megabytesEach": "\(table.byteCount >> 20)",
            ])
        try workers.launch()
        logger.info("forwarding", metadata: ["workers": "\(count)", "proxies": "\(configuration.proxies.count)"])
        let streams = StreamDialler { shim_signal(bell.descriptor) }
        let checker = OriginChecker(configuration.checkedServers) { shim_signal(bell.descriptor) }
        var loop = ControlLoop(
            core: core, endpoint: endpoint, streams: streams, checker: checker, workers: workers.links,
            mailbox: mailbox, doorbell: bell,
            heartbeat: heartbeat,
            portLinks: PortLinks.groups(
                client: sides.client.map(\.number), server: sides.server.map(\.number), now: monotonicMicroseconds(),
                isMirroring: host == nil),
            logger: logger, sink: sink, version: batonVersion, pools: pools,
            sides: (
                configuration.ports.client.joined(separator: " "), configuration.ports.server.joined(separator: " ")
            ))
        loop.ports = sides
        loop.replays = host?.replays
        loop.drainMicroseconds = host?.agent.serving.drainMicroseconds ?? 0
        HangUpSignal.reload(from: source, by: mailbox, logger: logger)
        var service = ServiceNotifications()
        service.isReady("\(count) worker(s), \(configuration.proxies.count) proxies")
        loop.run {
            service.keepAlive(nowMicroseconds: monotonicMicroseconds()) { workers.areAlive }
            return StopSignal.isRaised
        }

        logger.info("stopping")
        service.isStopping()
        streams.shutDown()
        checker.shutDown()
        controlSocket.close()
        pages.close()
        workers.stop()
    }

    /// What of the layout costs speed. A worker that sleeps when nothing comes does not mind company on its CPU.
    private func warn(of lcores: [Int], _ sides: (client: [Port], server: [Port])) {
        let ports = [sides.client, sides.server].flatMap { ports in
            ports.enumerated().map { index, port in
                (name: port.name, number: port.number, worker: index * port.queues.count % lcores.count)
            }
        }
        let level: Logger.Level = configuration.workers.idle == .spin ? .warning : .info
        for warning in LcoreLayout(workers: lcores, ports: ports).warnings { logger.log(level: level, "\(warning)") }
    }

    private func workerLcores(_ count: Int) throws -> [Int] {
        let lcores = (0..<count).compactMap { Environment.workerLcore($0) }
        guard lcores.count == count else {
            throw Environment.Failure(
                description: "`workers: count` is \(count), but EAL has \(lcores.count) lcore(s) besides the main one: "
                    + "give it --lcores with \(count + 1), for instance --lcores "
                    + (0...count).map { "\($0)@\($0 == 0 ? 0 : 1)" }.joined(separator: ","))
        }
        return lcores
    }

    /// Each worker's queues receive into that worker's pool.
    private func openPorts(_ pools: [PacketPool]) throws -> (client: [Port], server: [Port]) {
        let queues = configuration.ports.queues
        func open(_ devargs: [String]) throws -> [Port] {
            try devargs.enumerated().map { index, device in
                let own = (index * queues..<(index + 1) * queues).map { pools[$0 % pools.count] }
                return try Port(
                    devargs: device, pools: own[...], interrupts: configuration.workers.idle == .adaptive)
            }
        }
        return (try open(configuration.ports.client), try open(configuration.ports.server))
    }

    /// One queue for each worker, with the descriptors that tell of its packets; nil when there are too few.
    private func queues(_ ports: [Port], _ count: Int) -> [Port.Queue]? {
        let all = ports.flatMap(\.queues)
        return all.count == count ? all : nil
    }

    /// Different at each start.
    private func epoch() -> UInt64 { UInt64.random(in: 1...UInt64.max) }
}

/// SIGINT and SIGTERM, as a flag.
enum StopSignal {
    nonisolated(unsafe) private static let flag = {
        let flag = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        flag.initialize(to: 0)
        return flag
    }()

    static func listen() {
        _ = flag
        for number in [SIGINT, SIGTERM] { signal(number) { _ in shim_store_flag(StopSignal.flag, 1) } }
        signal(SIGPIPE, SIG_IGN)
    }

    static var isRaised: Bool { shim_load_flag(flag) != 0 }
}

func eventDescriptor() throws -> Int32 {
    let descriptor = shim_event_descriptor()
    guard descriptor >= 0 else { throw Environment.Failure(description: "no eventfd: \(errorText())") }
    return descriptor
}
