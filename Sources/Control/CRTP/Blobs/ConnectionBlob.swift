public import Wire

/// A connection in the middle of its life, as one server gives it to another: its state, the data of both directions, and
/// how an answer that is under way goes on. `docs/crtp.md` has the bytes (*A connection in a blob*).
public struct ConnectionBlob: Equatable, Sendable {
    /// Longest blob: bytes.
    public static var longest: Int { 1 << 20 | 64 << 10 }
    public static var version: UInt16 { 1 }

    /// `psn` is the sequence number of the first byte of `received`, so that the client's next new byte has
    /// `psn + received.count`. `pan` is that of the first byte of `sent`, and so the lowest that the client may not have;
    /// the next byte to be sent for the first time has `pan + sent.count`, and is the first of `unsent`.
    public var connection: ConnectionState
    /// The client's bytes that have been acknowledged, and that the application has not answered yet.
    public var received: [UInt8]
    /// Given to the network, and not acknowledged.
    public var sent: [UInt8]
    /// Written by the server, and not given to the network yet.
    public var unsent: [UInt8]
    /// How often the connection has changed hands, this time included.
    public var generation: UInt32
    /// The answer that is under way; nil between answers.
    public var continuation: Continuation?

    public init(
        connection: ConnectionState, received: [UInt8] = [], sent: [UInt8] = [], unsent: [UInt8] = [],
        generation: UInt32 = 0, continuation: Continuation? = nil
    ) {
        self.connection = connection
        self.received = received
        self.sent = sent
        self.unsent = unsent
        self.generation = generation
        self.continuation = continuation
    }
}

/// Where an answer goes on, and how whoever goes on with it knows that he has the same document.
public struct Continuation: Equatable, Sendable {
    /// Most bytes of an entity tag.
    public static var maximumEntityTag: Int { 255 }
    /// Bytes of SHA-256.
    public static var digestLength: Int { 32 }
    /// Most bytes that `digest` is of.
    public static var maximumDigestBytes: UInt32 { 65_536 }

    /// Head of the request that is being answered, as it came.
    public var request: [UInt8]
    /// Of the answer's body: what is acknowledged, in `sent` or in `unsent`.
    public var bodyBytesWritten: UInt64
    /// Of the whole document.
    public var documentBytes: UInt64
    /// Where in the document the answer goes on: bytes before it.
    public var place: UInt64
    /// When the document last changed: seconds since 1970.
    public var modified: Int64
    /// As the answer's head has it, at most 255 bytes of UTF-8; empty where it has none.
    public var entityTag: String
    /// SHA-256 of the `digestBytes` bytes of the document before `place`; 32 bytes.
    public var digest: [UInt8]
    /// 0...65,536.
    public var digestBytes: UInt32

    public init(
        request: [UInt8], bodyBytesWritten: UInt64, documentBytes: UInt64, place: UInt64, modified: Int64,
        entityTag: String,
        digest: [UInt8], digestBytes: UInt32
    ) {
        self.request = request
        self.bodyBytesWritten = bodyBytesWritten
        self.documentBytes = documentBytes
        self.place = place
        self.modified = modified
        self.entityTag = entityTag
        self.digest = digest
        self.digestBytes = digestBytes
    }
}

/// Why bytes are no connection.
public enum BlobProblem: Error, Equatable, Sendable {
    /// Shorter than its first 16 bytes.
    case tooShort
    case badMagic
    /// One that this implementation does not know: a later one, mostly.
    case unknownVersion(UInt16)
    /// It says another length than it has.
    case badLength
    /// A section that does not end within the blob, that comes twice, whose padding is not zero, or that is critical and
    /// unknown.
    case badSection
    /// The connection's state is missing, or says what cannot be.
    case badConnection
    /// The answer under way says what cannot be.
    case badContinuation
}
