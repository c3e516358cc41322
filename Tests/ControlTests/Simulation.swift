import CRTP
import Control
import InterCore
import Wire

/// A control core, two agents and two workers in virtual time, joined by a network that loses, duplicates, delays and
/// reorders, and by rings that only delay. Everything follows from the seed.
struct Simulation {
    struct Conditions {
        var lossPercent = 0
        var duplicationPercent = 0
        var delayMicroseconds: ClosedRange<UInt64> = 50...400
        /// One datagram in a hundred may take so much longer.
        var stragglerMicroseconds: UInt64 = 0
        var agentMicroseconds: ClosedRange<UInt64> = 50...2_000
        var acceptPercent = 70
        var clientResetPercent = 0
        var isForgetful = false
        var resetBy = DirectorConfiguration.ResetBy.director
        var agentRestarts = false
        /// Agents that answer after so long, whatever `agentMicroseconds` says.
        var slowAgents: [Int: ClosedRange<UInt64>] = [:]
        /// Agents that lack everything.
        var poorAgents: Set<Int> = []
        var credits: UInt32 = 1_000
        var agentCount = 2
        var laterRequests = DirectorConfiguration.LaterRequests.relay
        /// Of committed connections: how many are handed back, again and again.
        var handBackPercent = 0
        /// Connections end when a test says so.
        var isEndless = false
        var ringMicroseconds: ClosedRange<UInt64> = 1...300
    }

    enum Step {
        case toDirector([UInt8], from: Endpoint)
        case toAgent(Int, [UInt8])
        case toMember(Int, [UInt8])
        case agentDecides(Int, Frame, epoch: UInt64)
        case agentFinishes(Int, UInt32)
        case handBack(Int, UInt32)
        case cancelOffer(Int, UInt32)
        /// The connection is over at an agent, whatever is on offer.
        case dies(Int, UInt32)
        case requestToAgent(ProxyIndex, FlowKey)
        case command(WorkerCommand, worker: Int)
        case event(WorkerEvent, payload: [UInt8], worker: Int)
        case backstop(FlowHandle)
        case clientReset(FlowHandle)
        /// A client that was handed off sends its request again, unless it has been answered.
        case clientRepeats(FlowHandle, after: UInt64)
        case arrival(UInt16)
        case restartAgent(Int)
        /// The connection to an agent, where its channel is a stream, is made.
        case connected(Endpoint)
        /// Even: without the second proxy and with another rule before; odd: as in the beginning.
        case reload(Int)
    }

    /// Somebody dies when the first frame of a type passes between the director and an agent.
    struct Accident {
        enum Victim: Hashable, CaseIterable { case first, second, director }
        var type: MessageType
        var agent: Int
        var isToDirector: Bool
        var victim: Victim
        /// Before the frame is read; otherwise right afterwards.
        var isBefore: Bool
        var hasHappened = false
    }

    var accident: Accident?
    var conditions: Conditions
    /// What the core began with.
    let start: DirectorConfiguration
    var random: SeededGenerator
    var now: UInt64 = 1_000_000
    var core: ControlCore
    var agents: [FakeAgent]
    var workers = [FakeWorker(index: 0), FakeWorker(index: 1)]
    var logs: [ControlLogEntry] = []
    var restarts = 0
    var groupDatagrams = 0
    /// Those to whom there is a connection.
    var connections: Set<Endpoint> = []
    /// Frames that the core sent, by endpoint and type.
    var sent: [Endpoint: [UInt8]] = [:]
    var faults: [ConnectionFault] = []
    private var steps: [UInt64: [Step]] = [:]
    private var times = TimingWheel<UInt64>(tickMicroseconds: 1)
    /// Rings keep their order: nothing is delivered before what was pushed first.
    private var ringTimes: [Int: UInt64] = [:]

    static let group = Endpoint(IPAddress("239.192.0.1")!, port: 7_443)
    static let director = Endpoint(IPAddress("192.0.2.1")!, port: 5_000)
    static let keys = KeyRing(keys: [1: [UInt8](repeating: 7, count: 32)], current: 1)

