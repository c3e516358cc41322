/// How a client's packet gets to a proxy that layer 2 does not reach: whole, inside a packet of the director's own. The
/// inner packet may be of either family, and so may the outer one.
///
///     ipip    outer IP |                                    inner IP …      RFC 2003, RFC 2473, RFC 4213
///     gue     outer IP | UDP to 6080 | GUE (4)            | inner IP …      draft-ietf-intarea-gue-09, variant 0
///     vxlan   outer IP | UDP to 4789 | VXLAN (8) | Ethernet (14) | inner IP …     RFC 7348
///
/// A packet may name its flow by an identifier of 24 bits that the receiver has told: VXLAN's network identifier is that
/// then, and behind GUE's header comes one word of private data (section 3.6) whose upper byte is 0. IPIP has no room.
public struct Encapsulation: Hashable, Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
        case ipip, gue, vxlan

        /// Where its UDP datagrams go to; nil without UDP.
        @inlinable public var port: UInt16? {
            switch self {
            case .ipip: nil
            case .gue: 6_080
            case .vxlan: 4_789
            }
        }

        /// Bytes between outer IP header and inner one.
        @inlinable public var headerLength: Int {
            switch self {
            case .ipip: 0
            case .gue: 8 + 4
            case .vxlan: 8 + 8 + 14
            }
        }
    }

    /// Both are of one family: the director's own address, and the proxy's.
    public var source: IPAddress
    public var destination: IPAddress
    /// VXLAN: whom the inner frame is for.
    public var innerMAC: MACAddress
    /// VXLAN's network identifier, 24 bits.
    public var network: UInt32
    public var kind: Kind
    /// Packets name their flow.
    public var namesFlows = false

    public init(
        _ kind: Kind, from source: IPAddress, to destination: IPAddress, network: UInt32 = 0,
        innerMAC: MACAddress = .zero
    ) {
        self.kind = kind
        self.source = source
        self.destination = destination
        self.network = network
        self.innerMAC = innerMAC
    }

    /// Bytes of IP that a packet grows by.
    @inlinable public var overhead: Int {
        (destination.isV4 ? 20 : 40) + kind.headerLength + (kind == .gue && namesFlows ? 4 : 0)
    }

    /// 0 names no flow.
    @inlinable public static var flowIdentifiers: ClosedRange<UInt32> { 1...0xFF_FFFF }

    /// The most that any has: VXLAN over IPv6.
    @inlinable public static var longestOverhead: Int { 70 }
}
