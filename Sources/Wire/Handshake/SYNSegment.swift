/// A SYN/ACK that is to take the place of the SYN that it answers.
///
///     MSS (4) | SACK permitted, or two NOP (2) | timestamps (10) | NOP, window scale (4)
///
/// The last three only as far as they are agreed on; without timestamps there is the MSS alone.
struct SYNSegment: BitwiseCopyable {
    var sequence: SequenceNumber
    var acknowledgement: SequenceNumber
    var agreed: CarriedOptions
    var offer: HandshakeOffer
    /// TSval, and what the client's was.
    var timestamp: UInt32
    var echo: UInt32

    /// Ethernet's least frame, so that no port has to pad.
    private static var leastFrame: Int { 60 }
    private static var hopLimit: UInt8 { 64 }

    /// Bytes of TCP header.
    @inline(__always)
    private var length: Int { agreed.timestamps ? agreed.isScaled ? 40 : 36 : 24 }

    /// Bytes of the frame that answers one of this layout.
    @inline(__always)
    func frameLength(_ layout: PacketLayout) -> Int { max(unpadded(layout), Self.leastFrame) }

    @inline(__always)
    private func unpadded(_ layout: PacketLayout) -> Int { Int(layout.network) &+ (layout.isV6 ? 40 : 20) &+ length }

    /// Turns the SYN's frame round, from its first byte to its last: addresses and ports change places, tags stay, what else
    /// its headers said is gone.
    ///
    /// - Parameter connection: the sum of what they keep (`SYNSums`).
    @inline(__always)
    func write(over frame: UnsafeMutableRawPointer, _ layout: PacketLayout, after connection: InternetChecksum) {
        let network = Int(layout.network)
        let bytes = UnsafeRawPointer(frame)
        let source = layout.source(bytes, ipHeader: network)
        let destination = layout.destination(bytes, ipHeader: network)
        let ports = bytes.wire32(Int(layout.transport))
        let client = bytes.wireMAC(6)
        frame.setWireMAC(6, bytes.wireMAC(0))
        frame.setWireMAC(0, client)

        if layout.isV6 {
            frame.setIPv6(network, from: destination, to: source, next: 6, length: length, hops: Self.hopLimit)
        } else {
            frame.setIPv4(network, from: destination, to: source, protocol: 6, length: length, hops: Self.hopLimit)
        }
        let header = frame + (network &+ (layout.isV6 ? 40 : 20))
        header.setWire32(0, ports &<< 16 | ports &>> 16)
        writeTCP(HeaderWriter(header, after: connection), isV6: layout.isV6)
        pad(frame, layout)
    }

    /// All of the header but its ports.
    @inline(__always)
    private func writeTCP(_ header: HeaderWriter, isV6: Bool) {
        let flags: TCPFlags = agreed.ecn ? [.syn, .ack, .ece] : [.syn, .ack]
        var header = header
        header.sum.add(word: UInt16(truncatingIfNeeded: length))
        header.set32(4, sequence.value)
        header.set32(8, acknowledgement.value)
        header.set32(
            12, UInt32(truncatingIfNeeded: length) &<< 26 | UInt32(flags.rawValue) &<< 16 | UInt32(offer.window))
        header.set32(20, 0x0204_0000 | UInt32(offer.maximumSegmentSize(isV6: isV6)))
        if agreed.timestamps {
            header.set32(24, agreed.sack ? 0x0402_080A : 0x0101_080A)
            header.set32(28, timestamp)
            header.set32(32, echo)
            if agreed.isScaled { header.set32(36, 0x0103_0300 | UInt32(offer.windowScale)) }
        }
        header.header.setWire32(16, UInt32(header.sum.value) &<< 16)
    }

    /// Nothing of what was there before leaves with a short frame.
    @inline(__always)
    private func pad(_ frame: UnsafeMutableRawPointer, _ layout: PacketLayout) {
        var offset = unpadded(layout)
        while offset < Self.leastFrame {
            frame.setWire8(offset, 0)
            offset &+= 1
        }
    }
}
