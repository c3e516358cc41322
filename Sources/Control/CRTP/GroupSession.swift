public import Wire

/// The director's end of a multicast group: one frame, sealed once, for all members.
public struct GroupSender: Sendable {
    public let description: GroupDescription
    private let senderID: UInt32
    private let protection: FrameProtection
    private var sent: UInt64 = 0

    /// Nil when the key is not there. `previous` is not named again.
    public init?(
        endpoint: Endpoint, keys: KeyRing, senderID: UInt32, protection wanted: Protection,
        random: inout some RandomNumberGenerator
    ) {
        let description = GroupDescription(
            endpoint: endpoint, session: UInt32.random(in: 1 ... .max, using: &random),
            nonce: (0..<MessageCodec.nonceByteCount).map { _ in UInt8.random(in: .min ... .max, using: &random) },
            keyID: keys.current, protection: wanted)
        guard let protection = KeySchedule(keys).group(description) else { return nil }
        self.description = description
        self.senderID = senderID
        self.protection = protection
    }

    /// The frame's datagram, for the group.
    public mutating func send(_ frame: Frame) -> [UInt8] {
        sent += 1
        let header = FrameHeader(
            type: frame.message.type.rawValue, keyID: description.keyID, protection: description.protection,
            senderID: senderID, session: description.session, sequence: sent, transaction: frame.transaction,
            attempt: frame.attempt)
        return FrameCodec.encode(frame.message, header: header, protection: protection)
    }

    /// A new one is due, as of a session.
    public var isWornOut: Bool { sent >= Session.frameLimit }
}

/// A member's end: opens what comes to the group from one director. The replay window is the director's and the
/// session's, and nothing of it is shared with the unicast session.
struct GroupReceiver: Sendable {
    let description: GroupDescription
    private let senderID: UInt32
    private let protection: FrameProtection
    private var window = ReplayWindow()

    init?(_ description: GroupDescription, keys: KeySchedule, senderID: UInt32) {
        guard let protection = keys.group(description) else { return nil }
        self.description = description
        self.senderID = senderID
        self.protection = protection
    }

    mutating func open(_ datagram: [UInt8], _ header: FrameHeader) -> Session.Opening {
        guard header.keyID == description.keyID, header.protection == description.protection,
            header.senderID == senderID
        else { return .malformed }
        guard let body = protection.open(datagram, sequence: header.sequence) else { return .unauthenticated }
        guard window.admit(header.sequence) else { return .replayed }
        return .body(body)
    }
}
