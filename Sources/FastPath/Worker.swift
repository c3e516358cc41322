import CDPDKShim
import InterCore
import Wire

/// One worker: polls its ports' queues, owns its flows, moves packets. Everything it needs is made before it starts;
/// after that it takes no lock, allocates nothing and calls nothing of Swift's runtime (invariant 5).
///
/// A packet's way is `poll`: receive, parse, look up, act, transmit. Time is a parameter, in TSC ticks.
public struct Worker: ~Copyable {
    let configuration: CompiledConfiguration
    /// The control core's; others come by `useRules`.
    var rules: RuleTable
    /// Likewise, by `useVirtualServers`.
    var virtuals: VirtualServerTable
    let links: WorkerLinks
    let counters: CounterBlock
    var flows: FlowTable
    var timers: FlowTimers
    /// Flows whose head is not complete, and flows that wait for a verdict.
    var collecting = HoldQueue()
    var asked = HoldQueue()
    var heldPackets = 0
    /// Flows of UDP datagrams.
    var datagrams: DatagramFlows
    var clientSide: Side
    var serverSide: Side
    var proxies: UnsafeMutablePointer<NextHop>
    let proxiesUp: UnsafeMutablePointer<Bool>
    /// The proxies' addresses in the byte order of the wire.
    let proxyMACs: UnsafeMutablePointer<UInt64>
    /// Ways to proxies beyond layer 2.
    var tunnels: Tunnels
    /// Of a classifier.
    let arrivals: CompiledArrivals
    /// Of a forwarder.
    var questions = FlowQuestions()
    /// Flows by the proxy that has them (`ProxyIndex`).
    let flowsOfProxy: UnsafeMutablePointer<UInt32>
    /// Numbers of the proxies' retirements, 0 for none, and how many there are.
    let retirements: UnsafeMutablePointer<UInt32>
    var retiring = 0
    let scratch: UnsafeMutableRawBufferPointer
    var burst: Burst
    var capture = PacketCapture()
    /// Of virtual servers: what cookies are made with, and whose turn it is.
    var cookieKey: CookieKey
    var handshakeClock: (turn: UInt64, milliseconds: UInt32) = (0, 0)
    var originTurn = 0
    var isBypassed = false
    var isControlAlive = true
    /// TSC until which mid-stream packets without an entry are withheld; 0 when that is over.
    var recoveryEnds: UInt64
    /// This turn's time as entries keep it.
    var tick: UInt32 = 0
    /// When the last turn began, and whether it found something.
    private var lastTurn: UInt64 = 0
    private var wasBusy = false
    /// What the control core asked of the flows.
    var walk = FlowWalk()
    /// The next place to consider when a flow that must have one finds the table full.
    var evictionCursor = 0

    public init(configuration: WorkerConfiguration, links: WorkerLinks, now: UInt64, hertz: UInt64) {
        self.configuration = CompiledConfiguration(configuration, hertz: hertz)
        rules = RuleTable(candidates: configuration.candidates, routes: configuration.routes, generation: 0)
        virtuals = VirtualServerTable(
            servers: configuration.virtualServers, origins: configuration.origins, generation: 0,
            areClassifiers: configuration.role == .forwarder)
        arrivals = CompiledArrivals(configuration.arrivals)
        cookieKey = CookieKey(secret: configuration.cookieSecret, minute: 0)
        self.links = links
        counters = links.counters
        flows = FlowTable(
            FlowTable.Size(ipv4: configuration.flowCapacity, ipv6: configuration.flowCapacityIPv6),
            hashSeed: configuration.hashSeed, socket: links.socket)
        timers = FlowTimers(now: now, hertz: hertz)
        datagrams = DatagramFlows(
            capacity: configuration.datagramFlowCapacity, areWatched: rules.watchesDatagrams,
            hashSeed: configuration.hashSeed, socket: links.socket, now: now, hertz: hertz)
        clientSide = Side(links.clientQueue, .transmittedToClients)
        serverSide = Side(links.serverQueue, .transmittedToServers)
        proxies = .allocate(capacity: 256)
        proxies.initialize(repeating: NextHop(mac: .zero), count: 256)
        proxiesUp = .allocate(capacity: 256)
        proxiesUp.initialize(repeating: false, count: 256)
        proxyMACs = .allocate(capacity: 256)
        proxyMACs.initialize(repeating: 0, count: 256)
        tunnels = Tunnels(maximumSegment: configuration.maximumSegment)
        flowsOfProxy = .allocate(capacity: 256)
        flowsOfProxy.initialize(repeating: 0, count: 256)
        retirements = .allocate(capacity: 256)
        retirements.initialize(repeating: 0, count: 256)
        scratch = .allocate(byteCount: configuration.headLimit, alignment: 64)
        burst = Burst()
        recoveryEnds = configuration.recoveryMicroseconds == 0 ? 0 : now &+ self.configuration.recovery
    }

