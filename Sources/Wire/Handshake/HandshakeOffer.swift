/// What the director promises in a SYN/ACK: only what everyone who may go on with the connection can keep.
///
/// A cookie is bound to the offer that it was made with: when the offer changes, answers to older SYN/ACKs are checked
/// against the older one, or refused.
public struct HandshakeOffer: Equatable, Sendable, BitwiseCopyable {
    /// Bytes, for IPv4; what IPv6's longer header takes is deducted.
    public var maximumSegmentSize: UInt16
    /// Bytes that the client may send before anybody has taken the connection over. A window that is promised is never
    /// taken back, so no more than a director is ready to hold.
    public var window: UInt16
    /// Shift of later windows, at most 14; 0xFF for none.
    public var windowScale: UInt8
    public var sack: Bool
    public var timestamps: Bool
    /// Explicit congestion notification as in RFC 3168. A socket made by TCP_REPAIR does not know it.
    public var ecn: Bool

    public init(
        maximumSegmentSize: UInt16 = 1_460, window: UInt16 = 14_600, windowScale: UInt8 = 0xFF, sack: Bool = false,
        timestamps: Bool = false, ecn: Bool = false
    ) {
        self.maximumSegmentSize = maximumSegmentSize
        self.window = window
        self.windowScale = windowScale <= 14 ? windowScale : 0xFF
        self.sack = sack
        self.timestamps = timestamps
        self.ecn = ecn
    }

    @inline(__always)
    func maximumSegmentSize(isV6: Bool) -> UInt16 {
        maximumSegmentSize &- (isV6 ? min(20, maximumSegmentSize) : 0)
    }

    /// All of it in 40 bits.
    @inline(__always)
    var bits: UInt64 {
        UInt64(window) | UInt64(maximumSegmentSize) &<< 16 | UInt64(windowScale & 0x1F) &<< 32
            | (sack ? 1 &<< 37 : 0) | (timestamps ? 1 &<< 38 : 0) | (ecn ? 1 &<< 39 : 0)
    }
}
