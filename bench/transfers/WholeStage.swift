import CDPDKShim
import CRTP
import Control
import FastPath
import InterCore
import Wire

/// The control core on one core, and on another one a real worker with the clients, the origin and the agents around
/// it; rings are all the wires. The rate goes up step by step until connections are not handed over any more.
struct WholeStage {
    struct Step: CustomStringConvertible {
        var offered: Double
        var transferred: Double
        var toOrigin: Int
        var unsent: Int
        var lost: Int
        /// Ticks, sorted.
        var holds: [UInt32]
        /// Shares of their cores' time that control core, worker, agents and generator worked.
        var control: Double
        var worker: Double
        var agents: Double
        var generator: Double

        var description: String {
            "offered \(Int(offered)) transferred \(Int(transferred)) to the origin \(toOrigin) unsent \(unsent) lost "
                + "\(lost) control \(control) worker \(worker) agents \(agents) generator \(generator)"
        }

        /// Every connection was handed over, at the rate that was asked for.
        var isSustained: Bool { toOrigin == 0 && unsent == 0 && lost == 0 && transferred >= 0.97 * offered }
    }

    private var core: ControlCore
    private let events = Ring<WorkerEvent>(capacity: 16_384, payloadCapacity: WorkerEvent.maximumPayload)
    private let commands = Ring<WorkerCommand>(capacity: 16_384)
    private let toAgents = Ring<Int>(capacity: 16_384, payloadCapacity: 1_472)
    private let fromAgents = Ring<Int>(capacity: 16_384, payloadCapacity: 1_472)
    private var backlog = CommandBacklog()
    private let heartbeat = Heartbeat()
    private let addresses: [Endpoint]
    private let traffic: UnsafeMutablePointer<TrafficContext>
    private let lcore: Int
    private let hertz: Double
    private var busy: UInt64 = 0

    init(requests: Requests, setup: Setup, lcores: String) throws {
        try Environment.start([
            "baton-bench-transfers", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--no-shconf", "--lcores",
            lcores, "--log-level", "3",
        ])
        hertz = Double(Environment.timestampHertz)
        let pool = try PacketPool(packets: 16_383)
        var setup = setup
        setup.director.workers.flowCapacity = 262_144
        setup.director.workers.closedMicroseconds = 20_000
        setup.director.workers.recoveryMicroseconds = 0
        // A core that others take away for a slice of time is no reason to give its requests to the origin.
        setup.director.timeout.floorMicroseconds = 50_000
        setup.director.timeout.initialMicroseconds = 50_000
        core = setup.core()
        addresses = setup.director.proxies.map(\.address)
        let (client, server) = (RingPort("clients", pool: pool), RingPort("servers", pool: pool))
        heartbeat.beat(now: Environment.timestamp)
        let links = WorkerLinks(
            index: 0, clientQueue: PortQueue(port: client.number, queue: 0),
            serverQueue: PortQueue(port: server.number, queue: 0), pool: pool, events: events, commands: commands,
            counters: CounterBlock(), heartbeat: Heartbeat(), controlHeartbeat: heartbeat,
            controlDoorbell: Doorbell(descriptor: -1), doorbells: [Doorbell(descriptor: -1)], handOver: [],
            clientWaitable: [], serverWaitable: [])
        let worker = Worker(
            configuration: core.workerConfiguration(for: 0), links: links, now: Environment.timestamp,
            hertz: Environment.timestampHertz)
        traffic = .allocate(capacity: 1)
        traffic.initialize(
            to: TrafficContext(
                traffic: Traffic(
                    worker: worker, agents: setup.agents(), director: setup.address, client: client, server: server,
                    pool: pool, toAgents: toAgents, fromAgents: fromAgents, hertz: hertz, payload: requests.payload)))
        guard let lcore = Environment.workerLcore(0) else { throw Environment.Failure(description: "one lcore only") }
        self.lcore = lcore
        core.start(now: microseconds)
        _ = try step(rate: 1_000, seconds: 0.5)
        precondition(core.proxies.allSatisfy { $0.isUp }, "no channel")
    }

    private var microseconds: UInt64 { UInt64(Double(shim_tsc()) / hertz * 1e6) }

    /// One rate for so long.
    mutating func step(rate: Double, seconds: Double) throws -> Step {
        let start = shim_tsc()
        traffic.pointee.rate = rate
        traffic.pointee.end = start + UInt64(seconds * hertz)
        shim_store_flag(traffic.pointee.isDone, 0)
        try Environment.launch(
            onLcore: lcore,
            { argument in
                let context = argument!.assumingMemoryBound(to: TrafficContext.self)
                context.pointee.run()
                return 0
            }, traffic)
        busy = 0
        while shim_load_flag(traffic.pointee.isDone) == 0 { turn() }
        Environment.wait(forLcore: lcore)
        let figures = traffic.pointee.traffic.figures
        let ticks = Double(shim_tsc() - start)
        return Step(
            offered: rate, transferred: Double(figures.transferred) / seconds, toOrigin: figures.toOrigin,
            unsent: figures.unsent, lost: figures.lost, holds: traffic.pointee.traffic.holds.sorted(),
            control: Double(busy) / ticks,
            worker: Double(figures.ticksInWorker) / ticks, agents: Double(figures.ticksInAgents) / ticks,
            generator: Double(figures.ticksInGenerator) / ticks)
    }

    /// One turn of the control loop, as `batond` does it, with rings for the socket.
    private mutating func turn() {
        let start = shim_tsc()
        let now = microseconds
        heartbeat.beat(now: start)
        var found = 0
        for _ in 0..<ControlStage.batch {
            let taken: Void? = events.pop { core.handle($0, payload: $1, worker: 0, now: now) }
            if taken == nil { break }
            found += 1
        }
        for _ in 0..<ControlStage.batch {
            guard let (index, datagram) = fromAgents.pop({ ($0, [UInt8]($1)) }) else { break }
            core.receive(datagram, from: addresses[index], now: now)
            found += 1
        }
        core.advance(to: now)
        for action in core.actions {
            switch action {
            case .transmit(let datagram, let peer):
                guard let index = addresses.firstIndex(of: peer) else { continue }
                datagram.withUnsafeBytes { precondition(toAgents.push(index, payload: $0), "the channel is full") }
            case .command(let command, _): backlog.append(command)
            case .connect, .disconnect, .reconnect, .log: break
            }
        }
        found += core.actions.count
        core.actions.removeAll(keepingCapacity: true)
        let commands = commands
        backlog.drain { commands.push($0) }
        if found > 0 { busy += shim_tsc() - start }
    }
}

/// What the traffic's core is given.
struct TrafficContext: ~Copyable {
    var traffic: Traffic
    var rate = 0.0
    var end: UInt64 = 0
    let isDone = UnsafeMutablePointer<Int32>.allocate(capacity: 1)

    init(traffic: consuming Traffic) { self.traffic = traffic }

    mutating func run() {
        traffic.run(rate: rate, until: end)
        shim_store_flag(isDone, 1)
    }
}
