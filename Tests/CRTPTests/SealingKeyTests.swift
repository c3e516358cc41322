import CRTP
import Crypto
import Testing

/// The kept key against swift-crypto's own AES-GCM, which docs/crtp.md means.
@Suite struct SealingKeyTests {
    private static let keyBytes = (0..<16).map { UInt8($0 * 7) }
    private static let nonce: [UInt8] = [0xA1, 0xA2, 0xA3, 0xA4, 0, 0, 0, 1, 0, 0, 0, 9]
    private static let sequence: UInt64 = 0x0000_0001_0000_0009

    private static var protection: FrameProtection { .sealed(SealingKey(keyBytes)!, salt: 0xA1A2_A3A4) }

    @Test(arguments: [0, 1, 15, 16, 17, 31, 32, 100, 128, 255, 256, 257, 1_000, 1_424])
    func isAESGCM(_ length: Int) throws {
        let header = (0..<32).map { UInt8($0) }
        let body = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let box = try AES.GCM.seal(
            body, using: SymmetricKey(data: Self.keyBytes), nonce: try AES.GCM.Nonce(data: Self.nonce),
            authenticating: header)
        let sealed = Self.protection.protect(header + body, sequence: Self.sequence)
        #expect(sealed == header + [UInt8](box.ciphertext) + [UInt8](box.tag))
        #expect(Self.protection.open(sealed, sequence: Self.sequence) == body)
        #expect(Self.protection.open(sealed, sequence: Self.sequence + 1) == nil)
    }

    @Test func onlySixteenBytesAreAKey() {
        #expect(SealingKey([UInt8](repeating: 1, count: 15)) == nil)
        #expect(SealingKey([UInt8](repeating: 1, count: 32)) == nil)
    }
}
