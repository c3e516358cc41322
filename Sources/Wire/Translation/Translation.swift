/// What differs between a connection as its client has it and as its server has it, when each shook hands with somebody
/// else: a client that was told one initial sequence number, clock and set of options, and a server that chose others.
/// It never changes while the connection lasts.
///
/// The server's handshake was made with the client's own initial sequence number and timestamps, so the client's numbers
/// are the same on both sides and only the server's are shifted: in its segments the sequence number and TSval, in the
/// client's what answers them, acknowledgement number, SACK blocks and TSecr.
///
///     client's view   seq 9000, TSval 70          ack 9100, SACK 9200-9300, TSecr 70
///                         ▲ + 8000, + 50              │ - 8000, - 50
///     server's view   seq 1000, TSval 20          ack 1100, SACK 1200-1300, TSecr 20
public struct Translation: Hashable, Sendable, BitwiseCopyable {
    /// The client's view of the server's sequence numbers minus the server's own.
    public let sequence: UInt32
    /// The same of the server's timestamps.
    public let timestamp: UInt32
    public let clientWindow: WindowScaling
    public let serverWindow: WindowScaling
    /// Options that one side sends and the other has not agreed to.
    public let removed: RemovedOptions

    /// A connection as one side has it.
    public struct View: Hashable, Sendable, BitwiseCopyable {
        /// Any one byte of the server's stream, the same in both views: the ISS, for one.
        public var serverSequence: SequenceNumber
        /// The server's TSval at any one moment, the same in both views: that of the SYN/ACK, for one. Later ones must
        /// not come out lower, or the client drops segments as old (RFC 7323 section 5).
        public var serverTimestamp: UInt32
        /// What this side's handshake agreed on.
        public var options: NegotiatedOptions

        @inlinable
        public init(serverSequence: SequenceNumber, serverTimestamp: UInt32 = 0, options: NegotiatedOptions) {
            self.serverSequence = serverSequence
            self.serverTimestamp = serverTimestamp
            self.options = options
        }
    }

    @inlinable @inline(__always)
    init(
        sequence: UInt32, timestamp: UInt32, clientWindow: WindowScaling, serverWindow: WindowScaling,
        removed: RemovedOptions
    ) {
        self.sequence = sequence
        self.timestamp = timestamp
        self.clientWindow = clientWindow
        self.serverWindow = serverWindow
        self.removed = removed
    }

    /// - Parameters:
    ///   - client: what the client was told.
    ///   - server: what the server answered.
    public init(client: View, server: View) {
        sequence = client.serverSequence.value &- server.serverSequence.value
        timestamp = client.serverTimestamp &- server.serverTimestamp
        let (told, agreed) = (client.options, server.options)
        clientWindow = WindowScaling(
            sent: told.windowScale ? told.clientWindowScale : 0,
            read: agreed.windowScale ? agreed.clientWindowScale : 0)
        serverWindow = WindowScaling(
            sent: agreed.windowScale ? agreed.serverWindowScale : 0,
            read: told.windowScale ? told.serverWindowScale : 0)
        var removed: RemovedOptions = []
        if told.sack, !agreed.sack { removed.insert(.sackToServer) }
        if agreed.sack, !told.sack { removed.insert(.sackToClient) }
        if told.timestamps, !agreed.timestamps { removed.insert(.timestampsToServer) }
        if agreed.timestamps, !told.timestamps { removed.insert(.timestampsToClient) }
        self.removed = removed
    }

    /// What is blanked on the way. Nothing can be inserted: a side that was promised timestamps and gets none may drop
    /// every segment (RFC 7323 section 3.2), so whoever answers for a server must not promise what it will not do.
    public struct RemovedOptions: OptionSet, Hashable, Sendable, BitwiseCopyable {
        public let rawValue: UInt8
        @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

        @inlinable public static var sackToServer: RemovedOptions { .init(rawValue: 1) }
        @inlinable public static var timestampsToServer: RemovedOptions { .init(rawValue: 2) }
        @inlinable public static var sackToClient: RemovedOptions { .init(rawValue: 4) }
        @inlinable public static var timestampsToClient: RemovedOptions { .init(rawValue: 8) }
    }
}

// MARK: both ways

extension Translation {
    /// Makes a server's segment the client's view, in place, or an ICMP error from the server's side that quotes a
    /// client's segment. Checksums follow; a wrong one stays wrong. Addresses and ports are `FlowKey.readdress`.
    ///
    /// False, and nothing changed, when the segment's options are malformed or when it is neither: the caller counts.
    @inlinable
    public func toClient(_ frame: UnsafeMutableRawPointer, _ layout: PacketLayout) -> Bool {
        switch layout.kind {
        case .tcp: return serverShift.apply(toSegment: frame + Int(layout.transport))
        case .icmpError:
            clientShift.inverse.apply(toQuoteOf: frame, layout)
            return true
        case .udp, .fragment, .other: return false
        }
    }

    /// Makes a client's segment the server's view, or an ICMP error from the client's side that quotes a server's
    /// segment; as `toClient`.
    @inlinable
    public func toServer(_ frame: UnsafeMutableRawPointer, _ layout: PacketLayout) -> Bool {
        switch layout.kind {
        case .tcp: return clientShift.apply(toSegment: frame + Int(layout.transport))
        case .icmpError:
            serverShift.inverse.apply(toQuoteOf: frame, layout)
            return true
        case .udp, .fragment, .other: return false
        }
    }

    /// What happens to a server's segment.
    @inlinable @inline(__always)
    var serverShift: SegmentShift {
        SegmentShift(
            sequence: sequence, timestamp: timestamp, window: serverWindow,
            removesSACK: removed.contains(.sackToClient), removesTimestamps: removed.contains(.timestampsToClient))
    }

    /// What happens to a client's.
    @inlinable @inline(__always)
    var clientShift: SegmentShift {
        SegmentShift(
            acknowledgement: 0 &- sequence, echo: 0 &- timestamp, window: clientWindow,
            removesSACK: removed.contains(.sackToServer), removesTimestamps: removed.contains(.timestampsToServer))
    }
}
