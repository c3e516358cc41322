/// What a returned cookie says of the connection that it opens: all that the SYN and its answer agreed on.
public struct HandshakeState: Equatable, Sendable, BitwiseCopyable {
    public var clientISN: SequenceNumber
    /// The director's, in the server's name.
    public var serverISN: SequenceNumber
    /// `clientMSS` is what the client said, rounded down to a value that cookies carry.
    public var options: NegotiatedOptions
    /// Explicit congestion notification was agreed on.
    public var ecn: Bool
    /// The client's window in the segment that returned the cookie, scaled, in bytes.
    public var clientWindow: UInt32
    /// The window that the SYN/ACK promised, in bytes.
    public var serverWindow: UInt16
    /// The TSval that the SYN/ACK told. A server that goes on with TSvals of its own adds what lies between them to each;
    /// meaningful with `options.timestamps`, like the next.
    public var serverTimestamp: UInt32
    /// The TSval of the segment that returned the cookie.
    public var clientTimestamp: UInt32

    public init(
        clientISN: SequenceNumber, serverISN: SequenceNumber, options: NegotiatedOptions, ecn: Bool = false,
        clientWindow: UInt32, serverWindow: UInt16, serverTimestamp: UInt32 = 0, clientTimestamp: UInt32 = 0
    ) {
        self.clientISN = clientISN
        self.serverISN = serverISN
        self.options = options
        self.ecn = ecn
        self.clientWindow = clientWindow
        self.serverWindow = serverWindow
        self.serverTimestamp = serverTimestamp
        self.clientTimestamp = clientTimestamp
    }
}
