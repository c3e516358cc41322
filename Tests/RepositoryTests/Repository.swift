import Foundation

/// The files of this repository, from this file's place in it.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    struct File {
        /// From the repository's root.
        var path: String
        var lines: [Substring]
    }

    /// Every text file with one of the endings below a folder, by path.
    static func files(under folder: String, endings: [String]) throws -> [File] {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: "\(root)/\(folder)").sorted()
        return try paths.filter { path in endings.contains { path.hasSuffix($0) } }.map { path in
            let text = try String(contentsOfFile: "\(root)/\(folder)/\(path)", encoding: .utf8)
            return File(path: "\(folder)/\(path)", lines: text.split(separator: "\n", omittingEmptySubsequences: false))
        }
    }

    struct Outcome {
        var status: Int32
        var output: String
    }

    /// Runs a program from PATH in the repository's root; its two outputs come as one.
    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: root)
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, output: String(decoding: data, as: UTF8.self))
    }
}
