import Testing
import Wire

/// The short ways of `PacketLayout` and the walk from header to header agree on every frame: here on usual frames with
/// each byte of their headers changed in every way, in the fuzzer on all others.
@Test(arguments: [false, true]) func shortWaysAgreeWithTheWalk(isV6: Bool) {
    var frame = [UInt8](repeating: 0, count: 12)
    if isV6 {
        frame += [0x86, 0xDD, 0x60, 0, 0, 0, 0, 25, 6, 64] + [UInt8](1...32)
    } else {
        frame += [0x08, 0x00, 0x45, 0, 0, 45, 0, 1, 0x40, 0, 64, 6, 0, 0] + [UInt8](1...8)
    }
    frame += [0x9C, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0] + [1, 2, 3, 4, 5]
    var plain = 0
    for position in 12..<(isV6 ? 74 : 54) {
        for value in UInt8.min...UInt8.max {
            var changed = frame
            changed[position] = value
            for length in [changed.count, changed.count - 1, 53, 54, 73, 74] where length <= changed.count {
                changed.withUnsafeBytes { bytes in
                    let layout = PacketLayout(of: bytes.baseAddress!, length: length)
                    #expect(layout == PacketLayout.walked(bytes.baseAddress!, length: length))
                    let isPlain =
                        isV6
                        ? PacketLayout(plainIPv6: bytes.baseAddress!, length: length) != nil
                        : PacketLayout(plainIPv4: bytes.baseAddress!, length: length) != nil
                    if isPlain { plain += 1 }
                }
            }
        }
    }
    #expect(plain > 1_000, "the short way was taken")
}

@Test func packedKeysAreTheKeysOfBothDirections() {
    for isV6 in [false, true] {
        func address(_ number: UInt8) -> IPAddress {
            isV6
                ? IPAddress(high: 0x2001_0DB8_0000_0000, low: UInt64(number))
                : IPAddress(v4: 0x0A00_0000 | UInt32(number))
        }
        let key = FlowKey(
            client: address(1), clientPort: 40_000, server: address(80), serverPort: 443,
            vlan: isV6 ? VLAN(7) : .untagged)
        #expect(PackedFlowKey(key).key == key)
        #expect(PackedFlowKey(key).isV6 == isV6)
    }
}
