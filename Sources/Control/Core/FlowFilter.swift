public import InterCore
public import Wire

/// Which flows an operator wants to see, by what an operator knows of them.
public struct FlowFilter: Equatable, Sendable {
    public var state: FlowState?
    /// A proxy's name.
    public var proxy: String?
    public var client: AddressPrefix = .any
    public var server: AddressPrefix = .any
    /// nil for any.
    public var clientPort: UInt16?
    public var serverPort: UInt16?
    /// Milliseconds since the last packet, both ends included.
    public var idle: ClosedRange<UInt32> = 0...UInt32.max

    public init() {}

    /// As workers are asked.
    package func query(proxy: ProxyIndex) -> FlowQuery {
        var query = FlowQuery()
        if let state { query.states = FlowQuery.bit(state) }
        query.proxy = proxy
        query.client = client
        query.server = server
        query.clientPort = clientPort ?? 0
        query.serverPort = serverPort ?? 0
        query.leastIdle = idle.lowerBound
        query.mostIdle = idle.upperBound
        return query
    }
}

/// How far a listing has come in each worker's table; as text, what an operator gives back to read on.
public struct FlowCursor: Equatable, Sendable {
    /// The next place by worker; nil where there is nothing behind.
    package var places: [UInt32?]

    package init(places: [UInt32?]) { self.places = places }
    package init(workers: Int) { places = Array(repeating: 0, count: workers) }

    package var isAtEnd: Bool { places.allSatisfy { $0 == nil } }

    /// `4096.0.x`: numbers, or `x` for a worker that is finished.
    public init?(_ text: String) {
        var places: [UInt32?] = []
        for part in text.split(separator: ".", maxSplits: 256, omittingEmptySubsequences: false) {
            if part == "x" {
                places.append(nil)
            } else {
                guard let place = UInt32(part) else { return nil }
                places.append(place)
            }
        }
        self.places = places
    }

    public var text: String { places.map { $0.map(String.init) ?? "x" }.joined(separator: ".") }
}
