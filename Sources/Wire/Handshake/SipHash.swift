/// SipHash-2-4 with 64 bits of output (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012): two rounds for
/// each word of the message, four at the end. Whoever does not know the secret cannot tell its values from random ones.
///
/// The message is given as words, each of eight bytes in little-endian order, and a tail of up to seven bytes.
public struct SipHash: Sendable, BitwiseCopyable {
    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64

    @inline(__always)
    public init(_ secret: CookieSecret) {
        v0 = secret.low ^ 0x736F_6D65_7073_6575
        v1 = secret.high ^ 0x646F_7261_6E64_6F6D
        v2 = secret.low ^ 0x6C79_6765_6E65_7261
        v3 = secret.high ^ 0x7465_6462_7974_6573
    }

    @inline(__always)
    public mutating func add(_ word: UInt64) {
        v3 ^= word
        mix()
        mix()
        v0 ^= word
    }

    /// - Parameters:
    ///   - tail: the last bytes of the message, at most seven, in the lower bits.
    ///   - length: bytes of the whole message, its words included.
    @inline(__always)
    public mutating func finish(tail: UInt64, length: UInt8) -> UInt64 {
        add(tail & 0x00FF_FFFF_FFFF_FFFF | UInt64(length) &<< 56)
        v2 ^= 0xFF
        mix()
        mix()
        mix()
        mix()
        return v0 ^ v1 ^ v2 ^ v3
    }

    /// One SipRound.
    @inline(__always)
    private mutating func mix() {
        v0 &+= v1
        v2 &+= v3
        v1 = Self.rotated(v1, 13) ^ v0
        v3 = Self.rotated(v3, 16) ^ v2
        v0 = Self.rotated(v0, 32)
        v2 &+= v1
        v0 &+= v3
        v1 = Self.rotated(v1, 17) ^ v2
        v3 = Self.rotated(v3, 21) ^ v0
        v2 = Self.rotated(v2, 32)
    }

    @inline(__always)
    private static func rotated(_ word: UInt64, _ bits: UInt64) -> UInt64 { word &<< bits | word &>> (64 &- bits) }
}
