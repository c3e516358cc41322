/// A `Translation` in ten bytes, for those who keep many. The server's handshake was made with the client's own window scale,
/// as it is with its sequence number: the server has agreed to that, or to none.
public struct PackedTranslation: Hashable, Sendable, BitwiseCopyable {
    public var sequence: UInt32
    public var timestamp: UInt32
    /// The server's window scale: as it sends it in the lower four bits, as the client reads it in the upper ones.
    public var serverScales: UInt8
    /// `Translation.RemovedOptions` in the lower four bits; above them the client's window scale, if the server has none.
    public var others: UInt8

    @inlinable @inline(__always)
    public init(sequence: UInt32, timestamp: UInt32, serverScales: UInt8, others: UInt8) {
        self.sequence = sequence
        self.timestamp = timestamp
        self.serverScales = serverScales
        self.others = others
    }

    @inlinable
    public init(_ translation: Translation) {
        let (client, server) = (translation.clientWindow, translation.serverWindow)
        assert(client.read == client.sent || client.read == 0, "another scale than the client's own was replayed")
        self.init(
            sequence: translation.sequence, timestamp: translation.timestamp,
            serverScales: server.sent | server.read &<< 4,
            others: translation.removed.rawValue | (client.read == client.sent ? 0 : client.sent &<< 4))
    }

    @inlinable @inline(__always)
    public var translation: Translation {
        Translation(
            sequence: sequence, timestamp: timestamp, clientWindow: WindowScaling(known: others &>> 4, 0),
            serverWindow: WindowScaling(known: serverScales & 15, serverScales &>> 4),
            removed: Translation.RemovedOptions(rawValue: others & 15))
    }
}
