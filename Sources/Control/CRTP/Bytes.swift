import Wire

/// Big-endian numbers at the end of a message under construction.
extension [UInt8] {
    mutating func append16(_ value: UInt16) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    mutating func append32(_ value: UInt32) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    mutating func append64(_ value: UInt64) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    mutating func append(_ address: IPAddress) {
        append64(address.high)
        append64(address.low)
    }

    mutating func appendZeros(_ count: Int) {
        append(contentsOf: repeatElement(0, count: count))
    }

    /// Exactly `count` bytes: `bytes`, cut or followed by zeros.
    mutating func append(_ bytes: [UInt8], paddedTo count: Int) {
        append(contentsOf: bytes.prefix(count))
        appendZeros(Swift.max(0, count - bytes.count))
    }

    mutating func store16(_ value: UInt16, at offset: Int) {
        self[offset] = UInt8(truncatingIfNeeded: value >> 8)
        self[offset + 1] = UInt8(truncatingIfNeeded: value)
    }
}

/// Big-endian numbers at an offset that the caller has checked.
extension UnsafeRawBufferPointer {
    func load16(at offset: Int) -> UInt16 {
        UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    func load32(at offset: Int) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    func load64(at offset: Int) -> UInt64 {
        UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    func loadAddress(at offset: Int) -> IPAddress {
        IPAddress(high: load64(at: offset), low: load64(at: offset + 8))
    }

    func loadBytes(at offset: Int, count: Int) -> [UInt8] {
        [UInt8](UnsafeRawBufferPointer(rebasing: self[offset..<offset + count]))
    }
}
