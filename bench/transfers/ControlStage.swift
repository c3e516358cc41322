import CDPDKShim
import CRTP
import Control
import Datagrams
import InterCore
import Wire

/// One control core alone, in memory: requests of workers come in by the real ring, sealed frames go to real channel
/// ends and come back, verdicts go out by the real ring. Its time is virtual, so that no timer depends on how fast the
/// machine happens to be; only the clocks are real. What plays workers and agents is not counted.
struct ControlStage: ~Copyable {
    /// Where the clocks of the control core go, in a transfer's order.
    enum Part: Int, CaseIterable {
        /// The worker's events up to sealed TRANSFERs: selection, machine, timer, encoding, sealing.
        case ask
        /// Sealed ACKs up to verdicts: opening, decoding, machine, timer.
        case grant
        /// The worker's word that it has committed: books and history.
        case confirm
        /// The end of a flow that was committed.
        case forget
        /// Due timers, datagrams and commands handed on.
        case perform
        /// System calls, where datagrams go by sockets.
        case sockets
        /// The agents' part, not the control core's.
        case agents
    }

    private var core: ControlCore
    private var agents: [AnsweringAgent]
    private let requests: Requests
    private let flows: UInt32
    private let endsByAgent: Bool
    private let director: Endpoint
    private let events = Ring<WorkerEvent>(capacity: 2_048, payloadCapacity: WorkerEvent.maximumPayload)
    private let commands = Ring<WorkerCommand>(capacity: 4_096)
    private var backlog = CommandBacklog()
    private var socket: DatagramSocket?
    private var agentSockets: AgentSockets?
    private var outbox: [(datagram: [UInt8], to: Endpoint)] = []
    private var inbox: [(datagram: [UInt8], from: Endpoint)] = []
    private var answers: [[UInt8]] = []
    private var granted: [FlowHandle] = []
    private var number: UInt32 = 0
    private var now: UInt64 = 1_000_000
    private var clocks = [UInt64](repeating: 0, count: Part.allCases.count)

    /// Events and datagrams that one turn of the control loop takes.
    static var batch: Int { 256 }

    init(requests: Requests, flows: UInt32, setup: Setup, usesSockets: Bool, endsByAgent: Bool) throws {
        var setup = setup
        setup.director.workers.flowCapacity = Int(flows) + Self.batch
        core = setup.core()
        agents = setup.agents()
        director = setup.address
        if usesSockets {
            socket = try DatagramSocket(bindTo: director)
            agentSockets = try AgentSockets(agents.map(\.endpoint))
        }
        self.requests = requests
        self.endsByAgent = endsByAgent
        self.flows = flows
        core.start(now: now)
        for _ in 0..<20 {
            exchange()
            now += 100_000
        }
        while commands.pop() != nil {}
        precondition(core.proxies.allSatisfy { $0.isUp }, "no channel")
    }

    /// One turn: a batch of transfers from held request to commit, and as many old flows that end.
    mutating func turn() {
        for index in 0..<UInt32(Self.batch) {
            let held = requests.held(number &+ index, flows: flows)
            let isPushed = requests.payload.withUnsafeBytes { events.push(.requestHeld(held), payload: $0) }
            precondition(isPushed, "event ring full")
        }
        number &+= UInt32(Self.batch)
        takeEvents(.ask)
        exchange()
        while let command = commands.pop() {
            if case .verdict(let handle, .proxy) = command { granted.append(handle) }
        }
        precondition(granted.count == Self.batch, "\(granted.count) of \(Self.batch) transfers were granted")
        for handle in granted { precondition(events.push(.committed(handle))) }
        takeEvents(.confirm)
        if endsByAgent { endByAgent() } else { endByClient() }
        granted.removeAll(keepingCapacity: true)
        perform()
        now += 200
    }

    /// The oldest flows end with a reset of their clients.
    private mutating func endByClient() {
        guard number > flows - UInt32(Self.batch) else { return }
        let oldest = number &- (flows - UInt32(Self.batch))
        for index in oldest..<oldest + UInt32(Self.batch) {
            precondition(events.push(.flowEnded(requests.handle(index, flows: flows), .clientReset)))
        }
        takeEvents(.forget)
    }

