import Crypto

/// The keys of one direction, at work.
package enum FrameProtection: Sendable {
    /// HMAC-SHA-256 over header and body, cut to 16 bytes (RFC 2104 section 5).
    /// The key has been put in already; each frame goes into a copy.
    case authenticated(HMAC<SHA256>)
    /// AES-128-GCM (RFC 5116 section 5.1): header as associated data, `salt` and the sequence number as nonce.
    case sealed(SealingKey, salt: UInt32)

    package var protection: Protection {
        switch self {
        case .authenticated: .authenticated
        case .sealed: .sealed
        }
    }

    /// Turns a frame of header and body into header, protected body and tag. `sequence` is the header's and must
    /// never repeat under the same key.
    func protect(_ frame: inout FrameWriter, sequence: UInt64) {
        switch self {
        case .authenticated(let keyed): frame.append(contentsOf: Self.code(frame.bytes, keyed))
        case .sealed(let key, let salt):
            frame.transform(behind: FrameHeader.byteCount, tagCount: FrameHeader.tagByteCount) { header, body, tag in
                key.seal(body, header: header, salt: salt, sequence: sequence, tag: tag)
            }
        }
    }

    /// The same for a frame in an array of its own.
    package func protect(_ frame: [UInt8], sequence: UInt64) -> [UInt8] {
        FrameWriter.bytes(capacity: frame.count + FrameHeader.tagByteCount) { writer in
            writer.append(contentsOf: frame)
            protect(&writer, sequence: sequence)
        }
    }

    /// The body in the clear, or nil when the tag is wrong. The datagram is at least a header and a tag long.
    package func open(_ datagram: [UInt8], sequence: UInt64) -> [UInt8]? {
        datagram.withUnsafeBytes { bytes in
            let end = bytes.count - FrameHeader.tagByteCount
            let body = UnsafeRawBufferPointer(rebasing: bytes[FrameHeader.byteCount..<end])
            let tag = UnsafeRawBufferPointer(rebasing: bytes[end...])
            switch self {
            case .authenticated(let keyed):
                let code = Self.code(UnsafeRawBufferPointer(rebasing: bytes[..<end]), keyed)
                return Self.isEqual(code, tag) ? [UInt8](body) : nil
            case .sealed(let key, let salt):
                var isAuthentic = false
                let clear = [UInt8](unsafeUninitializedCapacity: body.count) { memory, count in
                    isAuthentic = key.open(
                        body, header: UnsafeRawBufferPointer(rebasing: bytes[..<FrameHeader.byteCount]), salt: salt,
                        sequence: sequence, tag: tag, into: UnsafeMutableBufferPointer(rebasing: memory[..<body.count]))
                    count = isAuthentic ? body.count : 0
                }
                return isAuthentic ? clear : nil
            }
        }
    }

    static func code(_ bytes: UnsafeRawBufferPointer, _ keyed: HMAC<SHA256>) -> [UInt8] {
        var code = keyed
        code.update(data: bytes)
        return code.finalize().withUnsafeBytes { [UInt8]($0.prefix(FrameHeader.tagByteCount)) }
    }

    /// Takes the same time wherever the first difference is.
    static func isEqual(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for (one, other) in zip(left, right) { difference |= one ^ other }
        return difference == 0
    }
}
