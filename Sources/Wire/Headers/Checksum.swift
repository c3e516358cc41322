/// The Internet checksum (RFC 1071): a one's complement sum of 16-bit words, kept in 64 bits until it is folded.
///
/// All sums here are over bytes in memory order taken as little-endian words; the sum is indifferent to byte order as
/// long as everything agrees (RFC 1071 section 2B), and `stored` swaps where a field is read or written.
public struct InternetChecksum: Sendable {
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

    /// The one's complement of the folded sum, as the field's value.
    @inlinable
    public var value: UInt16 { ~folded.byteSwapped }

    /// The sum in 16 bits, in memory order.
    @inlinable
    var folded: UInt16 {
        var folded = (sum & 0xFFFF_FFFF) &+ (sum >> 32)
        folded = (folded & 0xFFFF_FFFF) &+ (folded >> 32)
        folded = (folded & 0xFFFF) &+ (folded >> 16)
        folded = (folded & 0xFFFF) &+ (folded >> 16)
        folded = (folded & 0xFFFF) &+ (folded >> 16)
        return UInt16(truncatingIfNeeded: folded)
    }

    /// True when the sum over data and its checksum field comes out right.
    @inlinable
    public var isValid: Bool { folded == 0xFFFF }
}

/// A checksum field after a 16-bit word under it changed: HC' = ~(~HC + ~m + m') (RFC 1624 equation 3). Keeps a wrong
/// checksum wrong.
///
/// - Parameter isOdd: the word starts at an odd offset of the sum, so its bytes count the other way round.
@inlinable
public func updatedChecksum(_ checksum: UInt16, replacing old: UInt16, with new: UInt16, isOdd: Bool = false) -> UInt16
{
    let before = isOdd ? old.byteSwapped : old
    let after = isOdd ? new.byteSwapped : new
    var sum = UInt32(~checksum) &+ UInt32(~before) &+ UInt32(after)
    sum = (sum & 0xFFFF) &+ (sum >> 16)
    sum = (sum & 0xFFFF) &+ (sum >> 16)
    return ~UInt16(truncatingIfNeeded: sum)
}

/// The same for a 32-bit field.
@inlinable
public func updatedChecksum(_ checksum: UInt16, replacing old: UInt32, with new: UInt32, isOdd: Bool = false) -> UInt16
{
    let high = updatedChecksum(
        checksum, replacing: UInt16(truncatingIfNeeded: old >> 16), with: UInt16(truncatingIfNeeded: new >> 16),
        isOdd: isOdd)
    return updatedChecksum(
        high, replacing: UInt16(truncatingIfNeeded: old), with: UInt16(truncatingIfNeeded: new), isOdd: isOdd)
}
