/// What becomes of an ACK that belongs to no known connection: does it return a cookie?
public enum CookieReturn: Equatable, Sendable, BitwiseCopyable {
    case accepted(HandshakeState)
    case refused(HandshakeRefusal)

    /// Checks the ACK that completes a handshake, be it bare or with the request, which may come first when the bare one is
    /// lost. One hash, whatever it says.
    ///
    /// - Parameters:
    ///   - layout: the frame's.
    ///   - offer: the one that the SYN was answered with.
    ///   - milliseconds: the same time that TSvals are made of.
    public static func check(
        _ frame: UnsafeRawPointer, _ layout: PacketLayout, offer: HandshakeOffer, key: CookieKey, milliseconds: UInt32
    ) -> CookieReturn {
        guard layout.kind == .tcp else { return .refused(layout.kind == .fragment ? .fragment : .notTCP) }
        let segment = TCPHeader(frame + Int(layout.transport))
        guard segment.flags.contains(.ack), segment.flags.lacks([.syn, .rst]) else { return .refused(.flags) }
        let options = TCPOptions(of: segment)
        guard !options.isMalformed else { return .refused(.options) }

        let agreed = CarriedOptions(returnedBy: options, offer)
        let returned = segment.acknowledgement - 1
        let clientISN = segment.sequence - 1
        let cookie = SYNCookie(
            returned: returned, layout.key(frame, fromClient: true), clientISN: clientISN, agreed, offer, key)
        guard let size = cookie.index(in: returned),
            !agreed.timestamps || isRecent(options.timestampEcho, milliseconds)
        else { return .refused(.cookie) }
        // Linear in the payload, so it comes last: only who has a cookie makes work of it.
        guard layout.hasValidChecksum(frame) else { return .refused(.checksum) }

        let shift = agreed.isScaled ? agreed.clientWindowScale : 0
        return .accepted(
            HandshakeState(
                clientISN: clientISN, serverISN: returned,
                options: NegotiatedOptions(
                    clientMSS: SegmentSizes.size(size, isV6: layout.isV6),
                    serverMSS: offer.maximumSegmentSize(isV6: layout.isV6),
                    clientWindowScale: shift, serverWindowScale: agreed.isScaled ? offer.windowScale : 0,
                    windowScale: agreed.isScaled, sack: agreed.sack, timestamps: agreed.timestamps),
                ecn: agreed.ecn, clientWindow: UInt32(segment.window) &<< UInt32(shift), serverWindow: offer.window,
                serverTimestamp: agreed.timestamps ? options.timestampEcho : 0,
                clientTimestamp: agreed.timestamps ? options.timestampValue : 0))
    }

    /// No older than a cookie may be, and not of the future.
    @inline(__always)
    private static func isRecent(_ echo: UInt32, _ milliseconds: UInt32) -> Bool {
        // Up to 63 for the bits that it carries.
        milliseconds &- echo < 2 &* CookieKey.period &+ 64
    }
}
