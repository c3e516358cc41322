import Crypto

/// The keys of one direction, at work.
package enum FrameProtection: Sendable {
    /// HMAC-SHA-256 over header and body, cut to 16 bytes (RFC 2104 section 5).
    case authenticated(SymmetricKey)
    /// AES-128-GCM (RFC 5116 section 5.1): header as associated data, `salt` and the sequence number as nonce.
    case sealed(SymmetricKey, salt: [UInt8])

    package var protection: Protection {
        switch self {
        case .authenticated: .authenticated
        case .sealed: .sealed
        }
    }

    /// Turns a frame of header and body into header, protected body and tag. `sequence` is the header's and must
    /// never repeat under the same key.
    package func protect(_ frame: [UInt8], sequence: UInt64) -> [UInt8] {
        var out = frame
        switch self {
        case .authenticated(let key):
            out.append(contentsOf: Self.code(frame[...], key))
        case .sealed(let key, let salt):
            // Fails only for a nonce or key of the wrong size, and both are ours.
            guard let nonce = Self.nonce(salt, sequence),
                let box = try? AES.GCM.seal(
                    frame[FrameHeader.byteCount...], using: key, nonce: nonce,
                    authenticating: frame[..<FrameHeader.byteCount])
            else { return [] }
            out.removeSubrange(FrameHeader.byteCount...)
            out.append(contentsOf: box.ciphertext)
            out.append(contentsOf: box.tag)
        }
        return out
    }

    /// The body in the clear, or nil when the tag is wrong. The datagram is at least a header and a tag long.
    package func open(_ datagram: [UInt8], sequence: UInt64) -> [UInt8]? {
        let end = datagram.count - FrameHeader.tagByteCount
        switch self {
        case .authenticated(let key):
            guard Self.isEqual(Self.code(datagram[..<end], key), datagram[end...]) else { return nil }
            return Array(datagram[FrameHeader.byteCount..<end])
        case .sealed(let key, let salt):
            guard let nonce = Self.nonce(salt, sequence),
                let box = try? AES.GCM.SealedBox(
                    nonce: nonce, ciphertext: datagram[FrameHeader.byteCount..<end], tag: datagram[end...]),
                let body = try? AES.GCM.open(box, using: key, authenticating: datagram[..<FrameHeader.byteCount])
            else { return nil }
            return [UInt8](body)
        }
    }

    private static func nonce(_ salt: [UInt8], _ sequence: UInt64) -> AES.GCM.Nonce? {
        var bytes = salt
        bytes.append64(sequence)
        return try? AES.GCM.Nonce(data: bytes)
    }

    static func code(_ bytes: ArraySlice<UInt8>, _ key: SymmetricKey) -> [UInt8] {
        HMAC<SHA256>.authenticationCode(for: bytes, using: key).withUnsafeBytes {
            [UInt8]($0.prefix(FrameHeader.tagByteCount))
        }
    }

    /// Takes the same time wherever the first difference is.
    static func isEqual(_ left: [UInt8], _ right: ArraySlice<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for (one, other) in zip(left, right) { difference |= one ^ other }
        return difference == 0
    }
}
