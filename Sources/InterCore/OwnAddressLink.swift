public import Wire

/// The director's own address on the servers' side, and the frames that come to it and go from it, where the control
/// channel needs no kernel: workers receive and transmit, the control core's lcore makes and reads the frames. Made before
/// the worker starts.
public struct OwnAddressLink: Sendable {
    public let address: IPAddress
    /// The port's own, which nobody else on the wire has.
    public let mac: MACAddress
    /// Frames for the control core, as they came.
    public let received: Ring<OwnFrame>
    /// Frames to be transmitted; told of by `WorkerCommand.transmitOwn`.
    public let waiting: Ring<OwnFrame>

    /// Longest frame: a whole one of Ethernet's usual size, with a tag.
    @inlinable public static var longestFrame: Int { 1_518 }

    /// - Parameter capacity: frames that may wait each way; more are lost, and counted.
    public init(_ address: IPAddress, at mac: MACAddress, capacity: Int = 1_024) {
        self.address = address
        self.mac = mac
        received = Ring(capacity: capacity, payloadCapacity: Self.longestFrame)
        waiting = Ring(capacity: capacity, payloadCapacity: Self.longestFrame)
    }
}

/// The frame itself is the message's payload.
public struct OwnFrame: BitwiseCopyable, Sendable {
    public init() {}
}
