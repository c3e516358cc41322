public import CRTP
public import Control

/// What an operator asks of a running director.
public enum OperatorRequest: Equatable, Sendable {
    case status
    case proxies
    /// At most `limit` flows, from `cursor` on.
    case flows(FlowFilter, limit: Int, cursor: FlowCursor?)
    /// What happened to a client, a connection or a transfer after event number `after`, and what will.
    case trace(TraceTarget, after: UInt64, limit: Int)
    /// The rules, and the routes, in force.
    case candidates
    case routes
    /// Those of virtual servers.
    case origins
    /// What would become of a request or a connection.
    case explain(ExplainQuestion)
    /// How many there are, by state and proxy.
    case flowCounts(FlowFilter, cursor: FlowCursor?)
    /// Pending transfers and the last ones that ended, newest first.
    case transfers(limit: Int)
    /// nil asks; a value switches.
    case bypass(Bool?)
    /// nil asks; a name changes it, for one rule or for all.
    case algorithm(SelectionAlgorithm?, rule: String?)
    /// What is wanted of this proxy.
    case proxy(String, ProxyWish)
    case keys
    /// Reads the keys anew and uses another one: nil for the next. Forced: although an agent does not hold it.
    case rotateKeys(to: UInt8?, isForced: Bool)
    /// Takes the configuration file as it is now, or says what would change.
    case reload(isDryRun: Bool)
    case version
    /// Starts a capture; one at a time.
    case capture(CaptureRequest)
    /// The next blocks of a capture, by its number; with `stop` the last ones.
    case readCapture(UInt32, stop: Bool)

    /// The configuration file is read before the control core hears of the request.
    var readsConfiguration: Bool {
        switch self {
        case .rotateKeys, .reload: true
        case .status, .proxies, .origins, .candidates, .routes, .explain, .trace, .flows, .flowCounts, .transfers,
            .bypass, .algorithm, .proxy, .keys, .version, .capture, .readCapture:
            false
        }
    }

    /// The request changes what the director does: for the owner, not for the group.
    public var isChange: Bool {
        switch self {
        case .bypass(let wanted): wanted != nil
        case .algorithm(let wanted, _): wanted != nil
        case .proxy, .rotateKeys, .capture: true
        case .readCapture(_, let stop): stop
        case .reload(let isDryRun): !isDryRun
        case .status, .proxies, .origins, .candidates, .routes, .explain, .trace, .flows, .flowCounts, .transfers,
            .keys, .version:
            false
        }
    }

    /// Not for the group: it changes something, or shows what clients send.
    public var isForOwner: Bool {
        if case .readCapture = self { return true }
        return isChange
    }
}

/// The director's answer.
public enum OperatorResponse: Equatable, Sendable {
    case status(DirectorStatus)
    case proxies([ProxyStatus])
    case flows(FlowAnswer)
    case flowCounts(FlowAnswer)
    case explain(Explanation)
    case candidates([CandidateStatus])
    case routes([RouteStatus])
    case origins([OriginStatus])
    case trace(TraceStatus)
    case transfers([TransferStatus])
    case bypass(BypassStatus)
    case algorithm(AlgorithmStatus)
    case proxy(ProxyStatus)
    case keys(KeysStatus)
    case reload(ReloadStatus)
    case version(VersionStatus)
    case capture(CaptureStatus)
    case capturePage(CapturePage)
    /// The request could not be carried out; in words.
    case failure(String)
}

/// Answer to `bypass`.
public struct BypassStatus: Codable, Equatable, Sendable {
    public var bypass: Bool
    public init(bypass: Bool) { self.bypass = bypass }
}

/// Answer to `version`.
public struct VersionStatus: Codable, Equatable, Sendable {
    public var name: String
    public var version: String
    /// Of CRTP.
    public var protocolVersion: Int
    public var processIdentifier: Int32

    public init(name: String, version: String, protocolVersion: Int, processIdentifier: Int32) {
        self.name = name
        self.version = version
        self.protocolVersion = protocolVersion
        self.processIdentifier = processIdentifier
    }
}
