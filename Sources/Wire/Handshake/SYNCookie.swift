/// The initial sequence number of a connection that nobody has a state of: whoever acknowledges it has received it
/// (RFC 4987 section 3.6).
///
///      31                     30 … 0
///     | minute is odd | base + MSS index x step, modulo 2^31 |
///
/// Base and step, which is odd, are bits of one SipHash-2-4 over everything else that is to be believed: the connection,
/// the client's initial sequence number, the minute, the options that timestamps carry, the offer. So of 2^32 numbers
/// sixteen are good, eight a minute, and nobody without the secret knows any of them or how they lie to each other.
struct SYNCookie: BitwiseCopyable {
    private let minute: UInt32
    private let base: UInt32
    private let step: UInt32

    private static var mask: UInt32 { 0x7FFF_FFFF }

    /// The one that a SYN gets now.
    @inline(__always)
    init(
        _ connection: PackedFlowKey, clientISN: SequenceNumber, _ options: CarriedOptions, _ offer: HandshakeOffer,
        _ key: CookieKey
    ) {
        self.init(connection, clientISN, options, offer, key.now)
    }

    /// The one that `returned` has to be, whoever made it up.
    @inline(__always)
    init(
        returned: SequenceNumber, _ connection: PackedFlowKey, clientISN: SequenceNumber, _ options: CarriedOptions,
        _ offer: HandshakeOffer, _ key: CookieKey
    ) {
        self.init(connection, clientISN, options, offer, key.period(isOdd: returned.value > Self.mask))
    }

    @inline(__always)
    private init(
        _ connection: PackedFlowKey, _ clientISN: SequenceNumber, _ options: CarriedOptions, _ offer: HandshakeOffer,
        _ period: (minute: UInt32, secret: CookieSecret)
    ) {
        var hash = SipHash(period.secret)
        hash.add(connection.addresses)
        if connection.isV6 {
            hash.add(connection.clientLow)
            hash.add(connection.serverHigh)
            hash.add(connection.serverLow)
        }
        hash.add(connection.ports)
        hash.add(UInt64(clientISN.value) | UInt64(period.minute) &<< 32)
        let bits = hash.finish(
            tail: offer.bits | UInt64(options.rawValue) &<< 40, length: connection.isV6 ? 55 : 31)
        minute = period.minute
        base = UInt32(truncatingIfNeeded: bits)
        step = UInt32(truncatingIfNeeded: bits &>> 32) | 1
    }

    /// - Parameter index: of the MSS, less than `SegmentSizes.count`.
    @inline(__always)
    func sequence(carrying index: UInt8) -> SequenceNumber {
        SequenceNumber(minute &<< 31 | (base &+ UInt32(index) &* step) & Self.mask)
    }

    /// What `returned` carries; nil when it was not made here, or too long ago.
    @inline(__always)
    func index(in returned: SequenceNumber) -> UInt8? {
        let distance = returned.value &- base
        var found = SegmentSizes.count
        var index: UInt8 = 0
        while index < SegmentSizes.count {
            found = (distance &- UInt32(index) &* step) & Self.mask == 0 ? index : found
            index &+= 1
        }
        return found < SegmentSizes.count ? found : nil
    }
}