    /// All channels up, recovery over; agents accept everything, soon.
    static func ready(
        seed: UInt64, _ conditions: Conditions = .init(), adjust: (inout DirectorConfiguration) -> Void = { _ in }
    ) -> Simulation {
        var conditions = conditions
        conditions.acceptPercent = 100
        conditions.agentMicroseconds = 200...300
        var simulation = Simulation(seed: seed, conditions, adjust: adjust)
        simulation.run(until: 2_000_000)
        return simulation
    }

    init(seed: UInt64, _ conditions: Conditions, adjust: (inout DirectorConfiguration) -> Void = { _ in }) {
        self.conditions = conditions
        random = SeededGenerator(seed: seed)
        var configuration = DirectorConfiguration()
        let endpoints = (0..<conditions.agentCount).map {
            Endpoint(IPAddress("192.0.2.1\($0)")!, port: 6_000 + UInt16($0))
        }
        configuration.proxies = endpoints.enumerated().map { .init(name: "p\($0)", address: $1) }
        var rule = DirectorConfiguration.Rule(name: "all")
        rule.resetBy = conditions.resetBy
        rule.laterRequests = conditions.laterRequests
        configuration.rules = [rule]
        configuration.logLevel = "warning"
        // All requests are for one object, and each is a question of its own.
        configuration.crtp.choice.refusalLifetimeMicroseconds = 0
        adjust(&configuration)
        start = configuration
        core = ControlCore(
            configuration: configuration, keys: Self.keys, workerCount: 2, epoch: seed,
            random: SeededGenerator(seed: seed))
        agents = endpoints.enumerated().map {
            FakeAgent(
                endpoint: $1, director: Self.director, keys: Self.keys, seed: seed * 1_000 + UInt64($0) * 100,
                isForgetful: conditions.isForgetful, credits: conditions.credits)
        }
        times = TimingWheel(tickMicroseconds: 1, now: now)
        core.setClock(Self.timeOfDay + now, now: now)
        for index in agents.indices { agents[index].responder.setClock(Self.timeOfDay, now: 0) }
        core.start(now: now)
        carryOut()
    }

    /// Of virtual time 0.
    static let timeOfDay: UInt64 = 1_700_000_000_000_000

    // MARK: Time

    mutating func at(_ time: UInt64, _ step: Step) {
        if steps[time] == nil { _ = times.insert(time, at: time) }
        steps[time, default: []].append(step)
    }

    private func nextTime(before end: UInt64) -> UInt64? {
        let candidates =
            [times.nextDeadline, core.nextDeadline] + agents.map(\.responder.nextDeadline)
            + agents.flatMap { agent in agent.adoptions.values.map(\.doneRepeatAt) }
            + agents.flatMap { agent in agent.offers.values.map(\.next) } + agents.map(\.leaving.nextDeadline)
        guard let next = candidates.compactMap({ $0 }).min(), next <= end else { return nil }
        return max(next, now)
    }

    /// Runs until `end`, microseconds.
    mutating func run(until end: UInt64) {
        while let time = nextTime(before: end) {
            now = time
            var due: [UInt64] = []
            times.advance(to: now) { due.append($0) }
            for time in due { for step in steps.removeValue(forKey: time) ?? [] { perform(step) } }
            if let deadline = core.nextDeadline, deadline <= now {
                core.advance(to: now)
                carryOut()
            }
            for index in agents.indices { tick(agent: index) }
            if conditions.laterRequests == .move { checkSpeakers() }
        }
        now = max(now, end)
    }

    // MARK: What happens

