internal import CRTP
internal import InterCore
internal import Wire

/// A row of `batonctl candidates`: a rule, as it is in force.
public struct CandidateStatus: Codable, Sendable, Equatable {
    public var rule = ""
    public var priority = 0
    /// `off`, `observe`, `canary 10%` or `on`.
    public var mode = ""
    public var application = ""
    /// `80` or `8000-8080`.
    public var ports = ""
    public var clients = ""
    public var servers = ""
    /// Empty: all.
    public var hosts: [String] = []
    public var paths: [String] = []
    public var proxies: [String] = []
    public var algorithm = ""
    /// Of its proxies, those that can be asked for a usual connection now.
    public var proxiesReady = 0
    public init() {}
}

/// A row of `batonctl routes`.
public struct RouteStatus: Codable, Sendable, Equatable {
    public var ports = ""
    public var clients = ""
    public var servers = ""
    /// A proxy's name, or `origin`.
    public var to = ""
    public init() {}
}

extension ControlCore {
    /// `batonctl candidates`, in order of precedence.
    public func candidateStatus(now: UInt64) -> [CandidateStatus] {
        zip(configuration.rules, selections).map { rule, selection in
            var row = CandidateStatus()
            row.rule = rule.name
            row.priority = rule.priority
            row.mode = rule.match.mode.name
            row.application = rule.match.applications.name
            row.ports = text(rule.match.firstPort...rule.match.lastPort)
            row.clients = "\(rule.match.client)"
            row.servers = "\(rule.match.server)"
            row.hosts = rule.hosts
            row.paths = rule.paths
            row.proxies = selection.candidates.map { proxies[$0].configuration.name }
            row.algorithm = selection.algorithm.name
            row.proxiesReady = selection.candidates.count { proxies[$0].isEligible(for: [], now: now) }
            return row
        }
    }

    /// `batonctl routes`, in order of precedence.
    public func routeStatus() -> [RouteStatus] {
        configuration.routes.map { route in
            var row = RouteStatus()
            row.ports = text(route.match.firstPort...route.match.lastPort)
            row.clients = "\(route.match.client)"
            row.servers = "\(route.match.server)"
            row.to = route.proxy ?? "origin"
            return row
        }
    }

    package func text(_ ports: ClosedRange<UInt16>) -> String {
        ports.count == 1
            ? "\(ports.lowerBound)" : ports == 0...65_535 ? "any" : "\(ports.lowerBound)-\(ports.upperBound)"
    }
}

extension RuleMode {
    /// As in the configuration.
    var name: String {
        switch self {
        case .off: "off"
        case .observe: "observe"
        case .canary(let percent): "canary \(percent)%"
        case .on: "on"
        }
    }
}
