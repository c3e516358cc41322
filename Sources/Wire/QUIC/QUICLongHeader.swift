/// What every version of QUIC promises of a packet with a long header (RFC 8999 section 5.1), and no more.
///
///     1 | version-specific 7 bits | version 32 | length 8 | destination identifier | length 8 | source identifier | …
///
/// Total and without allocation: a worker reads it.
public struct QUICLongHeader: Equatable, Sendable, BitwiseCopyable {
    public let firstByte: UInt8
    public let version: UInt32
    /// Connection identifiers, as offsets from the packet's first byte. 0 to 20 bytes: longer ones are of no version
    /// that this reader knows (RFC 9000 section 17.2).
    public let destination: ByteRange
    public let source: ByteRange

    public static var maximumIdentifier: Int { 20 }
    /// QUIC version 1 (RFC 9000) and version 2 (RFC 9369).
    public static var version1: UInt32 { 1 }
    public static var version2: UInt32 { 0x6B33_43CF }

    /// Nil when the packet has a short header, or ends before its header does.
    @inlinable
    public init?(_ packet: UnsafeRawBufferPointer) {
        guard let base = packet.baseAddress, packet.count >= 7, base.wire8(0) & 0x80 != 0 else { return nil }
        let destinationLength = Int(base.wire8(5))
        guard destinationLength <= Self.maximumIdentifier, packet.count >= 7 &+ destinationLength else { return nil }
        let sourceLength = Int(base.wire8(6 &+ destinationLength))
        guard sourceLength <= Self.maximumIdentifier, packet.count >= 7 &+ destinationLength &+ sourceLength else {
            return nil
        }
        firstByte = base.wire8(0)
        version = base.wire32(1)
        destination = ByteRange(start: 6, count: destinationLength)
        source = ByteRange(start: 7 &+ destinationLength, count: sourceLength)
    }

    /// Where the part begins that only the version knows.
    @inlinable public var end: Int { source.end }

    /// An Initial packet of version 1 or 2, whose keys follow from its destination identifier. Other versions' are
    /// nobody's business here.
    @inlinable public var isInitial: Bool {
        switch version {
        case Self.version1: firstByte & 0x70 == 0x40
        case Self.version2: firstByte & 0x70 == 0x50
        default: false
        }
    }

    /// What a client begins a connection with (RFC 9000 sections 7.2 and 14.1): an Initial packet in a datagram that is
    /// filled up, with an identifier that nobody guesses.
    @inlinable
    public func opens(datagramOf count: Int) -> Bool {
        isInitial && count >= 1_200 && destination.count >= 8
    }
}
