import CDPDKShim
import CRTP
import FastPath
import InterCore
import Wire

/// A port whose wires are rings.
struct RingPort {
    let number: UInt16
    let inbound: OpaquePointer
    let outbound: OpaquePointer

    init(_ name: String, pool: PacketPool) {
        var inbound: OpaquePointer?
        var outbound: OpaquePointer?
        let number = shim_ring_port(name, 8_192, &inbound, &outbound)
        precondition(number >= 0 && shim_port_configure(UInt16(number), 1, false) == 0, "no ring port")
        precondition(shim_port_queue(UInt16(number), 0, pool.pointer) == 0, "no queue")
        precondition(shim_port_start(UInt16(number)) == 0, "no start")
        self.number = UInt16(number)
        self.inbound = inbound!
        self.outbound = outbound!
    }
}

/// Clients, origin and agents on one core, with the worker between them: each connection is SYN, SYN/ACK, ACK, a
/// request, and the client's reset once the request has reached the proxy. Open loop: connections begin at their time,
/// however the director fares.
struct Traffic: ~Copyable {
    var worker: Worker
    var agents: [AnsweringAgent]
    let director: Endpoint
    let client: RingPort
    let server: RingPort
    let pool: PacketPool
    let toAgents: Ring<Int>
    let fromAgents: Ring<Int>
    let hertz: Double

    private let syn, synACK, ack, request, reset: SegmentTemplate
    private var answers: [[UInt8]] = []
    private var started: UInt32 = 0
    /// When the request of a connection that is under way went in, by its number modulo the capacity.
    private var sentAt: [UInt64]
    /// Ticks that requests were held.
    var holds: [UInt32] = []
    var figures = Figures()

    struct Figures {
        var connections = 0
        /// `unsent`: the worker had not taken what was before it on the wire.
        var sent = 0, seen = 0, unsent = 0
        var transferred = 0, toOrigin = 0
        var ticksInAgents: UInt64 = 0, ticksInWorker: UInt64 = 0, ticksInGenerator: UInt64 = 0

        /// Everything that went in comes out, and a reset for the origin of each transferred connection.
        var lost: Int { sent + transferred - seen }
    }

    /// Connections between their SYN and their end, at most.
    static var capacity: UInt32 { 65_536 }
    static var burst: Int { 64 }
    /// Connections that one turn begins, and how often the worker may poll in it: it keeps up with five segments each.
    static var beginnings: Int { 16 }
    static var polls: Int { 16 }

    init(
        worker: consuming Worker, agents: [AnsweringAgent], director: Endpoint, client: RingPort, server: RingPort,
        pool: PacketPool, toAgents: Ring<Int>, fromAgents: Ring<Int>, hertz: Double, payload: [UInt8]
    ) {
        self.worker = worker
        self.agents = agents
        self.director = director
        self.client = client
        self.server = server
        self.pool = pool
        self.toAgents = toAgents
        self.fromAgents = fromAgents
        self.hertz = hertz
        let first = SegmentTemplate.firstSequence
        let options: [UInt8] = [2, 4, 0x05, 0xB4, 4, 2, 1, 3, 3, 7, 1, 1]
        syn = SegmentTemplate(isFromClient: true, flags: 2, sequence: first - 1, acknowledgement: 0, options: options)
        synACK = SegmentTemplate(
            isFromClient: false, flags: 18, sequence: first - 1, acknowledgement: first, options: options)
        ack = SegmentTemplate(isFromClient: true, flags: 16, sequence: first, acknowledgement: first)
        request = SegmentTemplate(
            isFromClient: true, flags: 24, sequence: first, acknowledgement: first, payload: payload)
        reset = SegmentTemplate(
            isFromClient: true, flags: 20, sequence: first + UInt32(payload.count), acknowledgement: first)
        sentAt = .init(repeating: 0, count: Int(Self.capacity))
        holds.reserveCapacity(4_000_000)
    }

