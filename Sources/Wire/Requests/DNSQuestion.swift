/// What a DNS query asks for (RFC 1035 section 4.1).
///
///     id 16 | flags 16 | four counts, 16 each | name, labels with their lengths | type 16 | class 16 | EDNS, optional
///
/// Read strictly: one question of the Internet's class in a standard query, its name uncompressed and of host-name
/// characters; beside it an OPT record (RFC 6891 section 6.1) at most. Everything else is the origin's.
public struct DNSQuestion: Equatable, Sendable {
    /// In lower case, with dots, without the last one: `www.example.org`.
    public var name: [UInt8]
    /// A, AAAA, …
    public var type: UInt16

    /// Bytes before the question.
    @inlinable public static var headerLength: Int { 12 }
    /// Longest name in the form of the wire (RFC 1035 section 2.3.4).
    @inlinable public static var maximumName: Int { 255 }

    public init?(_ query: UnsafeRawBufferPointer) {
        guard let base = query.baseAddress, Self.isQuery(query), base.wire16(4) == 1, base.wire32(6) == 0,
            base.wire16(10) <= 1
        else { return nil }
        guard let end = Self.nameEnd(query), query.count >= end + 4 else { return nil }
        name = []
        var position = Self.headerLength
        while query[position] != 0 {
            let label = query[(position + 1)...].prefix(Int(query[position]))
            guard label.allSatisfy({ $0.isHostNameCharacter && $0 != 0x2E }) else { return nil }
            if !name.isEmpty { name.append(0x2E) }
            name += label.map(\.lowercased)
            position += 1 + label.count
        }
        type = base.wire16(end)
        // Not for the root; not for transfers of zones (RFC 5936, RFC 1995), which have no place in one datagram.
        guard !name.isEmpty, base.wire16(end + 2) == 1, type != 251, type != 252 else { return nil }
        guard Self.isPlainEnd(query, from: end + 4, records: base.wire16(10)) else { return nil }
    }

    /// A standard query, whole, with a question: what a worker needs to know.
    @inlinable
    public static func isQuery(_ datagram: UnsafeRawBufferPointer) -> Bool {
        guard let base = datagram.baseAddress, datagram.count >= headerLength &+ 5 else { return false }
        // QR, opcode, TC and the response code are 0.
        return base.wire16(2) & 0xFA0F == 0
    }

    /// True when two queries ask about the same name, cased alike.
    @inlinable
    public static func haveSameName(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard let end = nameEnd(left), nameEnd(right) == end else { return false }
        var index = headerLength
        while index < end {
            if left[index] != right[index] { return false }
            index &+= 1
        }
        return true
    }

    /// Where the question's name ends, behind its last zero; nil when it is compressed, too long, or cut off.
    @inlinable
    static func nameEnd(_ query: UnsafeRawBufferPointer) -> Int? {
        var position = headerLength
        while position < query.count {
            let length = Int(query[position])
            if length == 0 { return position &+ 1 }
            guard length <= 63 else { return nil }
            position &+= 1 &+ length
            guard position &- headerLength < maximumName else { return nil }
        }
        return nil
    }

    /// Nothing follows the question, or one OPT record does: no signature (RFC 8945) that would be another server's.
    private static func isPlainEnd(_ query: UnsafeRawBufferPointer, from start: Int, records: UInt16) -> Bool {
        guard records == 1 else { return query.count == start }
        guard query.count >= start + 11, query[start] == 0, let base = query.baseAddress else { return false }
        return base.wire16(start + 1) == 41 && start + 11 + Int(base.wire16(start + 9)) == query.count
    }
}
