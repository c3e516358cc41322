/// The state of one TCP connection, as another server needs it to go on in the place of the first: what TRANSFER
/// carries and what adoption restores (US 9,338,192, columns 4 to 6; RFC 9293 section 3.3.1 for the names).
///
/// Of a flow of UDP datagrams only the key and the time to live mean anything.
///
/// "Server" is the side that the client dialled, whoever plays it.
public struct ConnectionState: Hashable, Sendable, BitwiseCopyable {
    public var key: FlowKey

    /// PSN: the sequence number of the request's first byte. At the first request the client's ISN is `psn - 1`.
    public var psn: SequenceNumber
    /// PAN: the next byte that the client expects of the server. At the first request the server's ISN is `pan - 1`.
    public var pan: SequenceNumber
    /// The client's last window, already scaled, in bytes.
    public var clientWindow: UInt32
    /// The right edge of the window that the server has promised to the client; never to be taken back.
    public var serverWindowEdge: SequenceNumber

    /// Options of the client's SYN and of the server's SYN/ACK.
    public var options: NegotiatedOptions

    /// The last TSval that the client has seen of the server (meaningful with `options.timestamps`).
    public var serverTimestamp: UInt32
    /// The last TSval of the client.
    public var clientTimestamp: UInt32
    /// Microseconds since `serverTimestamp` was seen; 0xFFFF_FFFF for "longer".
    public var timestampAgeMicroseconds: UInt32

    /// IP time to live or hop limit of the client's last packet, as received.
    public var timeToLive: UInt8

    @inlinable
    public init(
        key: FlowKey, psn: SequenceNumber, pan: SequenceNumber, clientWindow: UInt32, serverWindowEdge: SequenceNumber,
        options: NegotiatedOptions, serverTimestamp: UInt32 = 0, clientTimestamp: UInt32 = 0,
        timestampAgeMicroseconds: UInt32 = 0, timeToLive: UInt8 = 64
    ) {
        self.key = key
        self.psn = psn
        self.pan = pan
        self.clientWindow = clientWindow
        self.serverWindowEdge = serverWindowEdge
        self.options = options
        self.serverTimestamp = serverTimestamp
        self.clientTimestamp = clientTimestamp
        self.timestampAgeMicroseconds = timestampAgeMicroseconds
        self.timeToLive = timeToLive
    }
}

/// What a handshake agreed on.
public struct NegotiatedOptions: Hashable, Sendable, BitwiseCopyable {
    /// MSS of the client's SYN, in bytes; 536 (1,220 for IPv6) when it had none (RFC 9293 section 3.7.1).
    public var clientMSS: UInt16
    /// MSS of the server's SYN/ACK; 0 when the SYN/ACK was not seen.
    public var serverMSS: UInt16
    /// Shift of the client's windows, 0...14; meaningful with `windowScale` (RFC 7323 section 2).
    public var clientWindowScale: UInt8
    /// Shift of the server's windows.
    public var serverWindowScale: UInt8
    /// Both sides sent a window scale option.
    public var windowScale: Bool
    /// Both sides permitted SACK (RFC 2018).
    public var sack: Bool
    /// Both sides sent timestamps (RFC 7323 section 3).
    public var timestamps: Bool

    @inlinable
    public init(
        clientMSS: UInt16, serverMSS: UInt16, clientWindowScale: UInt8 = 0, serverWindowScale: UInt8 = 0,
        windowScale: Bool = false, sack: Bool = false, timestamps: Bool = false
    ) {
        self.clientMSS = clientMSS
        self.serverMSS = serverMSS
        self.clientWindowScale = clientWindowScale
        self.serverWindowScale = serverWindowScale
        self.windowScale = windowScale
        self.sack = sack
        self.timestamps = timestamps
    }
}