    /// Opens connections at `rate` a second until `end`, then lets what is under way come through.
    mutating func run(rate: Double, until end: UInt64) {
        figures = Figures()
        holds.removeAll(keepingCapacity: true)
        let interval = hertz / rate
        let start = shim_tsc()
        let drained = end + UInt64(hertz / 5)
        while true {
            let now = shim_tsc()
            if now >= end, now >= drained || figures.transferred + figures.toOrigin >= figures.connections { break }
            let due = now < end ? Int(Double(now &- start) / interval) : 0
            turn(due: min(due - figures.connections, Self.beginnings))
        }
        for _ in 0..<1_000 { turn(due: 0) }
    }

    /// One turn of everything on this core.
    mutating func turn(due: Int) {
        let start = shim_tsc()
        var left = due
        while left > 0, figures.connections - figures.transferred - figures.toOrigin < Int(Self.capacity) {
            put(syn, started, into: client)
            started &+= 1
            figures.connections += 1
            left -= 1
        }
        takeFromClientsPort()
        takeFromServersPort()
        let generated = shim_tsc()
        for _ in 0..<Self.polls where worker.poll(now: shim_tsc()) == 0 { break }
        let polled = shim_tsc()
        answerTransfers()
        figures.ticksInGenerator += generated - start
        figures.ticksInWorker += polled - generated
        figures.ticksInAgents += shim_tsc() - polled
    }

    private mutating func put(_ template: SegmentTemplate, _ number: UInt32, into port: RingPort) {
        guard let packet = shim_mbuf_make(pool.pointer, UInt16(template.bytes.count)) else { fatalError("no packets") }
        template.write(
            to: UnsafeMutableRawPointer(shim_mbuf_data(packet)), address: SeenSegment.address(number),
            port: SeenSegment.port(number))
        if shim_ring_put(port.inbound, packet) == 0 {
            figures.sent += 1
        } else {
            shim_mbuf_free(packet)
            figures.unsent += 1
        }
    }

    private mutating func takeFromClientsPort() {
        for _ in 0..<Self.burst {
            guard let packet = shim_ring_take(client.outbound) else { return }
            let segment = SeenSegment(UnsafeRawPointer(shim_mbuf_data(packet)), fromClient: false)
            shim_mbuf_free(packet)
            figures.seen += 1
            guard segment.flags == 18 else { continue }
            put(ack, segment.number, into: client)
            put(request, segment.number, into: client)
            sentAt[Int(segment.number % Self.capacity)] = shim_tsc()
        }
    }

    private mutating func takeFromServersPort() {
        for _ in 0..<4 * Self.burst {
            guard let packet = shim_ring_take(server.outbound) else { return }
            let segment = SeenSegment(UnsafeRawPointer(shim_mbuf_data(packet)), fromClient: true)
            shim_mbuf_free(packet)
            let isForOrigin = segment.toMAC == SegmentTemplate.originMAC
            figures.seen += 1
            if segment.flags == 2 { put(synACK, segment.number, into: server) }
            guard segment.hasPayload else { continue }
            if isForOrigin {
                figures.toOrigin += 1
            } else {
                figures.transferred += 1
                holds.append(UInt32(clamping: shim_tsc() - sentAt[Int(segment.number % Self.capacity)]))
            }
            put(reset, segment.number, into: client)
        }
    }

    /// Datagrams of the director to the agents, and what they answer.
    private mutating func answerTransfers() {
        let now = UInt64(Double(shim_tsc()) / hertz * 1e6)
        for _ in 0..<Self.burst {
            guard let (index, datagram) = toAgents.pop({ ($0, [UInt8]($1)) }) else { return }
            agents[index].receive(datagram, from: director, now: now, into: &answers)
            for answer in answers {
                answer.withUnsafeBytes { precondition(fromAgents.push(index, payload: $0), "the channel is full") }
            }
            answers.removeAll(keepingCapacity: true)
        }
    }
}
