import Wire

/// The connection number `index` of a capture: `captures.py` writes the same, and the rules of the peers name the same.
///
/// Clients are spread over 10.0.0.0/8 (or a /96) by an odd factor, which maps 24 bits one to one, so that neighbours in
/// the numbering are none in the address; 256 servers; port 80.
func flowKey(number index: Int, isIPv6: Bool) -> FlowKey {
    let client = (UInt32(truncatingIfNeeded: index) &* 2_654_435_761) & 0x00FF_FFFF
    let clientPort = UInt16(1_024 + index % 50_000)
    let server = UInt32(truncatingIfNeeded: index & 0xFF)
    if isIPv6 {
        return FlowKey(
            client: IPAddress(high: 0x2001_0DB8_0001_0000, low: UInt64(client)), clientPort: clientPort,
            server: IPAddress(high: 0x2001_0DB8_0002_0000, low: UInt64(server)), serverPort: 80)
    }
    return FlowKey(
        client: IPAddress(v4: 0x0A00_0000 | client), clientPort: clientPort,
        server: IPAddress(v4: 0xC612_0000 | server), serverPort: 80)
}

/// splitmix64, as in bench/peers/rte_hash_bench.c: both programs draw the same numbers.
struct SplitMix64 {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return SplitMix64.mixed(state)
    }

    /// One to one on 64 bits.
    static func mixed(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
