/// What an adopting process may do: told once, on its command line, by the process that starts it.
public struct AdoptingSettings: Equatable, Sendable {
    public var guardRules: GuardRules
    public var installsGuard: Bool
    public var committedMark: UInt32
    /// MTU of the way to the clients.
    public var mtu: UInt16
    /// Uncommitted sockets at once.
    public var uncommittedLimit: Int
    /// Whom to become; nil to stay.
    public var user: String?

    public init(
        guardRules: GuardRules, installsGuard: Bool, committedMark: UInt32, mtu: UInt16, uncommittedLimit: Int,
        user: String?
    ) {
        self.guardRules = guardRules
        self.installsGuard = installsGuard
        self.committedMark = committedMark
        self.mtu = mtu
        self.uncommittedLimit = uncommittedLimit
        self.user = user
    }
}

extension AdoptingSettings {
    /// The subcommand that an executable with an adopting part understands.
    public static let subcommand = "adopt-for-parent"

    /// As `--option value`, for the command line.
    public var arguments: [String] {
        var options = [
            ("instance", guardRules.instance), ("uncommitted-mark", "\(guardRules.uncommittedMark)"),
            ("delivery-mark", "\(guardRules.deliveryMark)"), ("committed-mark", "\(committedMark)"),
            ("suspended-mark", "\(guardRules.suspendedMark)"),
            ("routing-table", "\(guardRules.routingTable)"), ("mtu", "\(mtu)"), ("limit", "\(uncommittedLimit)"),
        ]
        if let user { options.append(("user", user)) }
        options += guardRules.interfaces.map { ("interface", $0) }
        options += guardRules.services.map { ("origin", "\($0)") }
        options += guardRules.datagramServers.flatMap {
            [("udp-origin", "\($0.service)"), ("udp-server", "\($0.server)")]
        }
        return options.map { "--\($0)=\($1)" } + (installsGuard ? ["--install-guard"] : [])
    }
}
