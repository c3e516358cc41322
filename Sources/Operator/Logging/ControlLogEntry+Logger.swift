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
        log(level: level, "\(entry.line)")
    }
}

extension ControlLogEntry {
    /// `transfer committed transfer=17 proxy=p1`
    package var line: String {
        ([event] + fields.map { logField($0.name, $0.value) }).joined(separator: " ")
    }
}
