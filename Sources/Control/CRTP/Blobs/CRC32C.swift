/// CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, begun with ones and inverted at the end (RFC 3720 section 12.1;
/// its appendix B.4 has the values that the tests compare with). Eight bytes a step, by eight tables.
package struct CRC32C: Sendable {
    private static let polynomial: UInt32 = 0x82F6_3B78

    /// Eight tables of 256: what a byte does to the register that is followed by 0...7 bytes of zeros.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var register = UInt32(byte)
            for _ in 0..<8 { register = register >> 1 ^ (register & 1 == 0 ? 0 : polynomial) }
            tables[byte] = register
        }
        for index in 256..<tables.count {
            let shorter = tables[index - 256]
            tables[index] = shorter >> 8 ^ tables[Int(shorter & 0xFF)]
        }
        return tables
    }()

    private var register = UInt32.max

    package init() {}

    /// Of all that was added.
    package var value: UInt32 { ~register }

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var register = register
        Self.tables.withUnsafeBufferPointer { tables in
            func table(_ number: Int, _ byte: UInt32) -> UInt32 { tables[number << 8 | Int(byte & 0xFF)] }
            var offset = 0
            while offset + 8 <= bytes.count {
                let low = register ^ UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                let high = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
                register =
                    table(7, low) ^ table(6, low >> 8) ^ table(5, low >> 16) ^ table(4, low >> 24)
                    ^ table(3, high) ^ table(2, high >> 8) ^ table(1, high >> 16) ^ table(0, high >> 24)
                offset += 8
            }
            while offset < bytes.count {
                register = register >> 8 ^ table(0, register ^ UInt32(bytes[offset]))
                offset += 1
            }
        }
        self.register = register
    }

    package static func of(_ bytes: [UInt8]) -> UInt32 {
        var checksum = CRC32C()
        bytes.withUnsafeBytes { checksum.add($0) }
        return checksum.value
    }
}
