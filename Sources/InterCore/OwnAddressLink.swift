public import Wire

/// The director's own address on the servers' side, and the frames that come to it and go from it, where the control
/// channel needs no kernel: workers receive and transmit, the control core's lcore makes and reads the frames. Made before
/// the worker starts.
public struct OwnAddressLink: Sendable {
    public let address: IPAddress
    /// The port's own, which nobody else on the wire has.
    public let mac: MACAddress
    /// Of all these frames; others are somebody else's.
    public let vlan: VLAN
    /// Frames for the control core, as they came.
    public let received: Ring<OwnFrame>
    /// Frames to be transmitted; told of by `WorkerCommand.transmitOwn`.
    public let waiting: Ring<OwnFrame>

    /// What a worker transmits for one command.
    @inlinable public static var framesOfOneCommand: Int { 64 }
    /// Longest frame: a whole one of Ethernet's usual size, with a tag.
    @inlinable public static var longestFrame: Int { 1_518 }

    /// - Parameter capacity: frames that may wait each way; more are lost, and counted.
    public init(_ address: IPAddress, at mac: MACAddress, vlan: VLAN = .untagged, capacity: Int = 1_024) {
        self.address = address
        self.mac = mac
        self.vlan = vlan
        received = Ring(capacity: capacity, payloadCapacity: Self.longestFrame)
        waiting = Ring(capacity: capacity, payloadCapacity: Self.longestFrame)
    }
}

/// The frame itself is the message's payload.
public struct OwnFrame: BitwiseCopyable, Sendable {
    public init() {}
}
