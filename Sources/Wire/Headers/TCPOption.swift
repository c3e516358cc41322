/// One option of a TCP header: where it lies, counted from the header's first byte.
public struct TCPOption: Sendable, BitwiseCopyable {
    public let kind: UInt8
    public let offset: Int
    /// Kind and length bytes included: 2 at least.
    public let length: Int

    @inlinable @inline(__always)
    init(kind: UInt8, offset: Int, length: Int) {
        self.kind = kind
        self.offset = offset
        self.length = length
    }

    /// Two numbers of four bytes (RFC 7323 section 3.2).
    @inlinable @inline(__always)
    public var isTimestamps: Bool { kind == TCPOptionKind.timestamps && length == 10 }

    /// Blocks of two edges, four bytes each (RFC 2018 section 3).
    @inlinable @inline(__always)
    public var isSACK: Bool { kind == TCPOptionKind.sack && length & 7 == 2 }
}

/// Goes from one option of a header to the next (RFC 9293 section 3.1). What it gives lies within the header; END and NOP
/// are not given.
public struct TCPOptionCursor: BitwiseCopyable {
    @usableFromInline let base: UnsafeRawPointer
    @usableFromInline let end: Int
    @usableFromInline var offset = 20
    /// An option's length does not fit: nothing behind it is given.
    public var isMalformed = false

    /// - Parameter end: bytes of the header that may be read.
    @inlinable @inline(__always)
    public init(_ base: UnsafeRawPointer, end: Int) {
        self.base = base
        self.end = end
    }

    /// Nil behind the last one. At most 40 steps for all of them together.
    @inlinable
    public mutating func next() -> TCPOption? {
        while offset < end {
            let kind = base.wire8(offset)
            if kind == TCPOptionKind.end { break }
            guard kind != TCPOptionKind.noOperation else {
                offset &+= 1
                continue
            }
            let start = offset
            let length = start &+ 2 <= end ? Int(base.wire8(start &+ 1)) : 0
            guard length >= 2, start &+ length <= end else {
                isMalformed = true
                break
            }
            offset = start &+ length
            return TCPOption(kind: kind, offset: start, length: length)
        }
        offset = end
        return nil
    }
}
