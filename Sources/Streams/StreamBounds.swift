/// What one connection may occupy.
public struct StreamBounds: Sendable {
    /// Bytes that wait to be sent. A frame that finds no room is lost, like a datagram.
    public var outgoingBytes = 262_144
    /// Frames that have come and were not taken yet. When there are so many, nothing more is read: TCP tells the peer.
    public var incomingFrames = 256
    /// Within this time a connection must be made and, at the listening end, say something authentic.
    public var patienceMicroseconds: UInt64 = 10_000_000
    /// Unacknowledged data for so long ends the connection (TCP_USER_TIMEOUT, RFC 5482).
    public var silenceMicroseconds: UInt64 = 10_000_000
    /// Connections that a listener serves at once.
    public var connections = 128

    public init() {}
}
