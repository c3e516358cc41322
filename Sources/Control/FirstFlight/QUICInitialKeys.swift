internal import CCryptoBoringSSL
internal import Crypto
internal import Wire

/// The keys of a client's Initial packets, which follow from the version and the destination identifier of the first of
/// them alone (RFC 9001 section 5.2, RFC 9369 section 3.3): whoever sees the packet can read it.
struct QUICInitialKeys: Sendable {
    private let key: SymmetricKey
    private let nonce: [UInt8]
    private let headerProtection: [UInt8]

    /// Nil for versions that are not known.
    init?(version: UInt32, destination: some Sequence<UInt8>) {
        guard let salt = Self.salt(version) else { return nil }
        let prefix = version == QUICLongHeader.version2 ? "quicv2" : "quic"
        let initial = SymmetricKey(
            data: HKDF<SHA256>.extract(inputKeyMaterial: SymmetricKey(data: Array(destination)), salt: salt))
        let secret = SymmetricKey(data: Self.expand(initial, "client in", count: 32))
        key = SymmetricKey(data: Self.expand(secret, "\(prefix) key", count: 16))
        nonce = Self.expand(secret, "\(prefix) iv", count: 12)
        headerProtection = Self.expand(secret, "\(prefix) hp", count: 16)
    }

    private static func salt(_ version: UInt32) -> [UInt8]? {
        switch version {
        case QUICLongHeader.version1:
            [
                0x38, 0x76, 0x2C, 0xF7, 0xF5, 0x59, 0x34, 0xB3, 0x4D, 0x17, 0x9A, 0xE6, 0xA4, 0xC8, 0x0C, 0xAD, 0xCC,
                0xBB, 0x7F, 0x0A,
            ]
        case QUICLongHeader.version2:
            [
                0x0D, 0xED, 0xE3, 0xDE, 0xF7, 0x00, 0xA6, 0xDB, 0x81, 0x93, 0x81, 0xBE, 0x6E, 0x26, 0x9D, 0xCB, 0xF9,
                0xBD, 0x2E, 0xD9,
            ]
        default: nil
        }
    }

    /// HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
    private static func expand(_ secret: SymmetricKey, _ label: String, count: Int) -> [UInt8] {
        let text = Array("tls13 \(label)".utf8)
        let info = [UInt8(count >> 8), UInt8(count & 0xFF), UInt8(text.count)] + text + [0]
        return HKDF<SHA256>.expand(pseudoRandomKey: secret, info: info, outputByteCount: count)
            .withUnsafeBytes(Array.init)
    }

    /// What an Initial packet says: its frames. Nil when its tag is not right: somebody else's keys, or garbled.
    ///
    /// - Parameter datagram: with the packet at its beginning.
    func open(_ packet: QUICInitialPacket, in datagram: UnsafeRawBufferPointer) -> [UInt8]? {
        let sample = datagram[(packet.number + 4)..<(packet.number + 20)]
        let mask = mask(Array(sample))
        let first = datagram[0] ^ (mask[0] & 0x0F)
        let numberLength = Int(first & 3) + 1
        var header = Array(datagram[..<(packet.number + numberLength)])
        header[0] = first
        var unique = nonce
        for index in 0..<numberLength {
            header[packet.number + index] ^= mask[1 + index]
            // The first packets' numbers are not so large that any of them were cut (RFC 9000 appendix A.3).
            unique[12 - numberLength + index] ^= header[packet.number + index]
        }
        let body = datagram[(packet.number + numberLength)..<packet.end]
        guard body.count >= 16, let nonce = try? AES.GCM.Nonce(data: unique),
            let box = try? AES.GCM.SealedBox(
                nonce: nonce, ciphertext: body.dropLast(16), tag: body.suffix(16)),
            let text = try? AES.GCM.open(box, using: key, authenticating: header)
        else { return nil }
        return Array(text)
    }

    /// One block of AES (RFC 9001 section 5.4.3), of which swift-crypto has no interface of its own.
    private func mask(_ sample: [UInt8]) -> [UInt8] {
        var schedule = AES_KEY()
        var mask = [UInt8](repeating: 0, count: 16)
        _ = CCryptoBoringSSL_AES_set_encrypt_key(headerProtection, 128, &schedule)
        CCryptoBoringSSL_AES_encrypt(sample, &mask, &schedule)
        return mask
    }
}
