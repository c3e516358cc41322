/// The Internet checksum (RFC 1071): a one's complement sum of 16-bit words, kept in 64 bits until it is folded.
///
/// All sums here are over bytes in memory order taken as little-endian words; the sum is indifferent to byte order as
/// long as everything agrees (RFC 1071 section 2B), and `stored` swaps where a field is read or written.
public struct InternetChecksum: Sendable, BitwiseCopyable {
    @usableFromInline var sum: UInt64 = 0

    @inlinable @inline(__always)
    public init() {}

    /// Adds bytes that start at an even offset of what is summed.
    @inlinable
    public mutating func add(_ bytes: UnsafeRawPointer, count: Int) {
        var offset = 0
        var total: UInt64 = 0
        while offset &+ 4 <= count {
            total &+= UInt64(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            offset &+= 4
        }
        if offset &+ 2 <= count {
            total &+= UInt64(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
            offset &+= 2
        }
        if offset < count { total &+= UInt64(bytes.load(fromByteOffset: offset, as: UInt8.self)) }
        sum &+= total
    }

    /// Adds one 16-bit word given as a number.
    @inlinable @inline(__always)
    public mutating func add(word: UInt16) { sum &+= UInt64(word.byteSwapped) }

    /// Adds two words, given as one number.
    @inlinable @inline(__always)
    public mutating func add(pair: UInt32) { sum &+= UInt64(pair.byteSwapped) }

    /// The one's complement of the folded sum, as the field's value.
    @inlinable
    public var value: UInt16 { ~folded.byteSwapped }

    /// The sum in 16 bits, in memory order.
    @inlinable
    var folded: UInt16 { sum.folded }

    /// True when the sum over data and its checksum field comes out right.
    @inlinable
    public var isValid: Bool { folded == 0xFFFF }
}

/// What changed under a checksum, to be put right in one step: HC' = ~(~HC + ~m + m' + ~n + n' + …) (RFC 1624 equation 3).
/// Keeps a wrong checksum wrong.
public struct ChecksumChange: Sendable, BitwiseCopyable {
    // 2^16 is 1 here, so a 32-bit field counts as it is, and folding at the end makes two words of it.
    @usableFromInline var sum: UInt64 = 0

    @inlinable @inline(__always)
    public init() {}

    /// - Parameter isOdd: the field starts at an odd offset of what is summed, so its bytes count the other way round.
    @inlinable @inline(__always)
    public mutating func replace(_ old: UInt32, with new: UInt32, isOdd: Bool = false) {
        let (before, after) = isOdd ? (old.byteSwapped, new.byteSwapped) : (old, new)
        sum &+= UInt64(~before) &+ UInt64(after)
    }

    @inlinable @inline(__always)
    public mutating func replace(_ old: UInt16, with new: UInt16, isOdd: Bool = false) {
        let (before, after) = isOdd ? (old.byteSwapped, new.byteSwapped) : (old, new)
        sum &+= UInt64(~before) &+ UInt64(after)
    }

    @inlinable @inline(__always)
    public mutating func replace(_ old: UInt8, with new: UInt8, isOdd: Bool = false) {
        // The other byte of its word stays, whatever it is.
        let shift: UInt16 = isOdd ? 0 : 8
        replace(UInt16(old) &<< shift, with: UInt16(new) &<< shift)
    }

    @inlinable @inline(__always)
    public static func + (left: ChecksumChange, right: ChecksumChange) -> ChecksumChange {
        var both = left
        both.sum &+= right.sum
        return both
    }

    /// The one's complement sum of all changes: 1...0xFFFF when there was any.
    @inlinable
    var folded: UInt16 { sum.folded }

    /// The checksum that was `checksum` before.
    @inlinable @inline(__always)
    public func applied(to checksum: UInt16) -> UInt16 {
        ~(sum &+ UInt64(~checksum)).folded
    }
}

extension UInt64 {
    /// The one's complement sum of its four words. Halves that are added to each other in both orders at once leave their
    /// carry where it belongs.
    @inlinable @inline(__always)
    var folded: UInt16 {
        let half = UInt32(truncatingIfNeeded: (self &+ (self &>> 32 | self &<< 32)) &>> 32)
        return UInt16(truncatingIfNeeded: (half &+ (half &>> 16 | half &<< 16)) &>> 16)
    }
}

/// A checksum field after one 16-bit word under it changed.
@inlinable
public func updatedChecksum(_ checksum: UInt16, replacing old: UInt16, with new: UInt16, isOdd: Bool = false) -> UInt16
{
    var change = ChecksumChange()
    change.replace(old, with: new, isOdd: isOdd)
    return change.applied(to: checksum)
}

/// The same for a 32-bit field.
@inlinable
public func updatedChecksum(_ checksum: UInt16, replacing old: UInt32, with new: UInt32, isOdd: Bool = false) -> UInt16
{
    var change = ChecksumChange()
    change.replace(old, with: new, isOdd: isOdd)
    return change.applied(to: checksum)
}