    /// One turn. Returns how many packets and commands it found; 0 means that there was nothing to do.
    public mutating func poll(now: UInt64) -> Int {
        links.heartbeat.beat(now: now)
        tick = timers.tick(at: now)
        if wasBusy {
            counters.add(.busyTurns)
            counters.add(.busyClocks, now &- lastTurn)
        }
        lastTurn = now
        // The control core's clock reading may be a little later than this turn's.
        isControlAlive = Int64(bitPattern: now &- links.controlHeartbeat.lastBeat) < Int64(configuration.heartbeat)
        var found = takeCommands(now: now)
        found &+= receive(clientSide.queue, fromClient: true, now: now)
        found &+= receive(serverSide.queue, fromClient: false, now: now)
        found &+= receiveHandedOver(now: now)
        if walk.isUnderWay { found &+= continueWalk(isBusy: found > 0, now: now) }
        expire(now: now)
        transmit(now: now)
        wasBusy = found > 0
        return found
    }

    /// One burst of one queue through all stages. Inlined, so that the direction is a constant in each.
    @inline(__always)
    mutating func receive(_ queue: PortQueue, fromClient: Bool, now: UInt64) -> Int {
        let received = Int(shim_receive(queue.port, queue.queue, burst.packets, UInt16(Burst.size)))
        guard received > 0 else { return 0 }
        counters.add(fromClient ? .receivedFromClients : .receivedFromServers, UInt64(received))
        let count = fromClient && configuration.isClassifier ? unwrap(received) : received
        parse(count, fromClient: fromClient)
        let own = sortOut(count, fromClient: fromClient)
        if fromClient { lookUpAndActForClients(own, now: now) } else { lookUpAndActForServers(own, now: now) }
        return received
    }

    /// Packets of this worker's flows that came in by another's queue, in bursts of one direction.
    mutating func receiveHandedOver(now: UInt64) -> Int {
        var count = 0
        var source = 0
        while source < links.handOverSources {
            let ring = links.handOverIn[source]
            var waiting = 0
            var fromClient = true
            var taken = 0
            while taken < Burst.size, let handed = ring.pop() {
                if waiting > 0, handed.fromClient != fromClient {
                    actOnHandedOver(waiting, fromClient: fromClient, now: now)
                    waiting = 0
                }
                fromClient = handed.fromClient
                burst.packets[waiting] = OpaquePointer(bitPattern: handed.packet)
                waiting &+= 1
                taken &+= 1
            }
            if waiting > 0 { actOnHandedOver(waiting, fromClient: fromClient, now: now) }
            count &+= taken
            source &+= 1
        }
        return count
    }

    @inline(never)
    private mutating func actOnHandedOver(_ count: Int, fromClient: Bool, now: UInt64) {
        counters.add(.receivedHandedOver, UInt64(count))
        parse(count, fromClient: fromClient)
        if fromClient { lookUpAndActForClients(count, now: now) } else { lookUpAndActForServers(count, now: now) }
    }

    // One function for each direction, so that it is a constant in all that is inlined there: the compiler stops inlining
    // into functions that have become large.

    @inline(never)
    private mutating func lookUpAndActForClients(_ count: Int, now: UInt64) {
        if capture.isOn { markWanted(count, fromClient: true) }
        flows.probeAll(count)
        if configuration.isForwarder { return forward(count, now: now) }
        let left = burst.hasSYNs ? answerSYNs(count, now: now) : count
        act(left, fromClient: true, now: now)
    }

