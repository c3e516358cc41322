/// What an operator wants of a proxy; it lasts until `batond` starts anew.
public enum ProxyWish: String, Codable, Sendable, CaseIterable {
    case up
    /// Asked no more; what it has stays, and its channel with it.
    case drain
    /// The same, and its agent is to hand back what it has, so that others go on with it.
    case evacuate
    /// Its channel is ended as well; what it has stays.
    case down
}
