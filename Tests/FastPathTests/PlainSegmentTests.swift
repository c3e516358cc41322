import FastPath
import Testing
import Wire

/// What is told in few instructions is what the walk from header to header says: here on usual frames with each byte of
/// their headers changed in every way, and then two at once.
@Test(arguments: [false, true], [0x18, 0x02] as [UInt8])
func aPlainSegmentIsWhatTheWalkSays(isV6: Bool, flags: UInt8) {
    var frame = [UInt8](repeating: 0, count: 12)
    if isV6 {
        frame += [0x86, 0xDD, 0x60, 0, 0, 0, 0, 25, 6, 64] + [UInt8](1...32)
    } else {
        frame += [0x08, 0x00, 0x45, 0, 0, 45, 0, 1, 0x40, 0, 64, 6, 0, 0] + [UInt8](1...8)
    }
    frame += [0x9C, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 1, 0, 0, 0, 0, 0] + [1, 2, 3, 4, 5]
    let headers = 12..<(isV6 ? 74 : 54)
    var plain = 0
    for position in headers {
        for value in UInt8.min...UInt8.max {
            var changed = frame
            changed[position] = value
            for length in [changed.count, changed.count - 1, 53, 54, 73, 74] where length <= changed.count {
                if isPlain(changed, length: length) { plain += 1 }
            }
        }
    }
    #expect(plain > 1_000, "many of them were")
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<100_000 {
        var changed = frame
        for _ in 0..<2 { changed[.random(in: headers, using: &generator)] = .random(in: 0...255, using: &generator) }
        _ = isPlain(changed, length: changed.count)
    }
}

/// True for a plain segment or a plain SYN, which both ways of reading must agree on.
private func isPlain(_ frame: [UInt8], length: Int) -> Bool {
    frame.withUnsafeBytes { bytes in
        let start = bytes.baseAddress!
        let layout = PacketLayout(of: start, length: length)
        let fixed = layout.kind == .tcp && layout.network == 14 && layout.transport == (layout.isV6 ? 54 : 34)
        let flags = fixed ? TCPHeader(start + Int(layout.transport)).flags : []
        let isPlain = fixed && flags.contains(.ack) && flags.lacks([.syn, .fin, .rst])
        let isSYN = fixed && flags.contains(.syn) && flags.lacks([.ack, .fin, .rst])
        let segments = [
            PlainSegment(ipv4: start, length: length), PlainSegment(ipv6: start, length: length),
            PlainSegment(syn: start, length: length),
        ]
        #expect((segments[0] != nil) == (isPlain && !layout.isV6), "\(frame)")
        #expect((segments[1] != nil) == (isPlain && layout.isV6), "\(frame)")
        #expect((segments[2] != nil) == isSYN, "\(frame)")
        for segment in segments.compactMap(\.self) {
            #expect(segment.payloadLength == UInt32(layout.payloadLength), "\(frame)")
            #expect(segment.isPlain == isPlain && segment.isPlainSYN == isSYN && segment.isV6 == layout.isV6)
            if isSYN { #expect(PacketLayout(plainSYN: start, segment) == layout, "\(frame)") }
        }
        return isPlain || isSYN
    }
}
