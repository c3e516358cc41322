/// The handshake bytes of a client's Initial packets: CRYPTO frames in any order, over several datagrams (RFC 9000
/// section 19.6), put together. Bounded in bytes and in gaps; linear in both.
public struct QUICHandshakeStream: Equatable, Sendable {
    /// Longest ClientHello that is read, as over TCP.
    public static var maximumLength: Int { TLSClientHelloReader.maximumLength }
    /// Pieces that may lie apart at once. Clients shuffle their hellos on purpose, into a dozen pieces or so.
    public static var maximumPieces: Int { 32 }

    /// All bytes up to the last one that came; zeros where none did.
    private var bytes: [UInt8] = []
    /// What has come, in order, with gaps between.
    private var pieces: [Range<Int>] = []

    public init() {}

    /// The bytes from the first on, without a gap.
    public var contiguous: ArraySlice<UInt8> {
        guard let first = pieces.first, first.lowerBound == 0 else { return [] }
        return bytes[first]
    }

    /// Reads the frames of a packet's payload. False for what a client that begins has no business to send, for what is
    /// said twice in two ways, and beyond the bounds.
    public mutating func take(frames payload: UnsafeRawBufferPointer) -> Bool {
        guard !payload.isEmpty else { return false }
        var reader = QUICReader(payload)
        while reader.remaining > 0 {
            guard let type = reader.readInteger() else { return false }
            switch type {
            // PADDING, PING
            case 0, 1: continue
            case 2, 3:
                guard Self.skipAcknowledgement(&reader, countsECN: type == 3) else { return false }
            case 6:
                guard let offset = reader.readInteger(), let length = reader.readInteger() else { return false }
                let start = reader.position
                guard reader.skip(length) else { return false }
                guard insert(UnsafeRawBufferPointer(rebasing: payload[start..<(start + length)]), at: offset) else {
                    return false
                }
            // CONNECTION_CLOSE, and what Initial packets may not have (RFC 9000 section 12.4).
            default: return false
            }
        }
        return true
    }

    /// RFC 9000 section 19.3: largest, delay, count of ranges, first range, the ranges, and three counts.
    private static func skipAcknowledgement(_ reader: inout QUICReader, countsECN: Bool) -> Bool {
        guard reader.readInteger() != nil, reader.readInteger() != nil, let count = reader.readInteger(),
            reader.readInteger() != nil, count <= reader.remaining
        else { return false }
        for _ in 0..<(2 * count + (countsECN ? 3 : 0)) where reader.readInteger() == nil { return false }
        return true
    }

    /// Puts a piece in its place.
    public mutating func insert(_ piece: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        guard offset <= Self.maximumLength, piece.count <= Self.maximumLength - offset else { return false }
        guard !piece.isEmpty else { return true }
        let range = offset..<(offset + piece.count)
        for known in pieces {
            let both = known.clamped(to: range)
            for index in both where bytes[index] != piece[index - offset] { return false }
        }
        if bytes.count < range.upperBound {
            bytes.append(contentsOf: repeatElement(0, count: range.upperBound - bytes.count))
        }
        bytes.replaceSubrange(range, with: piece)
        join(range)
        return pieces.count <= Self.maximumPieces
    }

    private mutating func join(_ range: Range<Int>) {
        var joined = range
        pieces.removeAll { piece in
            guard piece.lowerBound <= joined.upperBound, piece.upperBound >= joined.lowerBound else { return false }
            joined = min(piece.lowerBound, joined.lowerBound)..<max(piece.upperBound, joined.upperBound)
            return true
        }
        let place = pieces.firstIndex { $0.lowerBound > joined.lowerBound } ?? pieces.endIndex
        pieces.insert(joined, at: place)
    }
}
