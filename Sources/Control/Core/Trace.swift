public import Wire

/// What an operator follows: a client, one of its connections' ports, or one transfer.
public enum TraceTarget: Hashable, Sendable {
    case client(IPAddress, port: UInt16?)
    case transfer(UInt32)

    /// `10.0.0.1`, `10.0.0.1:51324`, `[2001:db8::1]:51324`, or a transfer's number.
    public init?(_ text: String) {
        if let number = UInt32(text) {
            self = .transfer(number)
        } else if let address = IPAddress(text) {
            self = .client(address, port: nil)
        } else if let end = Endpoint(text), end.port != 0 {
            self = .client(end.address, port: end.port)
        } else {
            return nil
        }
    }

    package func covers(_ key: FlowKey, transfer: UInt32?) -> Bool {
        switch self {
        case .client(let address, let port): key.client == address && (port == nil || port == key.clientPort)
        case .transfer(let number): transfer == number
        }
    }
}

/// One decision about one connection.
package struct TraceEvent: Equatable, Sendable {
    package var at: UInt64
    package var key: FlowKey
    /// nil before there is one.
    package var transfer: UInt32?
    package var proxy: String
    package var event: String
    package var detail: String

    package init(
        at: UInt64, key: FlowKey, transfer: UInt32? = nil, proxy: String = "", event: String, detail: String
    ) {
        self.at = at
        self.key = key
        self.transfer = transfer
        self.proxy = proxy
        self.event = event
        self.detail = detail
    }
}

/// What is followed at present, each target with a ring of its latest events. A target is forgotten when nobody has read
/// it for a minute. Costs one comparison with an empty list while nobody traces.
package struct Traces: Sendable {
    package struct Trace: Sendable {
        package let target: TraceTarget
        fileprivate(set) package var events: [TraceEvent] = []
        /// Number of `events.first`: they count from 1.
        fileprivate(set) package var firstNumber: UInt64 = 1
        /// Left out because there were too many in a second.
        fileprivate(set) package var suppressed: UInt64 = 0
        fileprivate var readAt: UInt64
        fileprivate var budget: LogBudget
    }

    package private(set) var active: [Trace] = []

    package static var targetLimit: Int { 8 }
    package static var eventLimit: Int { 4_096 }
    package static var eventsPerSecond: Int { 2_000 }
    package static var patienceMicroseconds: UInt64 { 60_000_000 }

    package init() {}

    package var isEmpty: Bool { active.isEmpty }

    package func covers(_ key: FlowKey, transfer: UInt32?) -> Bool {
        active.contains { $0.target.covers(key, transfer: transfer) }
    }

    /// The target's place, new or known; nil when there are too many.
    package mutating func follow(_ target: TraceTarget, now: UInt64) -> (place: Int, isNew: Bool)? {
        forget(now: now)
        if let place = active.firstIndex(where: { $0.target == target }) {
            active[place].readAt = now
            return (place, false)
        }
        guard active.count < Self.targetLimit else { return nil }
        active.append(
            Trace(
                target: target, readAt: now, budget: LogBudget(linesPerSecond: Self.eventsPerSecond, share: 1, now: now)
            ))
        return (active.count - 1, true)
    }

    package mutating func forget(now: UInt64) {
        active.removeAll { now - min($0.readAt, now) >= Self.patienceMicroseconds }
    }

    package mutating func append(_ event: TraceEvent) {
        for place in active.indices where active[place].target.covers(event.key, transfer: event.transfer) {
            append(event, to: place)
        }
    }

    package mutating func append(_ event: TraceEvent, to place: Int) {
        active[place].budget.advance(to: event.at)
        guard active[place].budget.take("trace") else {
            active[place].suppressed += 1
            return
        }
        active[place].events.append(event)
        // In one go, so that a full ring costs no move for each event.
        if active[place].events.count >= 2 * Self.eventLimit {
            active[place].events.removeFirst(Self.eventLimit)
            active[place].firstNumber += UInt64(Self.eventLimit)
        }
    }
}

/// Answer to `trace`.
public struct TraceStatus: Codable, Equatable, Sendable {
    public var events: [Event] = []
    /// What to give back as `after` to read on.
    public var last: UInt64 = 0
    /// Events that are missing: too many came, or they were not fetched in time.
    public var dropped: UInt64 = 0
    /// On the clock of the events.
    public var nowMicroseconds: UInt64 = 0
    public init() {}

    public struct Event: Codable, Equatable, Sendable {
        public var atMicroseconds: UInt64 = 0
        public var flow = ""
        public var transfer: UInt32?
        public var proxy = ""
        public var event = ""
        public var detail = ""
        public init() {}
    }
}
