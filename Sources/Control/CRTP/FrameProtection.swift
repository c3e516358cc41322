import Crypto

/// The keys of one direction, at work.
package enum FrameProtection: Sendable {
    /// HMAC-SHA-256 over header and body, cut to 16 bytes (RFC 2104 section 5).
    /// The key has been put in already; each frame goes into a copy.
    case authenticated(HMAC<SHA256>)
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
        switch self {
        case .authenticated(let keyed): return frame + Self.code(frame[...], keyed)
        case .sealed(let key, let salt):
            // Fails only for a nonce or key of the wrong size, and both are ours.
            guard let nonce = Self.nonce(salt, sequence),
                let box = try? AES.GCM.seal(
                    frame[FrameHeader.byteCount...], using: key, nonce: nonce,
                    authenticating: frame[..<FrameHeader.byteCount]),
                let combined = box.combined
            else { return [] }
            // The box is nonce, ciphertext, tag.
            var out: [UInt8] = []
            out.reserveCapacity(frame.count + FrameHeader.tagByteCount)
            out.append(contentsOf: frame[..<FrameHeader.byteCount])
            out.append(contentsOf: combined.dropFirst(Self.nonceByteCount))
            return out
        }
    }

    /// The body in the clear, or nil when the tag is wrong. The datagram is at least a header and a tag long.
    package func open(_ datagram: [UInt8], sequence: UInt64) -> [UInt8]? {
        switch self {
        case .authenticated(let keyed):
            let end = datagram.count - FrameHeader.tagByteCount
            guard Self.isEqual(Self.code(datagram[..<end], keyed), datagram[end...]) else { return nil }
            return Array(datagram[FrameHeader.byteCount..<end])
        case .sealed(let key, let salt):
            var combined = salt
            combined.reserveCapacity(datagram.count)
            combined.append64(sequence)
            combined.append(contentsOf: datagram[FrameHeader.byteCount...])
            guard let box = try? AES.GCM.SealedBox(combined: combined),
                let body = try? AES.GCM.open(box, using: key, authenticating: datagram[..<FrameHeader.byteCount])
            else { return nil }
            return [UInt8](body)
        }
    }

    private static var nonceByteCount: Int { 12 }

    private static func nonce(_ salt: [UInt8], _ sequence: UInt64) -> AES.GCM.Nonce? {
        var bytes = salt
        bytes.append64(sequence)
        return try? AES.GCM.Nonce(data: bytes)
    }

    static func code(_ bytes: ArraySlice<UInt8>, _ keyed: HMAC<SHA256>) -> [UInt8] {
        var code = keyed
        code.update(data: bytes)
        return code.finalize().withUnsafeBytes { [UInt8]($0.prefix(FrameHeader.tagByteCount)) }
    }

    /// Takes the same time wherever the first difference is.
    static func isEqual(_ left: [UInt8], _ right: ArraySlice<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for (one, other) in zip(left, right) { difference |= one ^ other }
        return difference == 0
    }
}
