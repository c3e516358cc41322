import CDPDKShim

/// Reads and sets the links of ports that face each other, as `LinkMirror` decides. Belongs to the control core's lcore.
public struct PortLinks: Sendable {
    /// Something to tell the operator.
    public enum Notice: Sendable, Equatable {
        /// A side lost its link, or has it again.
        case link(LinkSide, isUp: Bool)
        /// A side was set down or up because of the other one.
        case mirrored(LinkSide, isUp: Bool)
        /// This port's driver cannot set its link; it will not be asked again.
        case unsupported(port: UInt16)
    }

    private let ports: [[UInt16]]
    private let isMirroring: Bool
    private var mirror: LinkMirror
    private var unsupported: Set<UInt16> = []

    /// How often to look, and how long a link may take to come up.
    public static var periodMicroseconds: UInt64 { 100_000 }
    public static var patienceMicroseconds: UInt64 { 10_000_000 }

    /// - Parameters:
    ///   - now: microseconds, as in `look`.
    ///   - isMirroring: false to look only. A host must not lose its routes because its wire is pulled out for a moment.
    public init(client: [UInt16], server: [UInt16], now: UInt64, isMirroring: Bool = true) {
        ports = [client, server]
        self.isMirroring = isMirroring
        mirror = LinkMirror(now: now, patience: Self.patienceMicroseconds)
    }

    /// Ports in groups that mirror each other: the first of one side and the first of the other and so on where there
    /// are as many of both, because their queues then belong to one worker; otherwise all together.
    public static func groups(
        client: [UInt16], server: [UInt16], now: UInt64, isMirroring: Bool = true
    ) -> [PortLinks] {
        guard client.count == server.count else {
            return [PortLinks(client: client, server: server, now: now, isMirroring: isMirroring)]
        }
        return zip(client, server).map { PortLinks(client: [$0], server: [$1], now: now, isMirroring: isMirroring) }
    }

    public mutating func look(now: UInt64) -> [Notice] {
        let before = LinkSide.allCases.map { mirror.state(of: $0) }
        let orders = mirror.observe(clientHasLink: hasLink(.client), serverHasLink: hasLink(.server), now: now)
        var notices: [Notice] = []
        for side in LinkSide.allCases {
            let state = mirror.state(of: side)
            if state == .down, before[side.rawValue] != .down { notices.append(.link(side, isUp: false)) }
            if state == .up, before[side.rawValue] == .down { notices.append(.link(side, isUp: true)) }
        }
        for order in orders {
            if isMirroring, set(order, &notices) {
                notices.append(.mirrored(order.side, isUp: order.up))
            } else {
                mirror.refuse(order)
            }
        }
        return notices
    }

    public func isUp(_ side: LinkSide) -> Bool { hasLink(side) }

    /// A side has a link while any of its ports has.
    private func hasLink(_ side: LinkSide) -> Bool { ports[side.rawValue].contains { shim_port_link_is_up($0) } }

    /// False when no port's driver can do it.
    private mutating func set(_ order: LinkMirror.Order, _ notices: inout [Notice]) -> Bool {
        var done = false
        for port in ports[order.side.rawValue] where !unsupported.contains(port) {
            if shim_port_set_link(port, order.up) == 0 {
                done = true
            } else if !order.up {
                unsupported.insert(port)
                notices.append(.unsupported(port: port))
            }
        }
        return done
    }
}
