import Crypto
import Wire

/// Proof that who sends INIT receives at the address that it claims. The responder keeps nothing but its secret.
///
/// `time (8 bytes) | MAC(secret, "CRTP/1 cookie" | time | address | port | sender id | nonce) (16 bytes)`; the layout is
/// the responder's own affair.
struct CookieJar: Sendable {
    private let secret: HMAC<SHA256>

    init(secret: [UInt8]) {
        self.secret = HMAC(key: SymmetricKey(data: secret))
    }

    func cookie(for source: Endpoint, senderID: UInt32, nonce: [UInt8], now: UInt64) -> [UInt8] {
        var cookie: [UInt8] = []
        cookie.append64(now)
        cookie.append(contentsOf: code(time: now, source: source, senderID: senderID, nonce: nonce))
        return cookie
    }

    func isGood(
        _ cookie: [UInt8], from source: Endpoint, senderID: UInt32, nonce: [UInt8], now: UInt64, lifetime: UInt64
    ) -> Bool {
        guard cookie.count == MessageCodec.cookieByteCount else { return false }
        let time = cookie.withUnsafeBytes { $0.load64(at: 0) }
        guard time <= now, now - time <= lifetime else { return false }
        return FrameProtection.isEqual(code(time: time, source: source, senderID: senderID, nonce: nonce), cookie[8...])
    }

    private func code(time: UInt64, source: Endpoint, senderID: UInt32, nonce: [UInt8]) -> [UInt8] {
        var input = Array("CRTP/1 cookie".utf8)
        input.append64(time)
        input.append64(source.address.high)
        input.append64(source.address.low)
        input.append16(source.port)
        input.append32(senderID)
        input.append(contentsOf: nonce)
        return input.withUnsafeBytes { FrameProtection.code($0, secret) }
    }
}
