public import InterCore
public import Wire

public enum ControlAction: Equatable, Sendable {
    case transmit([UInt8], to: Endpoint)
    /// Keep a connection to a proxy whose channel is a stream.
    case connect(DirectorConfiguration.Proxy, DirectorConfiguration.TLSSettings)
    /// End the connection, and make no other.
    case disconnect(Endpoint)
    /// End the connection; another one is due after a pause.
    case reconnect(Endpoint, ConnectionFault)
    case command(WorkerCommand, worker: Int)
    case log(ControlLogEntry)
}

/// A line of the log: an event of a transfer, a channel or a proxy.
public struct ControlLogEntry: Equatable, Sendable {
    public enum Level: String, Sendable, CaseIterable {
        case debug, info, warning, error

        /// 0 for debug; a configured level wants its own rank and those above.
        package var rank: Int {
            switch self {
            case .debug: 0
            case .info: 1
            case .warning: 2
            case .error: 3
            }
        }
    }
    public var level: Level
    /// What happened, in a few words: `transfer committed`.
    public var event: String
    /// In order: `transfer=17`, `proxy=p1`, …
    public var fields: [(name: String, value: String)]

    public init(_ level: Level, _ event: String, _ fields: [(name: String, value: String)] = []) {
        self.level = level
        self.event = event
        self.fields = fields
    }

    public static func == (left: ControlLogEntry, right: ControlLogEntry) -> Bool {
        left.level == right.level && left.event == right.event && left.fields.elementsEqual(right.fields, by: ==)
    }
}
