public import CRTP
public import InterCore
public import Wire

/// The control core: what workers report and agents answer goes in, commands and datagrams come out. Pure: no socket,
/// no clock, no ring; `batond` does the moving. Times are microseconds of a monotonic clock.
public struct ControlCore {
    /// What is to be done, in order; the caller carries it out and empties the list.
    public var actions: [ControlAction] = []

    public init(configuration: DirectorConfiguration, keys: KeyRing, workerCount: Int, epoch: UInt64) {}

    /// Opens the channels. Once, before anything else.
    public mutating func start(now: UInt64) {}
    /// A datagram came in on the CRTP socket.
    public mutating func receive(_ datagram: [UInt8], from: Endpoint, now: UInt64) {}
    /// A worker reports. `payload` is only good for the call.
    public mutating func handle(_ event: WorkerEvent, payload: UnsafeRawBufferPointer, worker: Int, now: UInt64) {}
    /// Lets everything happen that was due by `now`.
    public mutating func advance(to now: UInt64) {}
    /// When `advance` must be called next; nil for "whenever something comes".
    public var nextDeadline: UInt64? { nil }
}

public enum ControlAction: Equatable, Sendable {
    case transmit([UInt8], to: Endpoint)
    case command(WorkerCommand, worker: Int)
    case log(ControlLogEntry)
}

/// A line of the log: an event of a transfer, a channel or a proxy.
public struct ControlLogEntry: Equatable, Sendable {
    public enum Level: String, Sendable { case debug, info, warning, error }
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
