import InterCore
import Wire

/// How proxies beyond layer 2 are reached, by their places, and what that leaves for the clients' segments.
struct Tunnels: BitwiseCopyable {
    /// How many there are.
    private(set) var count = 0
    /// Largest MSS in handshakes of candidates, both families'; 0: no bound.
    private(set) var segmentLimitV4: UInt16
    private(set) var segmentLimitV6: UInt16
    private let configuredLimit: UInt16
    private let headers: UnsafeMutablePointer<EncapsulationHeader>
    private let ends: UnsafeMutablePointer<Encapsulation>
    /// What the headers are copied from, `Encapsulation.longestOverhead` bytes each.
    private let templates: UnsafeMutableRawPointer
    /// Clients that may still be told in this tick that their packets are too long.
    private var answersLeft = 0
    private var answersTick: UInt32 = 0

    /// - Parameter maximumSegment: the configured bound; 0 for none.
    init(maximumSegment: UInt16) {
        headers = .allocate(capacity: 256)
        headers.initialize(repeating: EncapsulationHeader(), count: 256)
        let unspecified = IPAddress.unspecified
        ends = .allocate(capacity: 256)
        ends.initialize(repeating: Encapsulation(.ipip, from: unspecified, to: unspecified), count: 256)
        templates = .allocate(byteCount: 256 * Encapsulation.longestOverhead, alignment: 64)
        configuredLimit = maximumSegment
        (segmentLimitV4, segmentLimitV6) = (maximumSegment, maximumSegment)
    }

    @inline(__always)
    func has(_ proxy: ProxyIndex) -> Bool { headers[Int(proxy.value)].length != 0 }

    func header(of proxy: ProxyIndex) -> EncapsulationHeader { headers[Int(proxy.value)] }

    mutating func set(_ proxy: ProxyIndex, _ encapsulation: Encapsulation?) {
        let index = Int(proxy.value)
        if headers[index].length != 0 { count &-= 1 }
        headers[index] = EncapsulationHeader()
        guard let encapsulation else { return }
        count &+= 1
        ends[index] = encapsulation
        headers[index] = EncapsulationHeader(
            encapsulation, in: templates + index &* Encapsulation.longestOverhead)
    }

    /// True for the director's end of a tunnel.
    func begins(at address: IPAddress) -> Bool {
        var index = 0
        while index < 255 {
            if headers[index].length != 0, ends[index].source == address { return true }
            index &+= 1
        }
        return false
    }

    /// The first proxy at or after a place whose packets the error quotes; nil when there is none.
    func proxy(_ error: TunnelError, from first: Int) -> ProxyIndex? {
        var index = first
        while index < 255 {
            if headers[index].length != 0, ends[index].kind == error.kind, ends[index].source == error.source,
                ends[index].destination == error.destination
            {
                return ProxyIndex(UInt8(truncatingIfNeeded: index))
            }
            index &+= 1
        }
        return nil
    }

    /// Finds out what fits on every way.
    mutating func limitSegments(_ proxies: UnsafePointer<NextHop>) {
        var narrowest = UInt16.max
        var index = 0
        while index < 255 {
            if headers[index].length != 0, proxies[index].mtu != 0 { narrowest = min(narrowest, proxies[index].mtu) }
            index &+= 1
        }
        segmentLimitV4 = limit(narrowest, headers: 40)
        segmentLimitV6 = limit(narrowest, headers: 60)
    }

    private func limit(_ narrowest: UInt16, headers: UInt16) -> UInt16 {
        guard narrowest != .max else { return configuredLimit }
        // What every TCP takes (RFC 9293 section 3.7.1), however narrow the way.
        let fitting = max(narrowest &- min(narrowest, headers), 536)
        return configuredLimit == 0 ? fitting : min(configuredLimit, fitting)
    }

    /// So many in a tick of a few milliseconds.
    static var answersPerTick: Int { 16 }

    mutating func mayAnswer(in tick: UInt32) -> Bool {
        if tick != answersTick { (answersTick, answersLeft) = (tick, Self.answersPerTick) }
        guard answersLeft > 0 else { return false }
        answersLeft &-= 1
        return true
    }
}
