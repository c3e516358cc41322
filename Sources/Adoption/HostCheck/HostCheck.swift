import Foundation
import Glibc

/// Whether this host can adopt connections, point by point, with what to do about each.
public struct HostCheck: Codable, Sendable {
    public enum Verdict: String, Codable, Sendable {
        case good
        /// Works, but not always or not well.
        case warning
        case failed
    }

    public struct Finding: Codable, Sendable {
        public var name: String
        public var verdict: Verdict
        public var found: String
        /// Empty when there is nothing to do.
        public var remedy: String
    }

    public private(set) var findings: [Finding] = []

    /// `interface` and `configuration` make the checks that depend on them possible.
    public static func run(interface: String?, configuration: AgentConfiguration? = nil) -> HostCheck {
        var check = HostCheck()
        check.checkRepair()
        check.checkGuard(configuration)
        check.checkKernelSettings()
        if let name = interface { check.checkInterface(name) }
        if let configuration { check.checkAddresses(configuration) }
        check.checkDescriptors(configuration)
        return check
    }

    public var hasFailed: Bool { findings.contains { $0.verdict == .failed } }

    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    public var table: String {
        let width = findings.map(\.name.count).max() ?? 0
        let lines = findings.map { finding in
            let name = finding.name.padding(toLength: width, withPad: " ", startingAt: 0)
            let verdict = finding.verdict.rawValue.padding(toLength: 7, withPad: " ", startingAt: 0)
            let remedy =
                finding.remedy.isEmpty ? "" : "\n\(String(repeating: " ", count: width + 2))mend: \(finding.remedy)"
            return "\(name)  \(verdict)  \(finding.found)\(remedy)"
        }
        return lines.joined(separator: "\n")
    }

    mutating func add(_ name: String, _ verdict: Verdict, _ found: String, remedy: String = "") {
        findings.append(Finding(name: name, verdict: verdict, found: found, remedy: verdict == .good ? "" : remedy))
    }

    /// The first word of a file of /proc/sys; nil when it does not exist.
    static func setting(_ name: String) -> String? {
        let path = "/proc/sys/" + name.replacing(".", with: "/")
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return nil }
        return text.split(whereSeparator: \.isWhitespace).first.map(String.init)
    }
}
