/// What client and offer agree on beyond the MSS. The client brings it back in its timestamps, so that nobody has to
/// remember it; a client without timestamps gets none of it.
///
///      7   6    5    4   3   2   1   0
///     | - | TS | ECN | SACK | window scale |
///
/// Bits 0 to 5 are the lowest of the TSval that the client is told.
struct CarriedOptions: Equatable, Sendable, BitwiseCopyable {
    let rawValue: UInt8

    /// No window scale.
    private static var unscaled: UInt8 { 15 }
    /// The bits that travel.
    private static var mask: UInt32 { 0x3F }

    /// What is agreed when `syn`, whose header has these options, meets the offer.
    @inline(__always)
    init(_ options: TCPOptions, _ flags: TCPFlags, _ offer: HandshakeOffer) {
        guard options.hasTimestamps, offer.timestamps else {
            rawValue = Self.unscaled
            return
        }
        let isScaled = options.windowScale <= 14 && offer.windowScale <= 14
        rawValue =
            0x40 | (isScaled ? options.windowScale : Self.unscaled) | (options.sackPermitted && offer.sack ? 0x10 : 0)
            | (flags.has([.ece, .cwr]) && offer.ecn ? 0x20 : 0)
    }

    /// What the options of a later segment bring back.
    @inline(__always)
    init(returnedBy options: TCPOptions, _ offer: HandshakeOffer) {
        rawValue =
            options.hasTimestamps && offer.timestamps
            ? 0x40 | UInt8(truncatingIfNeeded: options.timestampEcho & Self.mask) : Self.unscaled
    }

    @inline(__always) var timestamps: Bool { rawValue & 0x40 != 0 }
    @inline(__always) var ecn: Bool { rawValue & 0x20 != 0 }
    @inline(__always) var sack: Bool { rawValue & 0x10 != 0 }
    @inline(__always) var isScaled: Bool { clientWindowScale != Self.unscaled }
    /// Meaningful when `isScaled`.
    @inline(__always) var clientWindowScale: UInt8 { rawValue & 0x0F }

    /// The TSval to tell: the latest time, not after `milliseconds`, that ends in these bits.
    @inline(__always)
    func timestamp(at milliseconds: UInt32) -> UInt32 {
        let carried = UInt32(rawValue) & Self.mask
        return milliseconds &- ((milliseconds &- carried) & Self.mask)
    }
}
