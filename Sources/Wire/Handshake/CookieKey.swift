/// 128 secret bits. Whoever makes one draws them from the system's source of randomness.
public struct CookieSecret: Equatable, Sendable, BitwiseCopyable {
    public var low: UInt64
    public var high: UInt64

    @inlinable
    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }
}

/// What SYN cookies are made and checked with: the number of the minute, which says how old a cookie is, and the secrets
/// of this minute and of the one before.
///
/// Everybody who may receive the ACK to a SYN/ACK has the same key. Cookies live for one to two minutes (RFC 4987
/// section 3.6), whether or not anybody ever changes the secret.
public struct CookieKey: Equatable, Sendable, BitwiseCopyable {
    /// Milliseconds of a minute, as whoever calls `advance` is to count them.
    public static var period: UInt32 { 60_000 }

    public private(set) var minute: UInt32
    private var current: CookieSecret
    private var previous: CookieSecret

    public init(secret: CookieSecret, minute: UInt32) {
        self.minute = minute
        current = secret
        previous = secret
    }

    /// A later minute has begun, perhaps with a new secret. Cookies of the minute before stay good, older ones do not.
    public mutating func advance(to minute: UInt32, secret: CookieSecret? = nil) {
        self.minute = minute
        previous = current
        if let secret { current = secret }
    }

    /// The minute and the secret that new cookies are made with.
    @inline(__always)
    var now: (minute: UInt32, secret: CookieSecret) { (minute, current) }

    /// Of the two minutes that cookies are accepted from, the one whose number is odd, or even.
    @inline(__always)
    func period(isOdd: Bool) -> (minute: UInt32, secret: CookieSecret) {
        minute & 1 == (isOdd ? 1 : 0) ? (minute, current) : (minute &- 1, previous)
    }
}
