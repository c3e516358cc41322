import Testing
import Wire

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
