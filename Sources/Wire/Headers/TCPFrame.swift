/// A TCP segment without payload, in a frame of its own: a reset, an acknowledgement, a SYN.
public struct TCPFrame: BitwiseCopyable, Sendable {
    public var source: Endpoint
    public var destination: Endpoint
    public var sourceMAC: MACAddress
    public var destinationMAC: MACAddress
    public var vlan: VLAN
    public var hops: UInt8
    public var flags: TCPFlags
    public var sequence: SequenceNumber
    /// Meaningful with ACK.
    public var acknowledgement: SequenceNumber
    /// As it is written, whatever the scale.
    public var window: UInt16
    /// Those that are to be written.
    public var options: TCPOptions

    /// Both addresses must be of one family.
    @inlinable
    public init(
        from source: Endpoint, at sourceMAC: MACAddress, to destination: Endpoint, at destinationMAC: MACAddress,
        vlan: VLAN, hops: UInt8 = 64, flags: TCPFlags, sequence: SequenceNumber,
        acknowledgement: SequenceNumber = SequenceNumber(0), window: UInt16 = 0, options: TCPOptions = TCPOptions()
    ) {
        self.source = source
        self.destination = destination
        self.sourceMAC = sourceMAC
        self.destinationMAC = destinationMAC
        self.vlan = vlan
        self.hops = hops
        self.flags = flags
        self.sequence = sequence
        self.acknowledgement = acknowledgement
        self.window = window
        self.options = options
    }

    private var isV6: Bool { !source.address.isV4 }
    private var network: Int { vlan.isTagged ? 18 : 14 }
    private var transport: Int { network &+ (isV6 ? 40 : 20) }

    /// Bytes of options, whole words.
    private var optionsLength: Int {
        (options.maximumSegmentSize != 0 ? 4 : 0) &+ (options.sackPermitted ? 4 : 0)
            &+ (options.hasTimestamps ? 12 : 0) &+ (options.windowScale != 0xFF ? 4 : 0)
    }

    /// Bytes of the frame; Ethernet's least frame at least, so that no port has to pad.
    public var length: Int { max(transport &+ 20 &+ optionsLength, 60) }

    /// Writes it to `frame`, which has `length` bytes.
    public func write(to frame: UnsafeMutableRawPointer) {
        var index = 0
        let (end, segment) = (length, 20 &+ optionsLength)
        while index < end {
            frame.setWire8(index, 0)
            index &+= 1
        }
        _ = frame.setEthernet(from: sourceMAC, to: destinationMAC, vlan: vlan, type: isV6 ? 0x86DD : 0x0800)
        if isV6 {
            frame.setIPv6(
                network, from: source.address, to: destination.address, next: 6, length: segment, hops: hops)
        } else {
            frame.setIPv4(
                network, from: source.address, to: destination.address, protocol: 6, length: segment, hops: hops)
        }
        let tcp = frame + transport
        tcp.setWire16(0, source.port)
        tcp.setWire16(2, destination.port)
        tcp.setWire32(4, sequence.value)
        tcp.setWire32(8, flags.contains(.ack) ? acknowledgement.value : 0)
        tcp.setWire8(12, UInt8(truncatingIfNeeded: segment &<< 2))
        tcp.setWire8(13, flags.rawValue)
        tcp.setWire16(14, window)
        writeOptions(tcp + 20)
        tcp.setWire16(16, PacketLayout(of: frame, length: length).computedChecksum(UnsafeRawPointer(frame)))
    }

    /// Each in words of its own, with NOP before it.
    private func writeOptions(_ start: UnsafeMutableRawPointer) {
        var offset = 0
        if options.maximumSegmentSize != 0 {
            start.setWire32(offset, 0x0204_0000 | UInt32(options.maximumSegmentSize))
            offset &+= 4
        }
        if options.sackPermitted {
            start.setWire32(offset, 0x0101_0402)
            offset &+= 4
        }
        if options.hasTimestamps {
            start.setWire32(offset, 0x0101_080A)
            start.setWire32(offset &+ 4, options.timestampValue)
            start.setWire32(offset &+ 8, options.timestampEcho)
            offset &+= 12
        }
        if options.windowScale != 0xFF { start.setWire32(offset, 0x0103_0300 | UInt32(options.windowScale)) }
    }
}
