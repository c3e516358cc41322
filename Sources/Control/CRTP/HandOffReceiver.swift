/// The agent's end of hand-offs: opens what comes without a session. A frame counts once: numbers are told apart by a
/// window for each sender, and what is too old for that window to be known is too old by its time.
struct HandOffReceiver: Sendable {
    /// The sender's clock and this host's may differ by so much; a frame is good for so long.
    static var toleranceMicroseconds: UInt64 { 30_000_000 }
    /// Directors, and their former starts, that are remembered at once.
    static var senderLimit: Int { 64 }

    private struct Sender: Sendable {
        let id: UInt32
        let session: UInt32
        let keyID: UInt8
        let protection: FrameProtection
        var window = ReplayWindow()
        /// When its last frame came.
        var heardAt: UInt64

        func sends(_ header: FrameHeader) -> Bool {
            id == header.senderID && session == header.session && keyID == header.keyID
                && protection.protection == header.protection
        }
    }

    private var senders: [Sender] = []
    /// Added to a monotonic time, gives microseconds since 1970. Nil until it has been told.
    private var clockOffset: UInt64?
    /// What was sent before may have been taken by a former agent of this host.
    private var notBefore: UInt64 = .max

    mutating func setClock(_ microsecondsSince1970: UInt64, now: UInt64) {
        clockOffset = microsecondsSince1970 &- now
        notBefore = min(notBefore, microsecondsSince1970)
    }

    /// Forgets those whose key is gone.
    mutating func keep(_ keys: KeySchedule) { senders.removeAll { !keys.has($0.keyID) } }

    enum Opening {
        case body([UInt8])
        case unknownKey
        case unauthenticated
        case replayed
        /// More senders than can be told apart.
        case refused
    }

    mutating func open(_ datagram: [UInt8], _ header: FrameHeader, keys: KeySchedule, now: UInt64) -> Opening {
        if let index = senders.firstIndex(where: { $0.sends(header) }) {
            guard let body = senders[index].protection.open(datagram, sequence: header.sequence) else {
                return .unauthenticated
            }
            guard isFresh(body, now: now), senders[index].window.admit(header.sequence) else { return .replayed }
            senders[index].heardAt = now
            return .body(body)
        }
        guard
            let protection = keys.handOff(
                senderID: header.senderID, session: header.session, keyID: header.keyID,
                protection: header.protection)
        else { return .unknownKey }
        // Nothing is kept of who has not proved to have the key.
        guard let body = protection.open(datagram, sequence: header.sequence) else { return .unauthenticated }
        var sender = Sender(
            id: header.senderID, session: header.session, keyID: header.keyID, protection: protection, heardAt: now)
        guard isFresh(body, now: now), sender.window.admit(header.sequence) else { return .replayed }
        // A frame of a sender that is forgotten is too old by then.
        senders.removeAll { $0.heardAt + 2 * Self.toleranceMicroseconds < now }
        guard senders.count < Self.senderLimit else { return .refused }
        senders.append(sender)
        return .body(body)
    }

    /// By the time in the body, which follows what it has in common with TRANSFER.
    private func isFresh(_ body: [UInt8], now: UInt64) -> Bool {
        guard let clockOffset, body.count >= MessageCodec.fixedByteCount(.handOff) else { return false }
        let sentAt = body.withUnsafeBytes { $0.load64(at: MessageCodec.fixedByteCount(.transfer)) }
        let clock = now &+ clockOffset
        let age = clock > sentAt ? clock - sentAt : sentAt - clock
        return age <= Self.toleranceMicroseconds && sentAt >= notBefore
    }
}