    /// The oldest flows end by FLOW_DONE, which is answered, and the worker's word that it has removed them.
    private mutating func endByAgent() {
        measure(.agents) { stage in
            for index in stage.agents.indices {
                stage.agents[index].endOldest(
                    keeping: (Int(stage.flows) - Self.batch) / stage.agents.count, to: stage.director, &stage.answers)
                for answer in stage.answers { stage.inbox.append((answer, stage.agents[index].endpoint)) }
                stage.answers.removeAll(keepingCapacity: true)
            }
        }
        measure(.forget) { stage in
            for (datagram, endpoint) in stage.inbox { stage.core.receive(datagram, from: endpoint, now: stage.now) }
            stage.inbox.removeAll(keepingCapacity: true)
        }
        perform()
        while let command = commands.pop() {
            if case .flowDone(let handle) = command { precondition(events.push(.flowEnded(handle, .flowDone))) }
        }
        takeEvents(.forget)
    }

    private mutating func takeEvents(_ part: Part) {
        measure(part) { stage in
            while stage.events.pop({ event, payload in
                stage.core.handle(event, payload: payload, worker: 0, now: stage.now)
            }) != nil {}
        }
    }

    /// Datagrams there and back.
    private mutating func exchange() {
        perform()
        // Never the same twice: a variance that shrinks to a denormal number would be the processor's slowest.
        now += 150 + UInt64(number / 256 * 37 % 101)
        measure(.sockets) { stage in
            if stage.socket == nil { return }
            for (datagram, endpoint) in stage.outbox { stage.socket?.send(datagram, to: endpoint) }
            stage.socket?.flush()
            stage.outbox.removeAll(keepingCapacity: true)
        }
        measure(.agents) { stage in
            stage.agentSockets?.receive(into: &stage.outbox)
            for (datagram, endpoint) in stage.outbox {
                guard let index = stage.agents.firstIndex(where: { $0.endpoint == endpoint }) else { continue }
                stage.agents[index].receive(datagram, from: stage.director, now: stage.now, into: &stage.answers)
                for answer in stage.answers { stage.inbox.append((answer, endpoint)) }
                stage.answers.removeAll(keepingCapacity: true)
            }
            stage.outbox.removeAll(keepingCapacity: true)
            stage.agentSockets?.send(&stage.inbox, to: stage.director)
        }
        measure(.sockets) { stage in
            while let count = stage.socket?.receive(), count > 0 {
                for index in 0..<count { if let datagram = stage.socket?[index] { stage.inbox.append(datagram) } }
                if count < DatagramSocket.batch { break }
            }
        }
        measure(.grant) { stage in
            for (datagram, endpoint) in stage.inbox { stage.core.receive(datagram, from: endpoint, now: stage.now) }
            stage.inbox.removeAll(keepingCapacity: true)
        }
        perform()
    }

    /// As `batond`'s control loop does it.
    private mutating func perform() {
        measure(.perform) { stage in
            stage.core.advance(to: stage.now)
            for action in stage.core.actions {
                switch action {
                case .transmit(let datagram, let peer): stage.outbox.append((datagram, peer))
                case .command(let command, _): stage.backlog.append(command)
                case .connect, .disconnect, .reconnect, .log: break
                }
            }
            stage.core.actions.removeAll(keepingCapacity: true)
            let commands = stage.commands
            stage.backlog.drain { commands.push($0) }
        }
    }

    private mutating func measure(_ part: Part, _ body: (inout ControlStage) -> Void) {
        let start = shim_tsc()
        body(&self)
        clocks[part.rawValue] += shim_tsc() - start
    }

    /// The clocks of each part since the last call.
    mutating func takeClocks() -> [UInt64] {
        defer { clocks = clocks.map { _ in 0 } }
        return clocks
    }

    /// Transfers that have ended otherwise than they should.
    var lost: Int { Int(number) - Int(core.counters[.committed]) }
}
