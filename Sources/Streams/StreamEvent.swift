public import Wire

/// What the event loop's thread tells the loop of a control core or an agent, in the order in which it happened.
public enum StreamEvent: Sendable {
    /// A connection to a peer is there, its TLS agreed upon. Only of those that this end opens.
    case opened(Endpoint)
    case frame([UInt8], from: Endpoint)
    /// It is gone. Of those that this end opens: when the next attempt comes.
    case closed(Endpoint, StreamEnd, retryMicroseconds: UInt64)
    /// There was none, and an attempt to open it has failed.
    case failed(Endpoint, StreamEnd, retryMicroseconds: UInt64)
}
