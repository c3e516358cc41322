internal import CCryptoBoringSSL

/// An AES-128-GCM key, made ready once (RFC 5116 section 5.1).
///
/// This is BoringSSL as swift-crypto brings it, by its own interface: `AES.GCM` makes the round keys and the powers of H
/// anew for each message and moves it through several `Data`, which costs ten times the cipher
/// (docs/decisions/0008-transfers-per-second.md).
package final class SealingKey: @unchecked Sendable {
    package static var byteCount: Int { 16 }
    static var nonceByteCount: Int { 12 }

    /// Never changed after `init`; BoringSSL allows any number of threads to use it at once.
    private let context: UnsafeMutablePointer<EVP_AEAD_CTX>

    /// Nil when the key is not `byteCount` bytes long.
    package init?(_ key: [UInt8]) {
        guard
            let context = CCryptoBoringSSL_EVP_AEAD_CTX_new(
                CCryptoBoringSSL_EVP_aead_aes_128_gcm(), key, key.count, FrameHeader.tagByteCount)
        else { return nil }
        self.context = context
    }

    /// Wipes the key.
    deinit { CCryptoBoringSSL_EVP_AEAD_CTX_free(context) }

    /// Encrypts `body` where it is and writes the tag of it and `header` to `tag`. False: nothing may be sent.
    func seal(
        _ body: UnsafeMutableRawBufferPointer, header: UnsafeRawBufferPointer, salt: UInt32, sequence: UInt64,
        tag: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let text = body.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var written = 0
        return Self.withNonce(salt, sequence) { nonce in
            CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
                context, text, tag.baseAddress?.assumingMemoryBound(to: UInt8.self), &written, tag.count, nonce,
                Self.nonceByteCount, text, body.count, nil, 0, header.baseAddress?.assumingMemoryBound(to: UInt8.self),
                header.count)
        } == 1
    }

    /// Decrypts `text` into `body`, which is as long. False, and zeros, when the tag is not that of `text` and `header`.
    func open(
        _ text: UnsafeRawBufferPointer, header: UnsafeRawBufferPointer, salt: UInt32, sequence: UInt64,
        tag: UnsafeRawBufferPointer, into body: UnsafeMutableBufferPointer<UInt8>
    ) -> Bool {
        Self.withNonce(salt, sequence) { nonce in
            CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
                context, body.baseAddress, nonce, Self.nonceByteCount,
                text.baseAddress?.assumingMemoryBound(to: UInt8.self), text.count,
                tag.baseAddress?.assumingMemoryBound(to: UInt8.self), tag.count,
                header.baseAddress?.assumingMemoryBound(to: UInt8.self), header.count)
        } == 1
    }

    /// Salt, then sequence, big-endian.
    private static func withNonce(_ salt: UInt32, _ sequence: UInt64, _ body: (UnsafePointer<UInt8>) -> Int32) -> Int32
    {
        withUnsafeTemporaryAllocation(byteCount: nonceByteCount, alignment: 4) { nonce in
            nonce.storeBytes(of: salt.bigEndian, as: UInt32.self)
            nonce.storeBytes(of: sequence.bigEndian, toByteOffset: 4, as: UInt64.self)
            return body(UnsafePointer(nonce.baseAddress!.assumingMemoryBound(to: UInt8.self)))
        }
    }
}