    @inline(never)
    private mutating func lookUpAndActForServers(_ count: Int, now: UInt64) {
        if capture.isOn { markWanted(count, fromClient: false) }
        flows.probeAll(count)
        if configuration.isForwarder { return heedServers(count, now: now) }
        act(count, fromClient: false, now: now)
    }

    /// Reads the headers and finds the connection of each packet; asks the memory for its bucket.
    @inline(__always)
    mutating func parse(_ count: Int, fromClient: Bool) {
        let (burst, lookup) = (burst, flows.lookup)
        var index = 0
        while index < count {
            let packet = burst.packets[index].unsafelyUnwrapped
            let bytes = UnsafeRawPointer(shim_mbuf_data(packet))
            let length = Int(shim_mbuf_length(packet))
            if let segment = PlainSegment(ipv4: bytes, length: length) {
                lookup.begin(index, IPv4Layout.key(ofPlain: bytes, fromClient: fromClient), segment)
            } else if let segment = PlainSegment(ipv6: bytes, length: length) {
                lookup.begin(index, IPv6Layout.key(ofPlain: bytes, fromClient: fromClient), segment)
            } else {
                parse(at: index, fromClient: fromClient)
            }
            index &+= 1
        }
        if !fromClient, virtuals.originCount > 0, !configuration.isForwarder { findOrigins(count) }
    }

    /// Any other packet.
    @inline(never)
    private mutating func parse(at index: Int, fromClient: Bool) {
        if fromClient, !virtuals.isEmpty, parseSYN(index) { return }
        layOut(index, fromClient: fromClient)
        guard burst.layouts[index].belongsToFlow else { return flows.lookup.skip(index) }
        flows.lookup.begin(index, flows.lookup.keys[index], .none(isV6: burst.layouts[index].isV6))
    }

    /// Layout and key, which packets that take the short way do without.
    @inline(__always)
    mutating func layOut(_ index: Int, fromClient: Bool) {
        let packet = burst.packets[index].unsafelyUnwrapped
        let bytes = UnsafeRawPointer(shim_mbuf_data(packet))
        var layout = PacketLayout(of: bytes, length: Int(shim_mbuf_length(packet)))
        if layout.kind == .udp, !datagrams.areWatched || isOwn(packet) { layout.kind = .other }
        burst.layouts[index] = layout
        flows.lookup.keys[index] =
            layout.belongsToFlow
            ? layout.key(bytes, fromClient: fromClient) : PackedFlowKey(addresses: 0, ports: 0)
    }

    /// Gives other workers' packets away and closes the gaps. Returns how many are left.
    mutating func sortOut(_ count: Int, fromClient: Bool) -> Int {
        guard configuration.workerCount > 1 else { return count }
        var kept = 0
        var index = 0
        while index < count {
            let owner =
                !flows.lookup.slots[index].segment.isLaidOut || burst.layouts[index].belongsToFlow
                ? flowOwner(ofHash: flows.lookup.slots[index].hash, workerCount: configuration.workerCount)
                : configuration.workerIndex
            if owner == configuration.workerIndex {
                burst.move(index, to: kept)
                flows.lookup.move(index, to: kept)
                kept &+= 1
            } else {
                handOver(burst.packets[index]!, to: owner, fromClient: fromClient)
            }
            index &+= 1
        }
        return kept
    }

    /// Out of line: a symmetric hash in the port makes it rare, and a test looks for it in the object code.
    @inline(never)
    mutating func handOver(_ packet: OpaquePointer, to owner: Int, fromClient: Bool) {
        let handed = HandedOver(packet: UInt(bitPattern: packet), fromClient: fromClient)
        if links.handOverOut[owner].push(handed) {
            counters.add(.handedOver)
            if links.doorbells[owner].isSleeperWaiting { shim_signal(links.doorbells[owner].descriptor) }
        } else {
            counters.add(.droppedHandOverFull)
            shim_mbuf_free(packet)
        }
    }

