/// Optional parts behind a body's fixed part:
/// ```
/// +-+-----------------------------+-------------------------------+
/// |C|            type             |            length             |
/// +-+-----------------------------+-------------------------------+
/// |  value, `length` bytes, then zeros up to a multiple of four  ...
/// ```
/// C: critical. Who does not know a critical type must refuse the message; others are skipped.
package enum TypeLengthValue: UInt16, Sendable, CaseIterable {
    /// First bytes of a request (critical).
    case request = 1
    /// What CHALLENGE brought (critical).
    case cookie = 2
    /// An agent's name, UTF-8.
    case name = 3
    case padding = 4
    /// A connection's name.
    case connection = 5
    /// What a rule asks of whoever serves.
    case requirements = 6
    /// Where a connection's state and data are (critical).
    case blob = 7
    /// What a connection is called by who has it.
    case flowLabel = 8
    /// The director's multicast group.
    case group = 9
    /// Bytes of a blob (critical).
    case fragment = 10
    /// Which fragments of a blob have come (critical).
    case received = 11
    /// Ids of the keys that the sender holds, a byte each.
    case keys = 13

    static var criticalBit: UInt16 { 0x8000 }

    /// Lies behind `bytes`, which must be a multiple of four long already.
    func append(_ value: some Collection<UInt8>, critical: Bool, to bytes: inout FrameWriter) {
        appendHead(value.count, critical: critical, to: &bytes)
        bytes.append(contentsOf: value)
        bytes.appendZeros(-value.count & 3)
    }

    /// Type and length; `count` bytes of value and zeros up to a multiple of four are to follow.
    func appendHead(_ count: Int, critical: Bool, to bytes: inout FrameWriter) {
        bytes.append16(rawValue | (critical ? Self.criticalBit : 0))
        bytes.append16(UInt16(count))
    }

    static func encodedLength(_ count: Int) -> Int { 4 + (count + 3) & ~3 }
}

/// Walks the parts; every step makes the rest shorter.
struct TypeLengthValueReader {
    enum Step {
        case end
        case value(type: UInt16, critical: Bool, start: Int, count: Int)
        case malformed
    }

    private let bytes: UnsafeRawBufferPointer
    private var offset: Int

    init(_ bytes: UnsafeRawBufferPointer, from offset: Int) {
        self.bytes = bytes
        self.offset = offset
    }

    mutating func next() -> Step {
        let left = bytes.count - offset
        if left == 0 { return .end }
        guard left >= 4 else { return .malformed }
        let type = bytes.load16(at: offset)
        let count = Int(bytes.load16(at: offset + 2))
        let start = offset + 4
        let end = start + (count + 3) & ~3
        guard end <= bytes.count else { return .malformed }
        for index in start + count..<end where bytes[index] != 0 { return .malformed }
        offset = end
        return .value(
            type: type & ~TypeLengthValue.criticalBit, critical: type & TypeLengthValue.criticalBit != 0, start: start,
            count: count)
    }
}
