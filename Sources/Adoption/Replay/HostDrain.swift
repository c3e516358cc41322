/// How a director leaves its host: nobody's connection may need it any more. Times in microseconds.
public struct HostDrain {
    private let began: UInt64
    private let limit: UInt64

    /// - Parameter limit: however many there still are.
    public init(began: UInt64, limit: UInt64) {
        self.began = began
        self.limit = limit
    }

    /// Verdicts that were on their way have arrived by then: no request is held so long.
    public static var leastMicroseconds: UInt64 { 100_000 }

    /// - Parameters:
    ///   - isIdle: no connection is replayed.
    ///   - given: connections that proxies have.
    public func isOver(now: UInt64, isIdle: Bool, given: UInt64) -> Bool {
        let age = now - began
        return age >= limit || age >= Self.leastMicroseconds && isIdle && given == 0
    }
}
