import Adoption
import CDPDKShim
import FastPath
import Glibc
import InterCore
import Logging
import Wire

/// A worker between network and host, and the loop that carries the agent's wishes to it and its news back.
struct HostReplayer {
    private let configuration: AgentConfiguration
    private let attachment: Attachment
    private let logger: Logger
    private let host: HostInterface
    private let origins: [ReplayedOrigin]
    private let bell: Doorbell
    private let workerBell: Doorbell
    private let heartbeat = Heartbeat()
    private let stopFlag = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
    private let agent: AgentConnection
    private var table = ReplayTable()
    private var backlog: [WorkerCommand] = []

    init(_ configuration: AgentConfiguration, _ attachment: Attachment, eal: [String], logger: Logger) throws {
        self.configuration = configuration
        self.attachment = attachment
        self.logger = logger
        origins = Catalogue.replays(configuration.sites)
        guard !origins.isEmpty else {
            throw Environment.Failure(description: "no entry of the catalogue says 'replay: ADDRESS:PORT'")
        }
        guard HostInterface.saved(at: configuration.replay.socket + ".host") == nil else {
            throw Environment.Failure(
                description: "a replayer is attached, or was killed: --restore gives the host its addresses back")
        }
        host = try HostInterface(configuration.interface)
        _ = StopRequest.flag
        for number in [SIGTERM, SIGINT] { signal(number) { _ in shim_store_flag(StopRequest.flag, 1) } }
        signal(SIGPIPE, SIG_IGN)
        try Environment.start(["baton-replay"] + (eal.isEmpty ? HostReplayer.defaultEAL(configuration.name) : eal))
        bell = Doorbell(descriptor: shim_event_descriptor())
        workerBell = Doorbell(descriptor: shim_event_descriptor())
        stopFlag.initialize(to: 0)
        let owner = configuration.user.flatMap { Privileges.User($0)?.user } ?? geteuid()
        agent = try AgentConnection(at: configuration.replay.socket, owner: owner)
    }

    /// Two threads that sleep when nothing comes, and memory without hugepages.
    private static func defaultEAL(_ name: String) -> [String] {
        [
            "--lcores", "0@0,1@\(max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1) - 1)", "--no-huge", "-m", "192",
            "--no-pci",
            "--no-telemetry", "--no-shconf", "--file-prefix", "baton-replay-\(name)", "--log-level", "4",
        ]
    }

    mutating func run() throws {
        guard let lcore = Environment.workerLcore(0) else {
            throw Environment.Failure(description: "EAL has one lcore: give it two, such as --lcores 0@0,1@1")
        }
        let pool = try PacketPool(packets: 16_383, socket: Environment.socket(ofLcore: lcore))
        let device = attachment.device
        let server = try Port(devargs: "net_tap0,iface=\(device)", pools: [pool], interrupts: true)
        var failure: (any Error)?
        do {
            try attachment.attach(host)
            try serve(pool, server, lcore)
        } catch { failure = error }
        do { try attachment.detach(host) } catch {
            logger.critical("the host has not got its addresses back: \(error)")
        }
        server.stop()
        agent.close()
        logger.notice("detached", metadata: ["interface": "\(host.name)"])
        Environment.stop()
        if let failure { throw failure }
    }

    private mutating func serve(_ pool: PacketPool, _ server: Port, _ lcore: Int) throws {
        let devargs = configuration.replay.port ?? "net_af_xdp0,iface=\(host.name)"
        let client = try Port(devargs: devargs, pools: [pool], interrupts: true)
        let links = makeLinks(client, server, pool, lcore)
        let context = UnsafeMutablePointer<WorkerContext>.allocate(capacity: 1)
        heartbeat.beat(now: Environment.timestamp)
        context.initialize(
            to: WorkerContext(
                Worker(
                    configuration: workerConfiguration(), links: links, now: Environment.timestamp,
                    hertz: Environment.timestampHertz), stopFlag))
        try Environment.launch(
            onLcore: lcore,
            { argument in
                argument!.assumingMemoryBound(to: WorkerContext.self).pointee.run()
                return 0
            }, context)
        logger.notice(
            "attached",
            metadata: [
                "interface": "\(host.name)", "device": "\(attachment.device)",
                "servers": "\(origins.map { "\($0.origin)=\($0.server)" }.joined(separator: " "))",
            ])
        follow(links)
        shim_store_flag(stopFlag, 1)
        shim_signal(workerBell.descriptor)
        Environment.wait(forLcore: lcore)
        client.stop()
    }

    private func makeLinks(_ client: Port, _ server: Port, _ pool: PacketPool, _ lcore: Int) -> WorkerLinks {
        WorkerLinks(
            index: 0, clientQueue: client.queues[0].queue, serverQueue: server.queues[0].queue, pool: pool,
            events: Ring(capacity: 4_096), commands: Ring(capacity: 4_096), replays: Ring(capacity: 4_096),
            counters: CounterBlock(), clientMAC: client.mac, heartbeat: Heartbeat(), controlHeartbeat: heartbeat,
            controlDoorbell: bell, doorbells: [workerBell], handOver: [],
            clientWaitable: client.queues[0].waitable, serverWaitable: server.queues[0].waitable,
            socket: Environment.socket(ofLcore: lcore))
    }

