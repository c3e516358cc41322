import Adoption
import CDPDKShim
import Control
import FastPath
import Glibc
import HealthChecks
import InterCore
import Logging
import Operator
import Streams
import Wire

/// One worker, as the control core sees it.
struct WorkerLink {
    let events: Ring<WorkerEvent>
    let commands: Ring<WorkerCommand>
    let capture: CaptureLink
    let own: OwnAddressLink?
    let doorbell: Doorbell
    let counters: CounterBlock
    let heartbeat: Heartbeat
    let lcore: Int
    var backlog = CommandBacklog()
}

/// Moves what comes in (rings, datagrams, operator's requests, time) into the control core, and what it decides out.
/// Runs on the main lcore until `stop` is true.
struct ControlLoop: ~Copyable {
    var core: ControlCore
    var endpoint: ControlEndpoint
    /// Connections to the proxies whose channels are streams.
    let streams: StreamDialler
    let checker: OriginChecker
    var workers: [WorkerLink]
    let mailbox: OperatorMailbox
    let doorbell: Doorbell
    let heartbeat: Heartbeat
    let logger: Logger
    /// Where `logger` writes.
    let sink: LogSink
    let version: String
    let pools: [PacketPool]
    /// The devargs of the ports on either side.
    let sides: (client: String, server: String)
    var capture: CaptureSession?
    /// Captures so far.
    var captures: UInt32 = 0
    var isCaptureOff = true
    var captureLossesBefore: UInt64 = 0
    /// Questions about flows, in order; the first is under way when `isListing`.
    var listings: [PendingListing] = []
    var isListing = false
    var portLinks: [PortLinks]
    var ports: (client: [Port], server: [Port]) = ([], [])
    /// When to look at the ports' links again.
    var nextLookAtLinks: UInt64 = 0
    /// On a host.
    var replays: HostReplays?
    var drainMicroseconds: UInt64 = 0
    var drain: HostDrain?

    init(
        core: ControlCore, endpoint: consuming ControlEndpoint, streams: StreamDialler, checker: OriginChecker,
        workers: [WorkerLink], mailbox: OperatorMailbox, doorbell: Doorbell, heartbeat: Heartbeat,
        portLinks: [PortLinks], logger: Logger,
        sink: LogSink, version: String, pools: [PacketPool], sides: (client: String, server: String)
    ) {
        self.core = core
        self.endpoint = endpoint
        self.streams = streams
        self.checker = checker
        self.workers = workers
        self.mailbox = mailbox
        self.doorbell = doorbell
        self.heartbeat = heartbeat
        self.portLinks = portLinks
        self.logger = logger
        self.sink = sink
        self.version = version
        self.pools = pools
        self.sides = sides
    }

    /// The loop never sleeps longer: a fraction of the time after which workers take it for dead.
    static var longestNapMicroseconds: UInt64 { 10_000 }
    /// Most of each kind of input that one turn takes.
    static var batch: Int { 256 }

    mutating func run(until stop: () -> Bool) {
        core.setClock(microsecondsSince1970(), now: monotonicMicroseconds())
        core.start(now: monotonicMicroseconds())
        while true {
            let now = monotonicMicroseconds()
            if stop(), isDrained(now: now) { break }
            core.setClock(microsecondsSince1970(), now: now)
            heartbeat.beat(now: Environment.timestamp)
            takeCaptured()
            let handled =
                takeEvents(now: now) + takeDatagrams(now: now) + takeStreamEvents(now: now)
                + takeChecks(now: now) + takeOperatorRequests(now: now) + takeReplays(now: now)
            core.advance(to: now)
            perform(now: now)
            if capture != nil { settleCapture(now: now) }
            mirrorLinks(now: now)
            if handled == 0 { sleep(now: now) }
        }
        let now = monotonicMicroseconds()
        core.leave(now: now)
        perform(now: now)
    }

    private mutating func takeEvents(now: UInt64) -> Int {
        var count = 0
        for index in workers.indices {
            let events = workers[index].events
            for _ in 0..<Self.batch {
                let taken: Void? = events.pop { event, payload in
                    if replays?.take(event, now: now) == true { return }
                    core.handle(event, payload: payload, worker: index, now: now)
                }
                guard taken != nil else { break }
                count += 1
            }
        }
        return count
    }

    private mutating func takeDatagrams(now: UInt64) -> Int {
        let count = endpoint.receive(from: workers, atMost: Self.batch, now: now)
        for (datagram, sender) in endpoint.received {
            core.receive(datagram, from: sender, now: now)
            if capture != nil { noteDatagram(datagram, sender, isOwn: false) }
        }
        return count
    }

    private mutating func takeChecks(now: UInt64) -> Int {
        let results = checker.take()
        for (origin, check) in results { core.checked(origin: origin, check, now: now) }
        return results.count
    }

    /// Carries out what the core decided.
    private mutating func perform(now: UInt64) {
        for action in core.actions {
            switch action {
            case .transmit(let datagram, let peer):
                send(datagram, to: peer, now: now)
                if capture != nil { noteDatagram(datagram, peer, isOwn: true) }
            case .connect(let proxy, let tls): streams.connect(StreamPeer(proxy, tls))
            case .disconnect(let peer): streams.disconnect(peer)
            case .reconnect(let peer, let fault): streams.reconnect(peer, because: StreamEnd(fault))
            case .command(let command, let worker): workers[worker].backlog.append(command)
            case .log(let entry): logger.record(entry)
            }
        }
        core.actions.removeAll(keepingCapacity: true)
        performReplays()
        for _ in 0..<endpoint.flush(by: workers) { workers[0].backlog.append(.transmitOwn) }
        let lost = endpoint.takeLost(now: now)
        if lost > 0 { logger.warning("frames of the channel lost", metadata: ["count": "\(lost)"]) }
        for index in workers.indices where !workers[index].backlog.isEmpty { drain(index) }
    }

    private mutating func drain(_ index: Int) {
        let commands = workers[index].commands
        workers[index].backlog.drain { commands.push($0) }
        let dropped = workers[index].backlog.takeDropped()
        if dropped > 0 {
            logger.warning("commands dropped", metadata: ["worker": "\(index)", "count": "\(dropped)"])
        }
        if workers[index].doorbell.isSleeperWaiting { shim_signal(workers[index].doorbell.descriptor) }
    }

    /// Waits for a datagram, a bell, an operator, or the next deadline.
    private mutating func sleep(now: UInt64) {
        guard workers.allSatisfy({ $0.backlog.isEmpty }) else { return }
        doorbell.prepareToSleep()
        defer { doorbell.awake() }
        guard workers.allSatisfy({ !$0.events.hasMessage && $0.own?.received.hasMessage != true }), !streams.hasEvents,
            !checker.hasResults
        else { return }
        let nap = min(core.nextDeadline.map { $0 > now ? $0 - now : 0 } ?? UInt64.max, Self.longestNapMicroseconds)
        guard nap > 0 else { return }
        // The bell comes last: `shim_wait` empties that one.
        let descriptors =
            endpoint.descriptors + (replays?.descriptors ?? []) + [mailbox.descriptor, doorbell.descriptor]
        shim_wait(descriptors, Int32(descriptors.count), nap)
    }
}

/// Microseconds of the monotonic clock.
func monotonicMicroseconds() -> UInt64 { microseconds(CLOCK_MONOTONIC) }

private func microsecondsSince1970() -> UInt64 { microseconds(CLOCK_REALTIME) }

private func microseconds(_ clock: clockid_t) -> UInt64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1_000
}
