public import Wire

/// Whether an origin is up, by its checks: so many good ones in a row bring it up, so many failed ones take it down. What
/// the first one finds counts at once, so that a start need not wait.
public struct OriginHealth: Equatable, Sendable {
    private let rise: Int
    private let fall: Int
    public private(set) var isUp: Bool
    private var isKnown = false
    /// Results in a row that speak against `isUp`.
    private var contrary = 0

    public init(_ check: DirectorConfiguration.Check) {
        rise = check.rise
        fall = check.fall
        isUp = check.isOff
    }

    /// True when that changes whether it is up.
    public mutating func note(isGood: Bool) -> Bool {
        defer { isKnown = true }
        guard isGood != isUp else {
            contrary = 0
            return false
        }
        contrary += 1
        guard !isKnown || contrary >= (isUp ? fall : rise) else { return false }
        contrary = 0
        isUp = isGood
        return true
    }
}

/// What a check of an origin found.
public enum OriginCheck: Equatable, Sendable {
    /// It takes connections. Frames for it go there; nil when the kernel does not know.
    case good(MACAddress?)
    /// Why not, in a few words: `connection refused`.
    case failed(String)
}
