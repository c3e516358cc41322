import Crypto

/// Which end a frame comes from: each has its own keys, so that nothing can be sent back to who said it.
package enum Direction: UInt8, Sendable {
    /// "i"
    case fromInitiator = 0x69
    /// "r"
    case fromResponder = 0x72

    package var opposite: Direction {
        switch self {
        case .fromInitiator: .fromResponder
        case .fromResponder: .fromInitiator
        }
    }
}

/// All keys come from a pre-shared key by HKDF-SHA-256 (RFC 5869); `docs/crtp.md` has the strings.
package struct KeySchedule: Sendable {
    package static var minimumKeyByteCount: Int { 16 }

    package let current: UInt8
    /// Ids in ascending order.
    package let held: [UInt8]
    private let preShared: [UInt8: SymmetricKey]
    private let handshakes: [UInt16: FrameProtection]

    /// Keys of fewer than 16 bytes are left out, as if they were not there.
    package init(_ ring: KeyRing) {
        current = ring.current
        var preShared: [UInt8: SymmetricKey] = [:]
        var handshakes: [UInt16: FrameProtection] = [:]
        for (keyID, bytes) in ring.keys where bytes.count >= Self.minimumKeyByteCount {
            let key = SymmetricKey(data: bytes)
            preShared[keyID] = key
            for direction in [Direction.fromInitiator, .fromResponder] {
                let info = Array("CRTP/1 handshake ".utf8) + [direction.rawValue]
                let derived = HKDF<SHA256>.deriveKey(inputKeyMaterial: key, info: info, outputByteCount: 32)
                handshakes[Self.index(keyID, direction)] = .authenticated(HMAC(key: derived))
            }
        }
        self.preShared = preShared
        held = preShared.keys.sorted()
        self.handshakes = handshakes
    }

    private static func index(_ keyID: UInt8, _ direction: Direction) -> UInt16 {
        UInt16(keyID) << 8 | UInt16(direction.rawValue)
    }

    package func has(_ keyID: UInt8) -> Bool { preShared[keyID] != nil }

    /// The protection of INIT, CHALLENGE, ACCEPT, and of errors outside sessions.
    package func handshake(_ keyID: UInt8, _ direction: Direction) -> FrameProtection? {
        handshakes[Self.index(keyID, direction)]
    }

    package func session(
        _ session: UInt32, keyID: UInt8, protection: Protection, initiatorNonce: [UInt8], responderNonce: [UInt8],
        direction: Direction
    ) -> FrameProtection? {
        guard let key = preShared[keyID] else { return nil }
        var info = Array("CRTP/1 session ".utf8) + [direction.rawValue, protection.rawValue, keyID]
        info.append32(session)
        return derive(key, salt: initiatorNonce + responderNonce, info: info, protection)
    }

    /// The key of a multicast group: only its director sends with it.
    package func group(_ group: GroupDescription) -> FrameProtection? {
        guard let key = preShared[group.keyID] else { return nil }
        var info = Array("CRTP/1 group ".utf8) + [group.protection.rawValue, group.keyID]
        info.append32(group.session)
        return derive(key, salt: group.nonce, info: info, group.protection)
    }

    /// The key of hand-offs, which need no session: the numbers that their director drew stand for nonces.
    package func handOff(
        senderID: UInt32, session: UInt32, keyID: UInt8, protection: Protection
    ) -> FrameProtection? {
        guard let key = preShared[keyID] else { return nil }
        var info = Array("CRTP/1 one-way ".utf8) + [protection.rawValue, keyID]
        info.append32(senderID)
        info.append32(session)
        return derive(key, salt: [UInt8](repeating: 0, count: 32), info: info, protection)
    }

    private func derive(
        _ key: SymmetricKey, salt: [UInt8], info: [UInt8], _ protection: Protection
    ) -> FrameProtection? {
        func derive(_ count: Int) -> SymmetricKey {
            HKDF<SHA256>.deriveKey(inputKeyMaterial: key, salt: salt, info: info, outputByteCount: count)
        }
        switch protection {
        case .authenticated: return .authenticated(HMAC(key: derive(32)))
        case .sealed:
            let bytes = derive(20).withUnsafeBytes { [UInt8]($0) }
            return SealingKey(Array(bytes[..<16])).map { key in
                .sealed(key, salt: bytes.withUnsafeBytes { $0.load32(at: 16) })
            }
        }
    }
}
