import CDPDKShim
import InterCore
import Wire

/// Answers what the control core asks of the flows, a piece of the table at a time. A piece is so small that no packet
/// waits for it: while packets come, 8 places every 32 µs, whose memory was asked for by the piece before. The places of
/// UDP's table follow those of TCP's.
extension Worker {
    /// Goes on with the walk when it is time. Returns 1 when there was something to do.
    @inline(never)
    mutating func continueWalk(isBusy: Bool, now: UInt64) -> Int {
        // A later turn's clock is never earlier, but a command may have come in between.
        guard !isBusy || Int64(bitPattern: now &- walk.due) >= 0 else { return 0 }
        walk.due = now &+ configuration.walkPeriod
        let before = walk.cursor
        if let index = walk.untold {
            return tellCounts(from: index)
        } else if walk.isCount {
            countPlaces(isBusy ? FlowWalk.busyPiece : FlowWalk.idlePiece, now: now)
        } else {
            listPlaces(isBusy ? FlowWalk.busyPiece : FlowWalk.idlePiece, now: now)
        }
        return walk.cursor == before ? 0 : 1
    }

    private mutating func countPlaces(_ places: Int, now: UInt64) {
        let query = walk.query
        var left = places
        while left > 0, let flow = nextPlace() {
            left &-= 1
            if let flow, isWanted(flow, query, now: now) { walk.count(flow.pointee.state, flow.pointee.proxy) }
        }
        if left > 0 { walk.untold = 0 } else { prefetchPlaces() }
    }

    private mutating func listPlaces(_ places: Int, now: UInt64) {
        let query = walk.query
        var left = places
        var eventsLeft = FlowWalk.eventsInOnePiece
        // One more for the end.
        while left > 0, walk.rowsLeft > 0, eventsLeft > 0, hasRoomForEvents(2), let flow = nextPlace() {
            left &-= 1
            guard let flow, isWanted(flow, query, now: now) else { continue }
            walk.rowsLeft &-= 1
            eventsLeft &-= 1
            let row = summary(of: flow, isOfDatagrams: isOfDatagrams, now: now)
            _ = push(.flow(row, ticket: walk.query.ticket))
        }
        guard walk.rowsLeft == 0 || isAtEnd else {
            return prefetchPlaces()
        }
        endWalk()
    }

    /// The flow at the walk's next place, nil inside for a free one; nil at the walk's end.
    @inline(__always)
    private mutating func nextPlace() -> Flow?? {
        guard walk.cursor < walk.end else { return .none }
        let position = firstUsed(from: walk.cursor)
        guard position < positions else { return .none }
        walk.cursor = position &+ 1
        return .some(
            position < flows.positions
                ? flows.flow(atPosition: position) : datagrams.table.flow(atPosition: position &- flows.positions))
    }

    /// All places of both tables.
    private var positions: Int { mutating get { flows.positions &+ datagrams.table.positions } }

    /// Of the place that was looked at last.
    private var isOfDatagrams: Bool { mutating get { walk.cursor > flows.positions } }

    @inline(__always)
    private mutating func firstUsed(from position: Int) -> Int {
        let first = position < flows.positions ? flows.firstUsed(from: position) : position
        guard first >= flows.positions else { return first }
        return flows.positions &+ datagrams.table.firstUsed(from: first &- flows.positions)
    }

    @inline(__always)
    private mutating func prefetchPlaces() {
        if walk.cursor < flows.positions {
            flows.prefetch(from: walk.cursor, count: FlowWalk.busyPiece)
        } else {
            datagrams.table.prefetch(from: walk.cursor &- flows.positions, count: FlowWalk.busyPiece)
        }
    }

    private var isAtEnd: Bool {
        mutating get { walk.cursor >= walk.end || firstUsed(from: walk.cursor) >= positions }
    }

    @inline(__always)
    private mutating func isWanted(_ flow: Flow, _ query: FlowQuery, now: UInt64) -> Bool {
        guard query.states & FlowQuery.bit(flow.pointee.state) != 0,
            query.proxy.value == ProxyIndex.none.value || query.proxy.value == flow.pointee.proxy.value
        else { return false }
        if query.leastIdle != 0 || query.mostIdle != .max {
            let idle = idleMilliseconds(flow, now: now)
            guard idle >= query.leastIdle, idle <= query.mostIdle else { return false }
        }
        return !query.namesEndpoints || query.accepts(key(of: flow, isOfDatagrams: isOfDatagrams))
    }

    private mutating func idleMilliseconds(_ flow: Flow, now: UInt64) -> UInt32 {
        let idle = (now &- lastSeen(flow, now: now)) / configuration.microsecond / 1_000
        return UInt32(truncatingIfNeeded: min(idle, 0xFFFF_FFFF))
    }

    @inline(__always)
    private mutating func key(of flow: Flow, isOfDatagrams: Bool) -> FlowKey {
        isOfDatagrams ? datagrams.table.key(of: flow).key : flows.key(of: flow).key
    }

    private mutating func summary(of flow: Flow, isOfDatagrams: Bool, now: UInt64) -> FlowSummary {
        FlowSummary(
            handle: isOfDatagrams ? datagramHandle(flow) : handle(flow),
            key: key(of: flow, isOfDatagrams: isOfDatagrams), state: flow.pointee.state, proxy: flow.pointee.proxy,
            idleMilliseconds: idleMilliseconds(flow, now: now))
    }

    /// The flows of one key, TCP's and UDP's. Without room for the answer there is none: the control core does not wait for
    /// ever.
    @inline(never)
    mutating func tell(of key: FlowKey, ticket: UInt8, now: UInt64) {
        guard hasRoomForEvents(3) else { return counters.add(.eventRingFull) }
        let packed = PackedFlowKey(key)
        let hash = flowHash(of: packed, seed: configuration.hashSeed)
        if let flow = flows.find(packed, hash: hash) {
            _ = push(.flow(summary(of: flow, isOfDatagrams: false, now: now), ticket: ticket))
        }
        if let flow = datagrams.table.find(packed, hash: hash) {
            _ = push(.flow(summary(of: flow, isOfDatagrams: true, now: now), ticket: ticket))
        }
        _ = push(.endOfFlows(nextCursor: nil, ticket: ticket))
    }

    // MARK: what was counted

    /// A few of the counts that are not 0, then the end. Returns 0 while the ring has no room.
    private mutating func tellCounts(from first: Int) -> Int {
        var index = first
        var eventsLeft = FlowWalk.eventsInOnePiece
        while index < FlowWalk.countsLength, eventsLeft > 0, hasRoomForEvents(2) {
            let count = walk.counts[index]
            if count > 0, let state = FlowWalk.state(ofCount: index) {
                eventsLeft &-= 1
                _ = push(.flowCount(state, FlowWalk.proxy(ofCount: index), count, ticket: walk.query.ticket))
            }
            index &+= 1
        }
        walk.untold = index
        if index == FlowWalk.countsLength { endWalk() }
        return index == first ? 0 : 1
    }

    private mutating func endWalk() {
        guard hasRoomForEvents(1) else { return }
        let isComplete = firstUsed(from: walk.cursor) >= positions
        _ = push(
            .endOfFlows(
                nextCursor: isComplete ? nil : UInt32(truncatingIfNeeded: walk.cursor), ticket: walk.query.ticket))
        walk.finish()
    }
}
