import Glibc
internal import Logging
import Synchronization

/// The combined format, with the transfer's number and what answered behind it:
/// `10.0.0.1 - - [21/Nov/2026:07:00:00 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/7.88" transfer=7 by=document`.
package final class AccessLog: Sendable {
    package struct Entry {
        package var client: String
        package var method: String
        package var target: String
        package var version: String
        package var status: Int
        package var bytes: Int
        package var referrer: String?
        package var userAgent: String?
        /// The transaction of its TRANSFER: the director's name for it.
        package var transfer: UInt64
        /// `document`, `cache`, `origin` or `relay`.
        package var answeredBy: String
        package init(
            client: String, method: String, target: String, version: String, status: Int, bytes: Int, referrer: String?,
            userAgent: String?, transfer: UInt64, answeredBy: String
        ) {
            self.client = client
            self.method = method
            self.target = target
            self.version = version
            self.status = status
            self.bytes = bytes
            self.referrer = referrer
            self.userAgent = userAgent
            self.transfer = transfer
            self.answeredBy = answeredBy
        }
    }

    private let path: String?
    private let descriptor: Mutex<CInt>

    /// nil for none.
    package init(path: String?) throws(SystemFailure) {
        self.path = path
        descriptor = Mutex(path == nil ? -1 : try AccessLog.open(path!))
    }

    private static func open(_ path: String) throws(SystemFailure) -> CInt {
        let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw SystemFailure("opening \(path)") }
        return descriptor
    }

    /// After the file was moved away (SIGHUP).
    package func reopen() throws(SystemFailure) {
        guard let path else { return }
        let fresh = try AccessLog.open(path)
        descriptor.withLock { old in
            close(old)
            old = fresh
        }
    }

    package func write(_ entry: Entry) {
        let line = Array(AccessLog.line(entry, at: HTTPDate.now).utf8)
        descriptor.withLock { descriptor in
            if descriptor >= 0 { _ = Glibc.write(descriptor, line, line.count) }
        }
    }

    package static func line(_ entry: Entry, at seconds: Int) -> String {
        // "Sun, 06 Nov 1994 08:49:37 GMT" has all that "[06/Nov/1994:08:49:37 +0000]" needs.
        let date = HTTPDate.text(seconds).split(separator: " ")
        let stamp = "\(date[1])/\(date[2])/\(date[3]):\(date[4]) +0000"
        let request = "\(entry.method) \(escape(entry.target)) \(entry.version)"
        let from = "\"\(escape(entry.referrer ?? "-"))\" \"\(escape(entry.userAgent ?? "-"))\""
        return "\(entry.client) - - [\(stamp)] \"\(request)\" \(entry.status) \(entry.bytes) \(from)"
            + " transfer=\(entry.transfer) by=\(entry.answeredBy)\n"
    }

    /// Quotes, backslashes and control characters in hexadecimal, so that a line is one line; cut at 2,048.
    private static func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars.prefix(2_048) {
            if scalar.value < 0x20 || scalar.value == 0x7F || scalar == "\"" || scalar == "\\" {
                escaped += "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            } else {
                escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
