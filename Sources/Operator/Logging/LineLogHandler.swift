public import Logging

/// Log lines as `2026-01-01T00:00:00.000Z info transfer committed proxy=p1 transfer=17`: one event a line, values
/// quoted where they must be. Fields of one call come in alphabetical order; `ControlLogEntry` keeps its own order.
public struct LineLogHandler: LogHandler {
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let sink: LogSink

    public init(level: Logger.Level, sink: LogSink) {
        logLevel = level
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
        var text = printable(event.message.description)
        for (name, value) in fields.sorted(by: { $0.key < $1.key }) {
            text += " \(logField(name, value.description))"
        }
        if let error = event.error { text += " \(logField("error", "\(error)"))" }
        sink.write(level: event.level.rawValue, text)
    }
}

extension LineLogHandler {
    /// Makes every `Logger` of the process write lines to standard error, at `level` and above. Once, at start-up.
    /// `level` is a configuration's word; one that is unknown counts as `info`.
    public static func bootstrap(level: String, sink: LogSink = LogSink()) {
        let level = Logger.Level(rawValue: level) ?? .info
        LoggingSystem.bootstrap { _ in LineLogHandler(level: level, sink: sink) }
    }
}

/// `name=value`, the value in quotes when it has blanks, quotes or an equals sign, or is empty.
func logField(_ name: String, _ value: String) -> String {
    let clean = printable(value)
    let needsQuotes = clean.isEmpty || clean.contains { $0 == " " || $0 == "\"" || $0 == "=" }
    guard needsQuotes else { return "\(name)=\(clean)" }
    let escaped = clean.replacing("\"", with: "\\\"")
    return "\(name)=\"\(escaped)\""
}
