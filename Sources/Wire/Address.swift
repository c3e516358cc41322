/// An IPv4 or IPv6 address in 128 bits. An IPv4 address is held as IPv4-mapped IPv6 (`::ffff:a.b.c.d`,
/// RFC 4291 section 2.5.5.2), so that keys, rules and frames treat both families alike.
public struct IPAddress: Hashable, Sendable, BitwiseCopyable {
    /// The first eight bytes, most significant byte first on the wire.
    public var high: UInt64
    /// The last eight bytes.
    public var low: UInt64

    @inlinable @inline(__always)
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// An IPv4 address given as a host-order integer: `0x0A00_0001` is 10.0.0.1.
    @inlinable @inline(__always)
    public init(v4 value: UInt32) {
        high = 0
        low = 0x0000_FFFF_0000_0000 | UInt64(value)
    }

    /// 224.0.0.0/4 or ff00::/8.
    public var isMulticast: Bool { isV4 ? low & 0xF000_0000 == 0xE000_0000 : high >> 56 == 0xFF }

    @inlinable @inline(__always)
    public var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }

    /// The IPv4 address as a host-order integer; meaningful when `isV4`.
    @inlinable @inline(__always)
    public var v4: UInt32 { UInt32(truncatingIfNeeded: low) }

    @inlinable public static var unspecified: IPAddress { .init(high: 0, low: 0) }
}

/// A range of addresses that share their first bits. Lengths count in the 128-bit form: an IPv4 /24 is 120.
public struct AddressPrefix: Hashable, Sendable, BitwiseCopyable {
    public var address: IPAddress
    /// 0...128.
    public var length: UInt8

    @inlinable
    public init(_ address: IPAddress, length: UInt8) {
        self.address = address
        self.length = min(length, 128)
    }

    /// Every address of either family.
    @inlinable public static var any: AddressPrefix { .init(.unspecified, length: 0) }

    @inlinable @inline(__always)
    public func contains(_ other: IPAddress) -> Bool {
        let highBits = UInt64(min(length, 64))
        let lowBits = UInt64(length) &- highBits
        let highMask = highBits == 0 ? 0 : ~UInt64(0) &<< (64 &- highBits)
        let lowMask = lowBits == 0 ? 0 : ~UInt64(0) &<< (64 &- lowBits)
        return ((address.high ^ other.high) & highMask) | ((address.low ^ other.low) & lowMask) == 0
    }
}

/// An Ethernet address, in the low 48 bits: `02:00:00:00:00:01` is `0x0200_0000_0001`.
public struct MACAddress: Hashable, Sendable, BitwiseCopyable {
    public var value: UInt64

    @inlinable @inline(__always)
    public init(_ value: UInt64) { self.value = value & 0xFFFF_FFFF_FFFF }

    @inlinable public static var zero: MACAddress { .init(0) }
}

/// An 802.1Q VLAN identifier. `untagged` is a value of its own, since 0 is a legal tag (priority tag).
public struct VLAN: Hashable, Sendable, BitwiseCopyable {
    /// 0...4095, or 0xFFFF for an untagged frame.
    public var value: UInt16

    @inlinable @inline(__always)
    public init(_ value: UInt16) { self.value = value }

    @inlinable public static var untagged: VLAN { .init(0xFFFF) }
    @inlinable public var isTagged: Bool { value != 0xFFFF }
}