    private mutating func perform(_ step: Step) {
        switch step {
        case .toDirector(let datagram, let source):
            strike(datagram, agents.firstIndex { $0.endpoint == source }, isToDirector: true, isBefore: true)
            defer { strike(datagram, agents.firstIndex { $0.endpoint == source }, isToDirector: true, isBefore: false) }
            if connections.contains(source) {
                core.receiveFrame(datagram, from: source, now: now)
            } else {
                core.receive(datagram, from: source, now: now)
            }
            carryOut()
        case .connected(let endpoint):
            connections.insert(endpoint)
            core.connected(endpoint, now: now)
            carryOut()
        case .toAgent(let index, let datagram):
            strike(datagram, index, isToDirector: false, isBefore: true)
            defer { strike(datagram, index, isToDirector: false, isBefore: false) }
            agents[index].responder.receive(datagram, from: Self.director, now: now)
            drain(agent: index)
        case .toMember(let index, let datagram):
            agents[index].responder.receiveFromGroup(datagram, now: now)
            drain(agent: index)
        case .agentDecides(let index, let frame, let epoch):
            guard agents[index].epoch == epoch else { return }
            let wants = Int.random(in: 0..<100, using: &random) < conditions.acceptPercent
            let accepts = wants && !conditions.poorAgents.contains(index)
            fromAgent(index, agents[index].decide(frame, accepts: accepts, now: now))
        case .agentFinishes(let index, let transfer):
            if agents[index].adoptions[transfer]?.offer != nil { return at(now + 50_000, step) }
            fromAgent(index, agents[index].finish(transfer, now: now))
        case .handBack(let index, let transfer):
            fromAgent(index, agents[index].handBack(transfer, now: now))
        case .cancelOffer(let index, let offer): fromAgent(index, agents[index].cancel(offer))
        case .dies(let index, let transfer): fromAgent(index, agents[index].die(transfer, now: now))
        case .requestToAgent(let proxy, let key): requestArrived(Int(proxy.value), key)
        case .command(let command, let worker): apply(command, worker)
        case .event(let event, let payload, let worker):
            payload.withUnsafeBytes { core.handle(event, payload: $0, worker: worker, now: now) }
            carryOut()
        case .backstop(let handle): abort(handle, .backstop)
        case .clientReset(let handle): abort(handle, .clientReset)
        case .clientRepeats(let handle, let pause): clientRepeats(handle, pause)
        case .arrival(let port): arrive(port: port)
        case .reload(let number): reload(number)
        case .restartAgent(let index):
            restarts += 1
            agents[index].restart()
            agents[index].responder.setClock(Self.timeOfDay + now, now: now)
        }
    }

    private mutating func strike(_ datagram: [UInt8], _ agent: Int?, isToDirector: Bool, isBefore: Bool) {
        guard let due = accident, !due.hasHappened, due.type.rawValue == datagram[1], due.agent == agent,
            due.isToDirector == isToDirector, due.isBefore == isBefore
        else { return }
        accident?.hasHappened = true
        switch due.victim {
        case .first: perform(.restartAgent(0))
        case .second: perform(.restartAgent(1))
        case .director: restartDirector()
        }
    }

    /// With its workers: nothing is left of what they knew.
    private mutating func restartDirector() {
        let epoch = core.hashSeed &+ 1
        core = ControlCore(
            configuration: start, keys: Self.keys, workerCount: 2, epoch: epoch, random: SeededGenerator(seed: epoch))
        for index in workers.indices { workers[index].flows = [:] }
        core.setClock(Self.timeOfDay + now, now: now)
        core.start(now: now)
        carryOut()
    }

    /// As a kernel does: after 200 ms, and then pauses that double.
    private mutating func clientRepeats(_ handle: FlowHandle, _ pause: UInt64) {
        let worker = Int(handle.worker)
        guard let flow = workers[worker].flows[handle.index], case .committed(let proxy) = flow.phase else { return }
        if agents[Int(proxy.value)].takenOver.values.contains(flow.key) {
            return push(.handOffOver(handle), [], worker)
        }
        push(.requestRepeated(handle), [], worker)
        at(now + pause, .clientRepeats(handle, after: 2 * pause))
    }

