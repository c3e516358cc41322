import CRTP
import Testing

@Suite struct CRC32CTests {
    /// RFC 3720, appendix B.4; the bytes there are the checksum's in little-endian order.
    @Test func theValuesOfTheStandard() {
        #expect(CRC32C.of([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
        #expect(CRC32C.of([UInt8](repeating: 0xFF, count: 32)) == 0x62A8_AB43)
        #expect(CRC32C.of([UInt8](0..<32)) == 0x46DD_794E)
        #expect(CRC32C.of((0..<32).reversed()) == 0x113F_DB5C)
        let command: [UInt8] = [
            0x01, 0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
            0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
            0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        ]
        #expect(CRC32C.of(command) == 0xD996_3A56)
        #expect(CRC32C.of([]) == 0)
        #expect(CRC32C.of(Array("123456789".utf8)) == 0xE306_9283)
    }

    /// One bit at a time, from the polynomial itself.
    private static func slowly(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var register = UInt32.max
        for byte in bytes {
            register ^= UInt32(byte)
            for _ in 0..<8 { register = register & 1 == 1 ? register >> 1 ^ 0x82F6_3B78 : register >> 1 }
        }
        return ~register
    }

    @Test func eightBytesAStepAreTheSameAsOneBit() {
        let bytes = blobBytes(80)
        for start in 0..<9 {
            for end in start...bytes.count {
                #expect(CRC32C.of(Array(bytes[start..<end])) == Self.slowly(bytes[start..<end]))
            }
        }
    }

    @Test func itDoesNotMatterHowTheBytesAreCut() {
        let bytes = blobBytes(100)
        for cut in 0...100 {
            var checksum = CRC32C()
            bytes[..<cut].withUnsafeBytes { checksum.add($0) }
            bytes[cut...].withUnsafeBytes { checksum.add($0) }
            #expect(checksum.value == CRC32C.of(bytes))
        }
    }
}
