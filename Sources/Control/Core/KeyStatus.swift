/// Answer to `keys`: which keys are held and used. Never a key itself.
public struct KeysStatus: Codable, Equatable, Sendable {
    /// The key that new sessions begin with.
    public var current = 0
    /// The one before it, while it is held.
    public var previous: Int?
    /// Where `keys rotate` goes to.
    public var next: Int?
    public var keys: [KeyStatus] = []
    public var channels: [ChannelKeyStatus] = []

    public init() {}

    /// A channel that is up will soon have a session with the current key.
    public var isUnderWay: Bool {
        channels.contains { channel in
            channel.key != nil && channel.key != current && (channel.held.isEmpty || channel.held.contains(current))
        }
    }
}

/// A key of the director's.
public struct KeyStatus: Codable, Equatable, Sendable {
    public var key = 0
    /// `current`, `previous`, `next`, `held`.
    public var role = ""
    public var file = ""
    /// Seconds since 1970.
    public var notBefore: Int64?
    public var notAfter: Int64?

    public init() {}
}

/// The keys of a channel.
public struct ChannelKeyStatus: Codable, Equatable, Sendable {
    public var proxy = ""
    public var state = ""
    /// Of the session in force; nil when there is none.
    public var key: Int?
    /// Of the session that is being asked for.
    public var sought: Int?
    /// What the agent says that it holds; empty while it has not said so.
    public var held: [Int] = []

    public init() {}
}
