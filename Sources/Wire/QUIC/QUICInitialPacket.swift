/// Where the parts of an Initial packet lie (RFC 9000 section 17.2.2), as far as they can be told before its header
/// protection is taken off.
///
///     long header | token length | token | length | packet number and payload, `length` bytes together
public struct QUICInitialPacket: Equatable, Sendable {
    public let header: QUICLongHeader
    /// Start of the packet number; all before it, and the number itself, is authenticated.
    public let number: Int
    /// End of the packet: in the same datagram another one may follow.
    public let end: Int

    /// Least bytes from the packet number on: its longest form and a sample of what follows (RFC 9001 section 5.4.2).
    public static var leastProtected: Int { 20 }

    /// Nil for any other packet, and for one that is not whole.
    public init?(_ packet: UnsafeRawBufferPointer) {
        guard let header = QUICLongHeader(packet), header.isInitial else { return nil }
        var reader = QUICReader(packet, from: header.end)
        guard let tokenLength = reader.readInteger(), reader.skip(tokenLength), let length = reader.readInteger(),
            length >= Self.leastProtected, length <= reader.remaining
        else { return nil }
        self.header = header
        number = reader.position
        end = reader.position + length
    }
}

/// Variable-length integers (RFC 9000 section 16), and never beyond the end.
struct QUICReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position: Int

    init(_ bytes: UnsafeRawBufferPointer, from position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    var remaining: Int { bytes.count - position }

    /// Nil at the end. Numbers that no length can be are as good as none: at most 2^62 - 1 fits an `Int`.
    mutating func readInteger() -> Int? {
        guard remaining >= 1 else { return nil }
        let first = bytes[position]
        let length = 1 << Int(first >> 6)
        guard remaining >= length else { return nil }
        var value = Int(first & 0x3F)
        for byte in bytes[(position + 1)..<(position + length)] { value = value << 8 | Int(byte) }
        position += length
        return value
    }

    mutating func skip(_ count: Int) -> Bool {
        guard count <= remaining else { return false }
        position += count
        return true
    }
}
