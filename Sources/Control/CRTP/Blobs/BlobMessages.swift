/// One piece of a blob: bytes longer than a frame, carried reliably (`docs/crtp.md`, *Blobs*). Each piece says all that a
/// receiver needs to know of the whole, so that any of them may come first.
public struct BlobFragment: Equatable, Sendable {
    /// Most bytes in one fragment.
    public static var maximumBytes: Int { 1_216 }
    /// Most fragments of one blob: as many as a receipt's bitmap has bits.
    public static var maximumCount: Int { BlobReceipt.maximumBitmap * 8 }

    /// Given by who made the blob, random in its upper half; the same whoever sends it.
    public var blob: UInt64
    /// Of the whole blob, in bytes.
    public var length: UInt32
    /// CRC-32C of the whole blob.
    public var checksum: UInt32
    /// From 0.
    public var index: UInt16
    /// Fragments of the blob, 1...9,728: `length` divided by `fragmentBytes`, rounded up; 1 of an empty blob.
    public var count: UInt16
    /// Bytes of every fragment but the last, 1...1,216.
    public var fragmentBytes: UInt16
    public var bytes: [UInt8]

    public init(
        blob: UInt64, length: UInt32, checksum: UInt32, index: UInt16, count: UInt16, fragmentBytes: UInt16,
        bytes: [UInt8]
    ) {
        self.blob = blob
        self.length = length
        self.checksum = checksum
        self.index = index
        self.count = count
        self.fragmentBytes = fragmentBytes
        self.bytes = bytes
    }

    /// Its numbers agree with each other and with how many bytes it has. Anything else is malformed.
    public var isConsistent: Bool {
        guard fragmentBytes >= 1, fragmentBytes <= Self.maximumBytes, count <= Self.maximumCount, index < count else {
            return false
        }
        return Int(count) == Self.count(length: Int(length), fragmentBytes: Int(fragmentBytes))
            && bytes.count == Self.range(of: Int(index), length: Int(length), fragmentBytes: Int(fragmentBytes)).count
    }

    /// How many fragments `length` bytes make.
    static func count(length: Int, fragmentBytes: Int) -> Int { max(1, (length + fragmentBytes - 1) / fragmentBytes) }

    /// Where the bytes of a fragment lie in the blob; `index` is one of its fragments.
    static func range(of index: Int, length: Int, fragmentBytes: Int) -> Range<Int> {
        index * fragmentBytes..<min((index + 1) * fragmentBytes, length)
    }
}

/// How far a blob has come, in answer to a fragment.
public struct BlobReceipt: Equatable, Sendable {
    /// Most bytes of a bitmap.
    public static var maximumBitmap: Int { 1_216 }

    public enum State: Hashable, Sendable {
        case receiving
        /// All of it is there, and its checksum is right.
        case complete
        case refused(BlobRefusal)
    }

    public var blob: UInt64
    public var state: State
    /// Of the fragment that is answered; with the frame's attempt it tells the copy, and so the round trip.
    public var index: UInt16
    /// Fragment i has come if bit i % 8 (0 the least) of byte i / 8 is set; what lies behind the end has not. Empty
    /// unless `receiving`.
    public var bitmap: [UInt8]

    public init(blob: UInt64, state: State, index: UInt16, bitmap: [UInt8] = []) {
        self.blob = blob
        self.state = state
        self.index = index
        self.bitmap = bitmap
    }

    /// Fragment `index` has come.
    public func has(_ index: Int) -> Bool {
        index >= 0 && index / 8 < bitmap.count && bitmap[index / 8] & 1 << (index % 8) != 0
    }
}

/// Why a blob is not taken. Raw values are the wire's.
public enum BlobRefusal: UInt8, Hashable, Sendable, CaseIterable {
    /// The receiver holds as many, or as many bytes, as it may.
    case busy = 1
    case tooBig = 2
    /// All of it came, and was not what its checksum says; the sender may begin anew once.
    case checksum = 3
    /// What is in it cannot be read.
    case malformed = 4
    /// Nobody there waits for it.
    case unwanted = 5
}

/// Names a blob in TRANSFER.
public struct BlobReference: Hashable, Sendable {
    public var identifier: UInt64
    /// Bytes.
    public var length: UInt32
    /// CRC-32C of all of it.
    public var checksum: UInt32

    public init(identifier: UInt64, length: UInt32, checksum: UInt32) {
        self.identifier = identifier
        self.length = length
        self.checksum = checksum
    }

    /// Names `bytes`, which are at most `ConnectionBlob.longest`.
    public init(identifier: UInt64, of bytes: [UInt8]) {
        self.init(identifier: identifier, length: UInt32(truncatingIfNeeded: bytes.count), checksum: CRC32C.of(bytes))
    }
}

/// What a connection is called by the agent that has it, and how recent that is.
public struct FlowLabel: Hashable, Sendable {
    /// 24 bits, as a VXLAN network identifier (RFC 7348 section 5); 0 when the agent gives none.
    public let identifier: UInt32
    /// How often the connection has changed hands; of two agents that both have it, the higher one's is right.
    public var generation: UInt32

    /// Of `identifier` the lower 24 bits are kept.
    public init(identifier: UInt32, generation: UInt32) {
        self.identifier = identifier & 0xFF_FFFF
        self.generation = generation
    }
}
