import Foundation

/// A directory that goes away with its test.
final class ScratchDirectory {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "baton-\(UUID().uuidString.prefix(8))"
        try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file and gives its path.
    func file(_ name: String, _ text: String, mode: Int = 0o600) -> String {
        let file = "\(path)/\(name)"
        _ = FileManager.default.createFile(
            atPath: file, contents: Data(text.utf8), attributes: [.posixPermissions: mode])
        return file
    }

    /// A certificate that vouches for itself, under each of these names, and its key: `NAME.pem`, `NAME.key`.
    func certificate(_ names: String...) {
        for name in names {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
            process.arguments =
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=\(name)"
                .split(separator: " ").map(String.init) + [
                    "-keyout", "\(path)/\(name).key", "-out", "\(path)/\(name).pem",
                ]
            process.standardError = FileHandle.nullDevice
            try! process.run()
            process.waitUntilExit()
        }
    }

    /// A good key file.
    func key(_ name: String = "key1") -> String { file(name, String(repeating: "0f", count: 32) + "\n") }
}

/// The repository's root, from this file's place in it.
let repositoryRoot = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
