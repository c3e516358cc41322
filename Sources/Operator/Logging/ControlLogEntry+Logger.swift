public import Control
public import Logging

extension Logger {
    /// Writes an entry of the control core, its fields in their own order.
    public func record(_ entry: ControlLogEntry) {
        let level: Logger.Level =
            switch entry.level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        guard level >= logLevel else { return }
        if let lines = handler as? LineLogHandler {
            lines.write(level, entry.event, entry.fields)
        } else {
            let fields = entry.fields.map { ($0.name, Logger.MetadataValue.string($0.value)) }
            log(level: level, "\(entry.event)", metadata: Logger.Metadata(fields) { first, _ in first })
        }
    }
}
