/// What becomes of a SYN: its own frame, turned into the SYN/ACK. Nothing is remembered of it; what the connection needs to
/// know later comes back with the client's ACK (`CookieReturn`).
public enum SYNAnswer: Equatable, Sendable, BitwiseCopyable {
    /// The frame is the SYN/ACK now, of so many bytes.
    case answered(length: Int)
    /// The frame is as it was.
    case refused(HandshakeRefusal)

    /// Answers a SYN. Payload and fast open cookie are ignored: the client sends its data again (RFC 7413 section 4.2).
    ///
    /// - Parameters:
    ///   - layout: the frame's.
    ///   - room: bytes that the frame may take; 98 suffice.
    ///   - milliseconds: time since any fixed moment; TSvals are made of it.
    public static func answer(
        _ frame: UnsafeMutableRawPointer, _ layout: PacketLayout, room: Int, offer: HandshakeOffer, key: CookieKey,
        milliseconds: UInt32
    ) -> SYNAnswer {
        let bytes = UnsafeRawPointer(frame)
        guard layout.kind == .tcp else { return .refused(layout.kind == .fragment ? .fragment : .notTCP) }
        let syn = TCPHeader(bytes + Int(layout.transport))
        guard syn.flags.contains(.syn), syn.flags.lacks([.ack, .rst, .fin]) else { return .refused(.flags) }
        guard layout.isBetweenHosts(bytes) else { return .refused(.address) }
        let options = TCPOptions(of: syn)
        guard !options.isMalformed, !options.isAuthenticated else { return .refused(.options) }
        let sums = SYNSums(bytes, layout)
        guard sums.areRight else { return .refused(.checksum) }

        let agreed = CarriedOptions(options, syn.flags, offer)
        let cookie = SYNCookie(layout.key(bytes, fromClient: true), clientISN: syn.sequence, agreed, offer, key)
        let size = SegmentSizes.index(notAbove: options.segmentSize(isV6: layout.isV6), isV6: layout.isV6)
        let segment = SYNSegment(
            sequence: cookie.sequence(carrying: size), acknowledgement: syn.sequence + 1, agreed: agreed, offer: offer,
            timestamp: agreed.timestamp(at: milliseconds), echo: options.timestampValue)
        let length = segment.frameLength(layout)
        guard length <= room else { return .refused(.room) }
        segment.write(over: frame, layout, after: sums.connection)
        return .answered(length: length)
    }
}

extension TCPOptions {
    /// The client's MSS, or what stands for it when it says none (RFC 9293 section 3.7.1).
    @inline(__always)
    fileprivate func segmentSize(isV6: Bool) -> UInt16 {
        maximumSegmentSizeOffset > 0 ? maximumSegmentSize : isV6 ? 1_220 : 536
    }
}
