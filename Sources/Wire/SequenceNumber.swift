/// A TCP sequence number: a point on a circle of 2^32 (RFC 9293 section 3.4).
///
/// Order is only meaningful between numbers less than 2^31 apart, which is why the type is not `Comparable`:
/// the wrapping order is written here once and has names of its own.
public struct SequenceNumber: Hashable, Sendable, BitwiseCopyable {
    public var value: UInt32

    @inlinable @inline(__always)
    public init(_ value: UInt32) { self.value = value }

    /// Bytes from `other` to `self`, negative when `self` comes first.
    @inlinable @inline(__always)
    public func distance(from other: SequenceNumber) -> Int32 { Int32(bitPattern: value &- other.value) }

    @inlinable @inline(__always)
    public func isBefore(_ other: SequenceNumber) -> Bool { distance(from: other) < 0 }

    @inlinable @inline(__always)
    public func isAtOrBefore(_ other: SequenceNumber) -> Bool { distance(from: other) <= 0 }

    @inlinable @inline(__always)
    public func isAfter(_ other: SequenceNumber) -> Bool { distance(from: other) > 0 }

    @inlinable @inline(__always)
    public static func + (left: SequenceNumber, bytes: UInt32) -> SequenceNumber { .init(left.value &+ bytes) }

    @inlinable @inline(__always)
    public static func - (left: SequenceNumber, bytes: UInt32) -> SequenceNumber { .init(left.value &- bytes) }
}

extension SequenceNumber: CustomStringConvertible {
    public var description: String { String(value) }
}
