import Wire

// To bytes and back:
// ```
// "BTNC"   version  reserved     length   generation     sections: C, type  reserved   length   value, zeros to 4
// 0+4      4+2      6+2          8+4      12+4           0+2                2+2        4+4      8+…
// ```
extension ConnectionBlob {
    private static var magic: UInt32 { 0x4254_4E43 }
    private static var headByteCount: Int { 16 }
    private static var sectionHeadByteCount: Int { 8 }

    private enum Section: UInt16 {
        case connection = 1
        case received = 2
        case sent = 3
        case unsent = 4
        case continuation = 5

        static var criticalBit: UInt16 { 0x8000 }
    }

    private static func padded(_ count: Int) -> Int { (count + 3) & ~3 }

    // MARK: to bytes

    /// Bytes that `encode` makes.
    public var byteCount: Int {
        var values = [MessageCodec.connectionStateByteCount]
        values += [received, sent, unsent].map(\.count).filter { $0 > 0 }
        if let continuation { values.append(continuation.byteCount) }
        return values.reduce(Self.headByteCount) { $0 + Self.sectionHeadByteCount + Self.padded($1) }
    }

    /// Total: an entity tag that is too long is cut, a digest gets the length that it must have. Sections without a byte
    /// are left out. What is longer than `longest` no sender accepts.
    public func encode() -> [UInt8] {
        FrameWriter.bytes(capacity: byteCount) { bytes in
            bytes.append32(Self.magic)
            bytes.append16(Self.version)
            bytes.append16(0)
            bytes.append32(UInt32(truncatingIfNeeded: byteCount))
            bytes.append32(generation)
            Self.begin(.connection, MessageCodec.connectionStateByteCount, in: &bytes)
            MessageCodec.encode(connection, protocol: FlowProtocol.tcp, into: &bytes)
            for (section, data) in [(Section.received, received), (.sent, sent), (.unsent, unsent)]
            where !data.isEmpty {
                Self.begin(section, data.count, in: &bytes)
                bytes.append(contentsOf: data)
                bytes.appendZeros(-data.count & 3)
            }
            if let continuation {
                Self.begin(.continuation, continuation.byteCount, in: &bytes)
                continuation.encode(into: &bytes)
                bytes.appendZeros(-continuation.byteCount & 3)
            }
        }
    }

    /// All of today's sections are critical: who goes on without one of them sends the client something else.
    private static func begin(_ section: Section, _ count: Int, in bytes: inout FrameWriter) {
        bytes.append16(section.rawValue | Section.criticalBit)
        bytes.append16(0)
        bytes.append32(UInt32(truncatingIfNeeded: count))
    }

    // MARK: from bytes

    /// Reads what `encode` has made, here or by another implementation. Total, and takes no more memory than `bytes` has.
    public init(decoding bytes: [UInt8]) throws(BlobProblem) {
        let decoded = bytes.withUnsafeBytes { buffer in
            Result { () throws(BlobProblem) in try Self.decode(buffer) }
        }
        self = try decoded.get()
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer) throws(BlobProblem) -> ConnectionBlob {
        guard bytes.count >= headByteCount else { throw .tooShort }
        guard bytes.load32(at: 0) == magic else { throw .badMagic }
        guard bytes.load16(at: 4) == version else { throw .unknownVersion(bytes.load16(at: 4)) }
        guard Int(bytes.load32(at: 8)) == bytes.count else { throw .badLength }
        var sections: [Section: Range<Int>] = [:]
        var offset = headByteCount
        while offset < bytes.count {
            guard let section = next(bytes, &offset) else { throw .badSection }
            guard let known = Section(rawValue: section.type & ~Section.criticalBit) else {
                guard section.type & Section.criticalBit == 0 else { throw .badSection }
                continue
            }
            guard sections.updateValue(section.range, forKey: known) == nil else { throw .badSection }
        }
        func data(_ section: Section) -> [UInt8] {
            sections[section].map { bytes.loadBytes(at: $0.lowerBound, count: $0.count) } ?? []
        }
        guard let place = sections[.connection], place.count == MessageCodec.connectionStateByteCount,
            let connection = decodeConnection(UnsafeRawBufferPointer(rebasing: bytes[place]))
        else { throw .badConnection }
        var blob = ConnectionBlob(
            connection: connection, received: data(.received), sent: data(.sent), unsent: data(.unsent),
            generation: bytes.load32(at: 12))
        if let place = sections[.continuation] {
            blob.continuation = Continuation(decoding: UnsafeRawBufferPointer(rebasing: bytes[place]))
            guard blob.continuation != nil else { throw .badContinuation }
        }
        return blob
    }

    /// The section that begins at `offset`, which is moved behind it; nil when it does not end within the bytes, or its
    /// padding is not zero.
    private static func next(
        _ bytes: UnsafeRawBufferPointer, _ offset: inout Int
    ) -> (type: UInt16, range: Range<Int>)? {
        let left = bytes.count - offset
        guard left >= sectionHeadByteCount else { return nil }
        let count = Int(bytes.load32(at: offset + 4))
        guard padded(count) <= left - sectionHeadByteCount else { return nil }
        let start = offset + sectionHeadByteCount
        let end = start + padded(count)
        for index in start + count..<end where bytes[index] != 0 { return nil }
        let type = bytes.load16(at: offset)
        offset = end
        return (type, start..<start + count)
    }

    /// Of TCP.
    private static func decodeConnection(_ bytes: UnsafeRawBufferPointer) -> ConnectionState? {
        guard bytes[38] == FlowProtocol.tcp else { return nil }
        return MessageCodec.decodeConnectionState(bytes)
    }
}

extension Continuation {
    /// Before entity tag and request.
    private static var fixedByteCount: Int { 72 }

    fileprivate var byteCount: Int { Self.fixedByteCount + shortenedTag.count + request.count }

    /// As many whole characters as fit.
    private var shortenedTag: [UInt8] {
        var bytes: [UInt8] = []
        for character in entityTag {
            guard bytes.count + character.utf8.count <= Self.maximumEntityTag else { break }
            bytes.append(contentsOf: character.utf8)
        }
        return bytes
    }

    fileprivate func encode(into bytes: inout FrameWriter) {
        let tag = shortenedTag
        bytes.append64(bodyBytesWritten)
        bytes.append64(documentBytes)
        bytes.append64(place)
        bytes.append64(UInt64(bitPattern: modified))
        bytes.append32(min(digestBytes, Self.maximumDigestBytes))
        bytes.append(UInt8(tag.count))
        bytes.appendZeros(3)
        bytes.append(digest, paddedTo: Self.digestLength)
        bytes.append(contentsOf: tag)
        bytes.append(contentsOf: request)
    }

    fileprivate init?(decoding bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= Self.fixedByteCount, bytes.load32(at: 32) <= Self.maximumDigestBytes else { return nil }
        let requestStart = Self.fixedByteCount + Int(bytes[36])
        guard requestStart <= bytes.count,
            let tag = String(validating: bytes[Self.fixedByteCount..<requestStart], as: UTF8.self)
        else { return nil }
        self.init(
            request: bytes.loadBytes(at: requestStart, count: bytes.count - requestStart),
            bodyBytesWritten: bytes.load64(at: 0), documentBytes: bytes.load64(at: 8),
            place: bytes.load64(at: 16), modified: Int64(bitPattern: bytes.load64(at: 24)), entityTag: tag,
            digest: bytes.loadBytes(at: 40, count: Self.digestLength), digestBytes: bytes.load32(at: 32))
    }
}
