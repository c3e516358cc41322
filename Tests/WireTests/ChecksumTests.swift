import Testing
import Wire

/// RFC 1071 as it is written, for comparison.
private func plainChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
        sum += UInt32(bytes[index]) << 8 | (index + 1 < bytes.count ? UInt32(bytes[index + 1]) : 0)
        sum = sum & 0xFFFF + sum >> 16
    }
    return ~UInt16(sum & 0xFFFF + sum >> 16)
}

@Test func checksumsOfAllLengthsAndContents() {
    var generator = SystemRandomNumberGenerator()
    for count in 0..<260 {
        let bytes = (0..<count).map { _ in count % 3 == 0 ? 0xFF : UInt8.random(in: 0...255, using: &generator) }
        var sum = InternetChecksum()
        bytes.withUnsafeBytes { if let base = $0.baseAddress { sum.add(base, count: count) } }
        #expect(sum.value == plainChecksum(bytes), "\(bytes)")
    }
}

/// RFC 1624 section 4: the case that RFC 1141 gets wrong.
@Test func rfc1624CheckVector() {
    #expect(updatedChecksum(0xDD2F, replacing: UInt16(0x5555), with: 0x3285) == 0x0000)
}

/// A field that starts at any offset, even or odd, updated in place agrees with a sum made anew; a wrong checksum stays
/// wrong.
@Test func incrementalUpdatesAgreeWithRecomputation() {
    for offset in 0..<16 {
        for _ in 0..<200 {
            var bytes = (0..<24).map { _ in UInt8.random(in: 0...255) }
            let before = plainChecksum(bytes)
            let old = bytes[offset..<offset + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let new = UInt32.random(in: 0...UInt32.max)
            for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: new >> (24 - 8 * UInt32(index))) }
            let updated = updatedChecksum(before, replacing: old, with: new, isOdd: offset & 1 == 1)
            let whole = plainChecksum(bytes)
            // 0 and 0xFFFF are the same number in one's complement.
            #expect(updated == whole || (updated ^ whole) == 0xFFFF && (updated == 0 || whole == 0), "offset \(offset)")
            let wrong = updatedChecksum(before ^ 0x1234, replacing: old, with: new, isOdd: offset & 1 == 1)
            #expect(wrong != updated)
        }
    }
}

/// Reading never leaves the frame: every prefix, and random damage, of a frame with everything in it.
@Test func layoutsOfDamagedFramesStayInside() {
    let base: [UInt8] =
        [UInt8](repeating: 2, count: 12) + [0x81, 0, 0, 7, 0x86, 0xDD] + [0x60, 0, 0, 0, 0, 52, 0, 64]
        + [UInt8](repeating: 1, count: 32) + [60, 0, 1, 4, 0, 0, 0, 0, 6, 1, 1, 4, 0, 0, 0, 0, 0, 0, 0, 0]
        + [0, 80, 1, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0x10, 1, 1, 0, 0, 0, 0] + [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
    for round in 0..<20_000 {
        var frame = base
        for _ in 0..<(round % 5) { frame[Int.random(in: 12..<frame.count)] = UInt8.random(in: 0...255) }
        frame = Array(frame.prefix(round % 2 == 0 ? frame.count : Int.random(in: 0...frame.count)))
        // A copy of exactly its size, so that a sanitizer sees what goes beyond.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: frame)
        guard let start = copy.baseAddress else { continue }
        let layout = PacketLayout(of: UnsafeRawPointer(start), length: frame.count)
        switch layout.kind {
        case .tcp:
            #expect(Int(layout.payload) + Int(layout.payloadLength) <= frame.count, "\(frame)")
            #expect(layout.payload >= layout.transport + 20)
            _ = TCPOptions(of: TCPHeader(UnsafeRawPointer(start) + Int(layout.transport)))
            _ = layout.hasValidChecksum(UnsafeRawPointer(start))
        case .icmpError: #expect(Int(layout.payload) + 8 <= frame.count, "\(frame)")
        case .udp: #expect(Int(layout.payload) + Int(layout.payloadLength) <= frame.count, "\(frame)")
        case .fragment, .other: break
        }
    }
}
