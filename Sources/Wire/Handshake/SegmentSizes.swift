/// The values of MSS that a cookie can carry: what clients say is rounded down to one of them, so that no segment is ever
/// longer than they take.
///
/// Ethernet's 1,460, the most frequent by far; less by PPPoE's 8 bytes or a tunnel's 60 to 100; the least of IPv6, whose
/// packets have 1,280 bytes everywhere; IPv4's 576; jumbo frames. Below 536 and above 1,460 there is hardly anybody (Alcock
/// and Nelson, "An Analysis of TCP Maximum Segment Sizes", 2011).
enum SegmentSizes {
    static var count: UInt8 { 8 }

    // Four values in a word, the least in the lowest bits: a table that needs no memory.
    private static var lower: UInt64 { 216 | 536 &<< 16 | 1_240 &<< 32 | 1_360 &<< 48 }
    private static var upper: UInt64 { 1_400 | 1_452 &<< 16 | 1_460 &<< 32 | 8_960 &<< 48 }

    /// For IPv4; IPv6's longer header takes 20 bytes of each.
    @inline(__always)
    private static func size(_ index: UInt8) -> UInt32 {
        UInt32(UInt16(truncatingIfNeeded: (index < 4 ? lower : upper) &>> (UInt64(index & 3) &* 16)))
    }

    @inline(__always)
    static func size(_ index: UInt8, isV6: Bool) -> UInt16 {
        UInt16(truncatingIfNeeded: size(index) &- (isV6 ? 20 : 0))
    }

    /// The greatest that is not above `size`. A client that says less than the least gets the least: such small numbers
    /// are attempts to make servers send many packets (as with `net.inet.tcp.minmss` of FreeBSD).
    @inline(__always)
    static func index(notAbove size: UInt16, isV6: Bool) -> UInt8 {
        let size = UInt32(size) &+ (isV6 ? 20 : 0)
        var index: UInt8 = 0
        var other: UInt8 = 1
        while other < count {
            index &+= self.size(other) <= size ? 1 : 0
            other &+= 1
        }
        return index
    }
}
