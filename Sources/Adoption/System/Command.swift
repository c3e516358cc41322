import Foundation

/// One run of another program, at start and stop only.
package enum Command {
    package struct Failure: Error, CustomStringConvertible {
        package var command: String
        package var status: Int32
        package var output: String
        package var description: String {
            "\(command): exit status \(status)\(output.isEmpty ? "" : ": \(output)")"
        }
    }

    /// Where administration programs live, which an unprivileged user's PATH may not name.
    private static let path = "/usr/sbin:/sbin:/usr/bin:/bin"

    /// Runs `arguments`, with `input` as its standard input, and gives what it wrote.
    @discardableResult
    package static func run(_ arguments: [String], input: String = "") throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.environment = ["PATH": path, "LC_ALL": "C"]
        // Where the agent was started an unprivileged user may not be: below /root, for instance.
        process.currentDirectoryURL = URL(fileURLWithPath: "/")
        let standardInput = Pipe()
        let standardOutput = Pipe()
        process.standardInput = standardInput
        process.standardOutput = standardOutput
        process.standardError = standardOutput
        try process.run()
        try? standardInput.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try? standardInput.fileHandleForWriting.close()
        let data = standardOutput.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let text = String(decoding: data, as: UTF8.self)
        guard process.terminationStatus == 0 else {
            throw Failure(
                command: arguments.joined(separator: " "), status: process.terminationStatus,
                output: text.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        return text
    }
}