    private mutating func arrive(port: UInt16) {
        let held = heldRequest(port: port)
        let key = held.request.connection.key
        let worker = flowOwner(of: key, seed: core.hashSeed, workerCount: 2)
        var request = held.request
        request.handle = workers[worker].hold(key)
        push(.requestHeld(request), held.payload, worker)
        at(now + 95_000, .backstop(request.handle))
        if Int.random(in: 0..<100, using: &random) < conditions.clientResetPercent {
            at(now + UInt64.random(in: 0...8_000, using: &random), .clientReset(request.handle))
        }
    }

    private mutating func reload(_ number: Int) {
        var wanted = start
        if number.isMultiple(of: 2) {
            wanted.proxies.removeLast()
            var rule = DirectorConfiguration.Rule(name: "before")
            rule.hosts = ["elsewhere.example"]
            wanted.rules.insert(rule, at: 0)
        }
        _ = try! core.reload(wanted, keys: Self.keys, now: now)
        carryOut()
    }

    private mutating func requestArrived(_ index: Int, _ key: FlowKey) {
        let before = agents[index].committedCount
        guard let transfer = agents[index].requestArrived(key) else {
            // Segments after a move may come to one that has gone on to another since.
            if restarts == 0, conditions.laterRequests == .relay {
                agents[index].failures.append("request for a connection that was not adopted: \(key)")
            }
            return
        }
        if agents[index].committedCount == before, conditions.laterRequests == .move { return }
        if conditions.resetBy == .proxy || agents[index].adoptions[transfer]?.hasRequest == true {
            fromAgent(index, agents[index].responder.send(Frame(.firstByte, transaction: transfer), to: Self.director))
        }
        serve(index, transfer)
    }

    private mutating func serve(_ index: Int, _ transfer: UInt32) {
        if conditions.isEndless { return }
        at(now + UInt64.random(in: 10...3_000_000, using: &random), .agentFinishes(index, transfer))
        if conditions.handBackPercent > 0, Int.random(in: 0..<100, using: &random) < conditions.handBackPercent {
            at(now + UInt64.random(in: 10...200_000, using: &random), .handBack(index, transfer))
        }
    }

    /// Who answers a client is who the worker sends its packets to, and nobody else: looked at whenever one begins.
    private mutating func checkSpeakers() {
        for index in agents.indices {
            for transfer in agents[index].spoke {
                guard let adoption = agents[index].adoptions[transfer], adoption.speaks else { continue }
                let others = agents.indices.filter { $0 != index && agents[$0].speaks(to: adoption.key) }
                let phases = workers.flatMap { $0.flows.values.filter { $0.key == adoption.key }.map(\.phase) }
                let isRight = phases.allSatisfy { $0 == .committed(ProxyIndex(UInt8(index))) || $0 == .ended }
                if others.isEmpty, isRight { continue }
                agents[index].failures.append("transfer \(transfer) speaks beside \(others), worker says \(phases)")
            }
            agents[index].spoke = []
        }
    }

    private mutating func abort(_ handle: FlowHandle, _ reason: AbortReason) {
        let worker = Int(handle.worker)
        guard workers[worker].flows[handle.index]?.phase == .held else { return }
        push(workers[worker].abort(handle, reason), [], worker)
    }

    private mutating func apply(_ command: WorkerCommand, _ worker: Int) {
        let (events, proxy, key) = workers[worker].apply(command)
        for event in events { push(event, [], worker) }
        if let proxy, let key {
            at(now + UInt64.random(in: conditions.delayMicroseconds, using: &random), .requestToAgent(proxy, key))
        }
        if case .verdict(let handle, .handOff) = command, !events.isEmpty {
            at(now + 200_000, .clientRepeats(handle, after: 400_000))
        }
        guard case .move(let handle, let from, let to) = command, case .moved? = events.first,
            let key = workers[worker].flows[handle.index]?.key
        else { return }
        if agents[Int(from.value)].speaks(to: key) { agents[Int(from.value)].failures.append("speaks and is moved") }
        // A segment of the client's may be there before anything is said.
        if Bool.random(using: &random) {
            at(now + UInt64.random(in: conditions.delayMicroseconds, using: &random), .requestToAgent(to, key))
        }
    }