    private func workerConfiguration() -> WorkerConfiguration {
        var worker = WorkerConfiguration()
        worker.recoveryMicroseconds = 0
        worker.idleMicroseconds = configuration.adoption.uncommittedLifetimeMicroseconds
        worker.flowCapacity = configuration.adoption.connections
        worker.flowCapacityIPv6 = configuration.adoption.connections
        worker.datagramFlowCapacity = 64
        // A director waits some milliseconds, and the server is on this machine.
        worker.bindRetryMicroseconds = 20_000
        worker.bindTries = 3
        worker.hashSeed = .random(in: 0...UInt64.max)
        // The device has the interface's.
        let mac = NetworkInterface(host.name)?.mac ?? .zero
        for (index, entry) in origins.enumerated() {
            worker.virtualServers.append(VirtualServer(replayed: entry.origin, by: index))
            worker.origins.append(Origin(entry.server, hop: NextHop(mac: mac, mtu: UInt16(clamping: host.mtu))))
        }
        return worker
    }

    // MARK: the loop

    private mutating func follow(_ links: WorkerLinks) {
        var drainsUntil: UInt64?
        while true {
            let now = monotonicMicroseconds()
            heartbeat.beat(now: Environment.timestamp)
            if StopRequest.isRaised, drainsUntil == nil {
                drainsUntil = now + configuration.serving.drainMicroseconds
                logger.notice("draining", metadata: ["connections": "\(table.count)"])
            }
            if let drainsUntil, table.isEmpty(since: now) || now >= drainsUntil { return }
            takeWishes(links, isDraining: drainsUntil != nil)
            takeNews(links, now)
            drain(links)
            agent.flush()
            sleep(links)
        }
    }

    private mutating func takeWishes(_ links: WorkerLinks, isDraining: Bool) {
        while let message = agent.receive() {
            switch message {
            case .hello(let epoch):
                for handle in table.begin(epoch) { backlog.append(.cancelReplay(handle)) }
            case .replay(let number, let connection): begin(number, connection, links, isDraining: isDraining)
            case .cancel(let number): if let handle = table.cancel(number) { backlog.append(.cancelReplay(handle)) }
            case .ready, .refused, .begun, .ended: break
            }
        }
    }

    private mutating func begin(
        _ number: UInt64, _ connection: ConnectionState, _ links: WorkerLinks, isDraining: Bool
    ) {
        guard !isDraining, links.replays?.hasRoom(for: 1) == true, let order = table.order(connection, number) else {
            return agent.send(.refused(number: number))
        }
        _ = links.replays?.push(order)
        backlog.append(.replay)
    }

    private mutating func takeNews(_ links: WorkerLinks, _ now: UInt64) {
        while let event = links.events.pop() {
            switch event {
            case .flowInstalled(let handle, let ticket):
                if let number = table.installed(handle, ticket) {
                    agent.send(.ready(number: number))
                } else {
                    backlog.append(.cancelReplay(handle))
                }
            case .flowRefused(let ticket):
                if let number = table.refused(ticket) { agent.send(.refused(number: number)) }
            case .committed(let handle): if let number = table.begun(handle) { agent.send(.begun(number: number)) }
            case .flowEnded(let handle, _):
                if let number = table.ended(handle, now: now) { agent.send(.ended(number: number)) }
            default: break
            }
        }
    }

    private mutating func drain(_ links: WorkerLinks) {
        guard !backlog.isEmpty else { return }
        var sent = 0
        while sent < backlog.count, links.commands.push(backlog[sent]) { sent += 1 }
        backlog.removeFirst(sent)
        if workerBell.isSleeperWaiting { shim_signal(workerBell.descriptor) }
    }

    private func sleep(_ links: WorkerLinks) {
        guard backlog.isEmpty else { return }
        bell.prepareToSleep()
        defer { bell.awake() }
        guard !links.events.hasMessage else { return }
        // The bell comes last: `shim_wait` empties that one.
        let descriptors = agent.descriptors + [bell.descriptor]
        shim_wait(descriptors, Int32(descriptors.count), 10_000)
    }
}

/// What an lcore is given.
private struct WorkerContext: ~Copyable {
    var worker: Worker
    let stopFlag: UnsafePointer<Int32>

    init(_ worker: consuming Worker, _ stopFlag: UnsafePointer<Int32>) {
        self.worker = worker
        self.stopFlag = stopFlag
    }

    mutating func run() { worker.run(until: stopFlag, idle: .adaptive) }
}

/// SIGINT and SIGTERM, as a flag.
private enum StopRequest {
    nonisolated(unsafe) static let flag = {
        let flag = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        flag.initialize(to: 0)
        return flag
    }()

    static var isRaised: Bool { shim_load_flag(flag) != 0 }
}
