// Integers of a packet, big endian as on the wire, at any alignment. Byte order is decided here and nowhere else.

extension UnsafeRawPointer {
    @inlinable @inline(__always)
    public func wire8(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }

    @inlinable @inline(__always)
    public func wire16(_ offset: Int) -> UInt16 {
        UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @inlinable @inline(__always)
    public func wire32(_ offset: Int) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    @inlinable @inline(__always)
    public func wire64(_ offset: Int) -> UInt64 {
        UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    /// Six bytes.
    @inlinable @inline(__always)
    public func wireMAC(_ offset: Int) -> MACAddress {
        MACAddress(UInt64(wire16(offset)) << 32 | UInt64(wire32(offset &+ 2)))
    }
}

extension UnsafeMutableRawPointer {
    @inlinable @inline(__always)
    public func setWire8(_ offset: Int, _ value: UInt8) { storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }

    @inlinable @inline(__always)
    public func setWire16(_ offset: Int, _ value: UInt16) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    @inlinable @inline(__always)
    public func setWire32(_ offset: Int, _ value: UInt32) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }

    @inlinable @inline(__always)
    public func setWire64(_ offset: Int, _ value: UInt64) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
    }

    @inlinable @inline(__always)
    public func setWireMAC(_ offset: Int, _ address: MACAddress) {
        setWire16(offset, UInt16(truncatingIfNeeded: address.value >> 32))
        setWire32(offset &+ 2, UInt32(truncatingIfNeeded: address.value))
    }
}
