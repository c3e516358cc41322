/// The TCP segment that an ICMP error quotes: the one that its sender could not deliver, as far as it cared to copy it
/// (RFC 792; RFC 1812 section 4.3.2.3; RFC 4443).
@usableFromInline
struct QuotedSegment: BitwiseCopyable {
    /// Start of the quoted IP header, in the frame.
    @usableFromInline let network: Int
    /// Start of the quoted TCP header.
    @usableFromInline let transport: Int
    /// Bytes of the TCP header that are there: 8...60, and no byte of what may follow it.
    @usableFromInline let count: Int

    /// Of a frame whose layout is an `.icmpError`.
    @inlinable
    init(of frame: UnsafeRawPointer, _ layout: PacketLayout) {
        network = Int(layout.transport) &+ 8
        transport = Int(layout.payload)
        let total =
            layout.isV6
            ? Int(frame.wire16(network &+ 4)) : Int(frame.wire16(network &+ 2)) &- (transport &- network)
        // Behind a shorter packet come padding and extensions (RFC 4884).
        let present = min(Int(layout.payloadLength), max(total, 8))
        let header = present > 12 ? Int(frame.wire8(transport &+ 12) &>> 4) &* 4 : 20
        count = min(present, max(header, 20))
    }

    @inlinable @inline(__always) var hasChecksum: Bool { count >= 18 }
    @inlinable @inline(__always) var hasFixedFields: Bool { count >= 20 }
}

extension SegmentShift {
    /// The segment that an ICMP error quotes, whatever is there of it; and the error's own checksum. Fields that are cut
    /// off stay, and so do options behind a malformed one.
    @inlinable
    func apply(toQuoteOf frame: UnsafeMutableRawPointer, _ layout: PacketLayout) {
        let quote = QuotedSegment(of: frame, layout)
        var edit = HeaderEdit(frame + quote.transport)
        if quote.hasFixedFields {
            shiftFixedFields(&edit)
            shiftOptions(&edit, end: quote.count)
        } else {
            edit.shift32(4, by: sequence)
        }
        if quote.hasChecksum { edit.updateChecksum(16, after: edit.change) }
        var error = HeaderEdit(frame + Int(layout.transport))
        error.updateChecksum(2, after: edit.change)
    }
}
