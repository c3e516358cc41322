/// The director's end of hand-offs: frames that need no session, for whoever has the pre-shared key. Its session is a
/// number that it draws, new with each start, each key, and after 2^28 frames.
public struct HandOffSender: Sendable {
    private let senderID: UInt32
    private let session: UInt32
    private let keyID: UInt8
    private let protection: FrameProtection
    private var sent: UInt64 = 0

    /// Nil when the key is not there.
    public init?(keys: KeyRing, senderID: UInt32, random: inout some RandomNumberGenerator) {
        let session = UInt32.random(in: 1 ... .max, using: &random)
        // Whatever the channels agree on: here nobody can say that he wants it sealed.
        let protection = KeySchedule(keys).handOff(
            senderID: senderID, session: session, keyID: keys.current, protection: .sealed)
        guard let protection else { return nil }
        self.senderID = senderID
        self.session = session
        keyID = keys.current
        self.protection = protection
    }

    /// The frame's datagram. `frame` is a hand-off.
    public mutating func send(_ frame: Frame) -> [UInt8] {
        sent += 1
        let header = FrameHeader(
            type: frame.message.type.rawValue, keyID: keyID, protection: .sealed, senderID: senderID,
            session: session, sequence: sent, transaction: frame.transaction, attempt: frame.attempt)
        return FrameCodec.encode(frame.message, header: header, protection: protection)
    }

    /// A new one is due, as of a session.
    public var isWornOut: Bool { sent >= Session.frameLimit }
}
