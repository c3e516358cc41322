/// The pre-shared keys of a channel, by key id. An id names one key for ever: a new key gets a new id.
public struct KeyRing: Sendable, Equatable {
    /// Key id to key, at least 16 bytes each.
    public var keys: [UInt8: [UInt8]]
    /// The key to start a session with.
    public var current: UInt8

    public init(keys: [UInt8: [UInt8]], current: UInt8) {
        self.keys = keys
        self.current = current
    }

    /// Ids in ascending order: what peers are told.
    public var held: [UInt8] { keys.keys.sorted() }

    /// The key that a rotation goes to: the smallest id above the current one.
    public var next: UInt8? { held.first { $0 > current } }

    /// The smallest id that names one key here and another one there.
    public func contradiction(to other: KeyRing) -> UInt8? {
        held.first { id in other.keys[id].map { $0 != keys[id] } ?? false }
    }
}

/// Key material is never printed, not even by accident.
extension KeyRing: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "keys \(held.map(String.init).joined(separator: ", ")), current \(current)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["held": held, "current": current]) }
}

/// Where a pre-shared key lies, and when sessions may begin with it. Times are seconds since 1970; nil for no bound.
public struct KeyFile: Sendable, Equatable {
    public var path: String
    public var notBefore: Int64?
    public var notAfter: Int64?

    public init(path: String, notBefore: Int64? = nil, notAfter: Int64? = nil) {
        self.path = path
        self.notBefore = notBefore
        self.notAfter = notAfter
    }
}