    private mutating func tick(agent index: Int) {
        if let deadline = agents[index].responder.nextDeadline, deadline <= now {
            agents[index].responder.advance(to: now)
            drain(agent: index)
        }
        for (transfer, adoption) in agents[index].adoptions where (adoption.doneRepeatAt ?? .max) <= now {
            fromAgent(index, agents[index].finish(transfer, now: now))
        }
        for datagram in agents[index].repeatOffers(now: now) { fromAgent(index, datagram) }
        if let deadline = agents[index].leaving.nextDeadline, deadline <= now {
            agents[index].leaving.advance(to: now)
            for datagram in agents[index].bringBlobs(now: now) { fromAgent(index, datagram) }
        }
        agents[index].reap(now: now)
    }

    // MARK: Ways

    /// A connection breaks; the next one is there after 100 ms.
    mutating func cut(_ endpoint: Endpoint) {
        guard connections.remove(endpoint) != nil else { return }
        if let index = agents.firstIndex(where: { $0.endpoint == endpoint }) {
            agents[index].responder.disconnect(Self.director)
            drain(agent: index)
        }
        let end = ConnectionEnd(reason: "closed", detail: "by the peer", retryMicroseconds: 100_000)
        core.disconnected(endpoint, end, now: now)
        at(now + 100_000, .connected(endpoint))
        carryOut()
    }

    mutating func carryOut() {
        let actions = core.actions
        core.actions = []
        for action in actions {
            switch action {
            case .transmit(let datagram, let endpoint):
                if endpoint == Self.group {
                    groupDatagrams += 1
                    for index in agents.indices { network(.toMember(index, datagram)) }
                }
                guard let index = agents.firstIndex(where: { $0.endpoint == endpoint }) else { continue }
                sent[endpoint, default: []].append(datagram[1])
                network(.toAgent(index, datagram))
            case .command(let command, let worker):
                at(ringTime(worker), .command(command, worker: worker))
            case .connect(let proxy, _): at(now + 300, .connected(proxy.address))
            case .disconnect(let endpoint): connections.remove(endpoint)
            case .reconnect(let endpoint, let fault):
                faults.append(fault)
                cut(endpoint)
            case .log(let entry): logs.append(entry)
            }
        }
    }

    private mutating func drain(agent index: Int) {
        let (datagrams, transfers) = agents[index].drain(now: now)
        for datagram in datagrams { network(.toDirector(datagram, from: agents[index].endpoint)) }
        for transfer in agents[index].begun { serve(index, transfer) }
        agents[index].begun = []
        for frame in transfers {
            let delay = UInt64.random(in: conditions.slowAgents[index] ?? conditions.agentMicroseconds, using: &random)
            at(now + delay, .agentDecides(index, frame, epoch: agents[index].epoch))
        }
    }

    private mutating func fromAgent(_ index: Int, _ datagram: [UInt8]?) {
        if let datagram { network(.toDirector(datagram, from: agents[index].endpoint)) }
    }

    private mutating func push(_ event: WorkerEvent, _ payload: [UInt8], _ worker: Int) {
        at(ringTime(2 + worker), .event(event, payload: payload, worker: worker))
    }

    private mutating func ringTime(_ ring: Int) -> UInt64 {
        let time = max(now + UInt64.random(in: conditions.ringMicroseconds, using: &random), ringTimes[ring] ?? 0)
        ringTimes[ring] = time
        return time
    }

    private mutating func network(_ step: Step) {
        let copies = Int.random(in: 0..<100, using: &random) < conditions.duplicationPercent ? 2 : 1
        for _ in 0..<copies where Int.random(in: 0..<100, using: &random) >= conditions.lossPercent {
            var delay = UInt64.random(in: conditions.delayMicroseconds, using: &random)
            if conditions.stragglerMicroseconds > 0, Int.random(in: 0..<100, using: &random) == 0 {
                delay += UInt64.random(in: 0...conditions.stragglerMicroseconds, using: &random)
            }
            at(now + delay, step)
        }
    }
}