    /// Lets each packet's flow decide. Most take the short way, as long as they follow one another.
    @inline(__always)
    mutating func act(_ count: Int, fromClient: Bool, now: UInt64) {
        let hasRoom = fromClient ? serverSide.makeRoom(count, counters) : clientSide.makeRoom(count, counters)
        var index = 0
        while true {
            if hasRoom, !flows.hasChangedSinceProbe {
                index = forwardPlain(from: index, to: count, fromClient: fromClient)
            }
            guard index < count else { return }
            act(at: index, fromClient: fromClient, now: now)
            index &+= 1
        }
    }

    @inline(never)
    mutating func act(at index: Int, fromClient: Bool, now: UInt64) {
        if !flows.lookup.slots[index].segment.isLaidOut {
            let key = flows.lookup.keys[index]
            layOut(index, fromClient: fromClient)
            if flows.lookup.slots[index].segment.isOfOrigin { flows.lookup.keys[index] = key }
        }
        let flow =
            flows.hasChangedSinceProbe ? flows.found(index) : flows.lookup.resolve(index, flows.lookup.keys)
        let packet = Packet(
            mbuf: burst.packets[index].unsafelyUnwrapped, layout: burst.layouts[index], fromClient: fromClient, now: now
        )
        let (key, hash) = (flows.lookup.keys[index], flows.lookup.slots[index].hash)
        if capture.isOn, capture.isWanted[index] { return actCaptured(packet, flow, key, hash) }
        decide(packet, flow, key, hash)
    }

    @inline(__always)
    mutating func decide(_ packet: Packet, _ flow: Flow?, _ key: PackedFlowKey, _ hash: UInt64) {
        if configuration.isForwarder { return forwardClosely(packet, flow, key, hash) }
        switch packet.layout.kind {
        case .tcp:
            if packet.fromClient { handleClient(packet, flow, key, hash) } else { handleServer(packet, flow, key) }
        case .icmpError: handleError(packet, flow)
        case .udp: handleDatagram(packet, key, hash)
        case .fragment:
            counters.add(.passedFragment)
            pass(packet)
        case .other:
            if !packet.fromClient, tunnels.count > 0, takeTunnels(packet) { return }
            if let own = links.own, takeOwn(packet, own) { return }
            if packet.fromClient, !virtuals.isEmpty, answerNeighbor(packet) || answerEcho(packet) { return }
            if packet.fromClient, tunnels.count > 0, configuration.proxiesOnClientSide, takeTunnels(packet) { return }
            counters.add(.passedNotTCP)
            pass(packet)
        }
    }
}

/// A packet on its way through a worker.
struct Packet {
    let mbuf: OpaquePointer
    let layout: PacketLayout
    let fromClient: Bool
    let now: UInt64

    @inline(__always) var bytes: UnsafeMutableRawPointer { UnsafeMutableRawPointer(shim_mbuf_data(mbuf)) }
    @inline(__always) var tcp: TCPHeader { TCPHeader(UnsafeRawPointer(bytes) + Int(layout.transport)) }
    @inline(__always) var hasValidChecksum: Bool { layout.hasValidChecksum(bytes) }
    @inline(__always) var sourceMAC: MACAddress { UnsafeRawPointer(bytes).wireMAC(6) }
    @inline(__always) var destinationMAC: MACAddress { UnsafeRawPointer(bytes).wireMAC(0) }
    /// IPv4 TTL or IPv6 hop limit.
    @inline(__always) var timeToLive: UInt8 {
        UnsafeRawPointer(bytes).wire8(Int(layout.network) &+ (layout.isV6 ? 7 : 8))
    }
}

/// What the stages hand on to each other, filled anew by each burst: parallel arrays, and `BurstLookup`'s beside them.
struct Burst: BitwiseCopyable {
    static var size: Int { BurstLookup.size }
    let packets: UnsafeMutablePointer<OpaquePointer?> = .allocate(capacity: Burst.size)
    /// Of packets that are no plain segments, and of those when they leave the short way.
    let layouts: UnsafeMutablePointer<PacketLayout> = .allocate(capacity: Burst.size)
    /// Some are plain SYNs (`Worker.answerSYNs`).
    var hasSYNs = false

    @inline(__always)
    func move(_ source: Int, to target: Int) {
        guard source != target else { return }
        packets[target] = packets[source]
        layouts[target] = layouts[source]
    }
}
