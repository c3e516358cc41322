public import Logging

/// Log lines, one event each, through a sink that bounds them. Fields of one call come in alphabetical order;
/// `ControlLogEntry` keeps its own.
public struct LineLogHandler: LogHandler {
    /// The sink's, which may change, unless a logger was given one of its own.
    public var logLevel: Logger.Level {
        get { ownLevel ?? sink.level }
        set { ownLevel = newValue }
    }
    private var ownLevel: Logger.Level?
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let sink: LogSink

    public init(sink: LogSink) {
        self.sink = sink
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var fields = metadata
        if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
        if let own = event.metadata { fields.merge(own) { $1 } }
        var ordered = fields.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value.description) }
        if let error = event.error { ordered.append(("error", "\(error)")) }
        write(event.level, event.message.description, ordered)
    }

    func write(_ level: Logger.Level, _ event: String, _ fields: [(name: String, value: String)]) {
        sink.write(LogLine(level: level.rawValue, event: event, fields: fields))
    }
}

extension LineLogHandler {
    /// Makes every `Logger` of the process write lines to standard error, at `level` and above. Once, at start-up.
    /// `level` is a configuration's word; one that is unknown counts as `info`.
    public static func bootstrap(level: String, sink: LogSink = LogSink()) {
        sink.change(level: level)
        LoggingSystem.bootstrap { _ in LineLogHandler(sink: sink) }
    }
}
