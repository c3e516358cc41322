public import Wire

/// The director's end of one control channel, and what both ends share. Pure: datagrams and time in, actions out;
/// no socket, no clock. Times are microseconds of any monotonic clock.
public enum ChannelAction: Equatable, Sendable {
    case transmit([UInt8], to: Endpoint)
    /// INIT is through. After this the agent announces its flows.
    case up(peer: Endpoint, AgentDescription?)
    case down(peer: Endpoint, ChannelDown)
    /// An authenticated, fresh frame that is not the channel's own business.
    case received(Frame, from: Endpoint)
    /// KEEPALIVE's answer came (initiator).
    case status(AgentStatus, roundTripMicroseconds: UInt64)
}

public enum ChannelDown: String, Equatable, Sendable, CaseIterable {
    case silent
    /// The peer has started anew.
    case restarted
    case administrative
    /// The connection that carries the frames is gone.
    case disconnected
}

public enum ChannelState: String, Equatable, Sendable {
    case idle, initiating, up
}

/// What protects a frame. Raw values are the wire's `alg`.
public enum Protection: UInt8, Sendable, Equatable, Comparable, CaseIterable {
    /// HMAC-SHA-256, cut to 128 bits: everyone can read, nobody can change.
    case authenticated = 1
    /// AES-128-GCM: nobody can read or change.
    case sealed = 2

    /// From weak to strong.
    public static func < (left: Protection, right: Protection) -> Bool { left.rawValue < right.rawValue }
}

public struct ChannelConfiguration: Sendable, Equatable {
    public var keepaliveMicroseconds: UInt64 = 1_000_000
    /// Unanswered KEEPALIVEs after which the peer counts as gone.
    public var detectMultiplier: Int = 3
    public var initiateRetryMicroseconds: UInt64 = 200_000
    /// The weakest protection that this end accepts for a session; the stronger of both ends' wishes is used.
    public var protection: Protection = .sealed
    /// INIT is repeated with growing pauses up to this one.
    public var initiateRetryCeilingMicroseconds: UInt64 = 5_000_000
    /// INIT is padded to this many bytes: a path that cannot carry them has no channel, rather than one that loses
    /// its longest TRANSFERs.
    public var initiateBytes: Int = 1_400
    /// How long a cookie is good.
    public var cookieLifetimeMicroseconds: UInt64 = 10_000_000
    /// Directors and forwarders that an agent serves at once; INIT of one more is not answered.
    public var maximumDirectors: Int = 64

    public init() {}
}
