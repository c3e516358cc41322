import Control
import InterCore
import Wire

/// The worker's side of the contract, without packets: one field a flow, written here alone (rule 1 of a transfer).
struct FakeWorker {
    enum Phase: Equatable { case held, committed(ProxyIndex), aborted(AbortReason), ended }

    struct Flow {
        var key: FlowKey
        var phase: Phase
        var commits = 0
        var isOriginReset = false
    }

    let index: Int
    var flows: [UInt32: Flow] = [:]
    var nextHops: [UInt8: NextHop] = [:]
    var encapsulations: [UInt8: Encapsulation] = [:]
    var proxiesDown: Set<UInt8> = []
    var failures: [String] = []
    var recoveryEndedCount = 0
    var isBypassed = false
    /// The other proxy cannot have a flow: its way is too narrow.
    var refusesMoves = false
    var movedCount = 0
    /// Generations of the rules that it was given, in order, and the number of rules of each.
    var rules: [UInt32: Int] = [:]
    /// Of the latest table that it was given.
    var virtualServers: [VirtualServer] = []
    var origins: [Origin] = []
    private var retiring: [UInt8: UInt32] = [:]
    private var nextIndex: UInt32 = 0

    init(index: Int) { self.index = index }

    mutating func hold(_ key: FlowKey) -> FlowHandle {
        nextIndex += 1
        flows[nextIndex] = Flow(key: key, phase: .held)
        return handle(nextIndex)
    }

    func handle(_ index: UInt32) -> FlowHandle {
        FlowHandle(worker: UInt8(self.index), index: index, generation: index &* 7)
    }

    /// Carries a command out. Returns the events, and where a request was sent to.
    mutating func apply(_ command: WorkerCommand) -> (events: [WorkerEvent], requestTo: ProxyIndex?, key: FlowKey?) {
        switch command {
        case .verdict(let handle, let verdict):
            guard let flow = flows[handle.index], flow.phase == .held else { return ([], nil, nil) }
            switch verdict {
            case .origin: return ([abort(handle, .verdictOrigin)], nil, nil)
            case .proxy(let proxy, let resetOrigin):
                if nextHops[proxy.value] == nil { failures.append("verdict before next hop") }
                flows[handle.index]?.phase = .committed(proxy)
                flows[handle.index]?.commits += 1
                flows[handle.index]?.isOriginReset = resetOrigin
                return ([.committed(handle)], proxy, flow.key)
            case .handOff(let proxy):
                if nextHops[proxy.value] == nil { failures.append("verdict before next hop") }
                flows[handle.index]?.phase = .committed(proxy)
                flows[handle.index]?.commits += 1
                flows[handle.index]?.isOriginReset = true
                return ([.committed(handle)], nil, flow.key)
            }
        case .proxy(let proxy, let hop):
            nextHops[proxy.value] = hop
            proxiesDown.remove(proxy.value)
            retiring[proxy.value] = nil
        case .encapsulate(let proxy, let encapsulation): encapsulations[proxy.value] = encapsulation
        case .proxyDown(let proxy): proxiesDown.insert(proxy.value)
        case .retireProxy(let proxy, let number):
            retiring[proxy.value] = number
            return (unused(), nil, nil)
        case .useRules(let table):
            rules[table.generation] = (0..<Int(table.candidateCount)).count { table.candidates[$0].firstPort == 80 }
            return ([.rulesInForce(table.generation)], nil, nil)
        case .useVirtualServers(let table):
            virtualServers = (0..<table.serverCount).map { table.servers[$0] }
            origins = (0..<table.originCount).map { table.origins[$0] }
            return ([.virtualServersInForce(table.generation)], nil, nil)
        case .installFlow(let key, let proxy, let ticket, _):
            nextIndex += 1
            flows[nextIndex] = Flow(key: key, phase: .committed(proxy), isOriginReset: true)
            return ([.flowInstalled(handle(nextIndex), ticket: ticket)], nil, nil)
        case .flowDone(let handle): return (end(handle, .flowDone), nil, nil)
        case .disown(let handle): return (end(handle, .disowned), nil, nil)
        case .resetOrigin(let handle): flows[handle.index]?.isOriginReset = true
        case .move(let handle, let from, let to):
            guard !refusesMoves, let flow = flows[handle.index], self.handle(handle.index) == handle,
                flow.phase == .committed(from)
            else { return ([.moveRefused(handle)], nil, nil) }
            flows[handle.index]?.phase = .committed(to)
            movedCount += 1
            return ([.moved(handle)], nil, nil)
        case .bypass(let isOn):
            isBypassed = isOn
            let held = flows.filter { $0.value.phase == .held }.keys.sorted()
            return (isOn ? held.map { abort(handle($0), .bypassed) } : [], nil, nil)
        case .recoveryEnded: recoveryEndedCount += 1
        case .abortAllHolds, .capture, .learnIdentifier, .transmitOwn, .replay, .cancelReplay: break
        case .listFlows(let query):
            let (wanted, next) = look(query, limit: Int(query.limit))
            let rows = wanted.map { index in
                WorkerEvent.flow(
                    FlowSummary(
                        handle: handle(index), key: flows[index]!.key, state: .committed, proxy: ProxyIndex(0),
                        idleMilliseconds: 1), ticket: query.ticket)
            }
            return (rows + [.endOfFlows(nextCursor: next, ticket: query.ticket)], nil, nil)
        case .findFlow(let key, let ticket):
            let rows = flows.filter { $0.value.key == key }.keys.map { index in
                WorkerEvent.flow(
                    FlowSummary(
                        handle: handle(index), key: key, state: .committed, proxy: ProxyIndex(0), idleMilliseconds: 1),
                    ticket: ticket)
            }
            return (rows + [.endOfFlows(nextCursor: nil, ticket: ticket)], nil, nil)
        case .countFlows(let query):
            let (wanted, next) = look(query, limit: .max)
            return (
                [
                    .flowCount(.committed, ProxyIndex(0), UInt32(wanted.count), ticket: query.ticket),
                    .endOfFlows(nextCursor: next, ticket: query.ticket),
                ], nil, nil
            )
        }
        return ([], nil, nil)
    }

    /// The flows that are asked for; places are the flows' own numbers.
    private func look(_ query: FlowQuery, limit: Int) -> (wanted: [UInt32], next: UInt32?) {
        var wanted: [UInt32] = []
        var place = query.cursor
        while place <= nextIndex {
            guard wanted.count < limit, place - query.cursor < query.places else { return (wanted, place) }
            if let flow = flows[place], query.accepts(flow.key) { wanted.append(place) }
            place += 1
        }
        return (wanted, nil)
    }

    mutating func abort(_ handle: FlowHandle, _ reason: AbortReason) -> WorkerEvent {
        flows[handle.index]?.phase = .aborted(reason)
        return .aborted(handle, reason)
    }

    mutating func end(_ handle: FlowHandle, _ reason: FlowEnd) -> [WorkerEvent] {
        guard case .committed = flows[handle.index]?.phase else { return [] }
        flows[handle.index]?.phase = .ended
        return [.flowEnded(handle, reason)] + unused()
    }

    /// What is to be said of retired proxies by now.
    private mutating func unused() -> [WorkerEvent] {
        let done = retiring.filter { proxy, _ in !flows.values.contains { $0.phase == .committed(ProxyIndex(proxy)) } }
        for proxy in done.keys {
            retiring[proxy] = nil
            nextHops[proxy] = nil
        }
        return done.map { .proxyUnused(ProxyIndex($0), $1) }
    }
}
