/// What a channel has sent and met. Every datagram that was received is in exactly one of the others:
/// `received = accepted + unauthenticated + replayed + malformed + unknownSession + unknownKey + badVersion +
/// badMessage + unexpected + refused`.
public struct ChannelCounters: Equatable, Sendable {
    public var sent: UInt64 = 0
    public var received: UInt64 = 0
    /// Good, fresh, and used.
    public var accepted: UInt64 = 0
    /// The tag is wrong. Never answered.
    public var unauthenticated: UInt64 = 0
    /// The tag is right, but the sequence number was seen or is older than the window.
    public var replayed: UInt64 = 0
    /// The header contradicts itself or the datagram. Never answered.
    public var malformed: UInt64 = 0
    public var unknownSession: UInt64 = 0
    public var unknownKey: UInt64 = 0
    public var badVersion: UInt64 = 0
    /// Authenticated, but its body could not be read.
    public var badMessage: UInt64 = 0
    /// Authenticated and readable, but not now: an answer to nothing that was asked, or one from before.
    public var unexpected: UInt64 = 0
    /// A director beyond `maximumDirectors`, or an answer that would be larger than its question.
    public var refused: UInt64 = 0

    public init() {}

    /// For metrics.
    public var named: [(name: String, value: UInt64)] {
        [
            ("sent", sent), ("received", received), ("accepted", accepted), ("unauthenticated", unauthenticated),
            ("replayed", replayed), ("malformed", malformed), ("unknown_session", unknownSession),
            ("unknown_key", unknownKey), ("bad_version", badVersion), ("bad_message", badMessage),
            ("unexpected", unexpected), ("refused", refused),
        ]
    }
}
