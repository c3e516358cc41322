/// One session, seen from one end: a pair of keys, a counter, a replay window.
struct Session: Sendable {
    /// A new session is due when this many frames have been sent under one key (a wide margin below what AES-GCM
    /// bears, RFC 8446 section 5.5).
    static var frameLimit: UInt64 { 1 << 28 }

    let id: UInt32
    let keyID: UInt8
    let senderID: UInt32
    let protection: Protection
    private let outbound: FrameProtection
    private let inbound: FrameProtection
    /// The last sequence number that was used; the first one is 1.
    private(set) var sent: UInt64 = 0
    private var window: ReplayWindow

    /// The highest number that has come.
    var heard: UInt64 { window.highest }

    /// `sent`, `heard`: how far a session has come that goes on here.
    init?(
        _ accept: Accept, keys: KeySchedule, keyID: UInt8, senderID: UInt32, sends: Direction, sent: UInt64 = 0,
        heard: UInt64 = 0
    ) {
        func derive(_ direction: Direction) -> FrameProtection? {
            keys.session(
                accept.session, keyID: keyID, protection: accept.protection, initiatorNonce: accept.initiatorNonce,
                responderNonce: accept.nonce, direction: direction)
        }
        guard let outbound = derive(sends), let inbound = derive(sends.opposite) else { return nil }
        id = accept.session
        self.keyID = keyID
        self.senderID = senderID
        protection = accept.protection
        self.outbound = outbound
        self.inbound = inbound
        self.sent = sent
        window = ReplayWindow(after: heard)
    }

    mutating func seal(_ frame: Frame, detail: UInt32 = 0) -> [UInt8] {
        sent += 1
        let header = FrameHeader(
            type: frame.message.type.rawValue, keyID: keyID, protection: protection, senderID: senderID, session: id,
            sequence: sent, transaction: frame.transaction, attempt: frame.attempt)
        return FrameCodec.encode(frame.message, detail: detail, header: header, protection: outbound)
    }

    enum Opening {
        case body([UInt8])
        /// Header and session disagree.
        case malformed
        case unauthenticated
        case replayed
    }

    mutating func open(_ datagram: [UInt8], _ header: FrameHeader) -> Opening {
        guard header.keyID == keyID, header.protection == protection, header.senderID == senderID else {
            return .malformed
        }
        guard let body = inbound.open(datagram, sequence: header.sequence) else { return .unauthenticated }
        guard window.admit(header.sequence) else { return .replayed }
        return .body(body)
    }
}

/// Frames as they are on the wire. Transports carry them whole and know nothing else of them: one in a UDP datagram, or
/// back to back in a stream, where `FrameHeader.frameLength` tells them apart.
package enum FrameCodec {
    /// Header, body and tag. `padTo`: the length that a PADDING part brings the frame to.
    package static func encode(
        _ message: Message, detail: UInt32 = 0, header: FrameHeader, protection: FrameProtection, padTo: Int = 0
    ) -> [UInt8] {
        let length = max(FrameHeader.byteCount + MessageCodec.byteCount(message) + FrameHeader.tagByteCount, padTo)
        return FrameWriter.bytes(capacity: length) { frame in
            header.emit(into: &frame)
            MessageCodec.encode(message, detail: detail, into: &frame)
            let missing = padTo - frame.count - FrameHeader.tagByteCount
            if missing >= 4 {
                TypeLengthValue.padding.append(repeatElement(0, count: missing - 4), critical: false, to: &frame)
            }
            frame.store16(UInt16(truncatingIfNeeded: frame.count + FrameHeader.tagByteCount), at: 4)
            protection.protect(&frame, sequence: header.sequence)
        }
    }

    package static func decode(_ header: FrameHeader, body: [UInt8]) -> DecodedBody {
        body.withUnsafeBytes { MessageCodec.decode(type: header.type, session: header.session, body: $0) }
    }
}
