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

    /// A good key file.
    func key(_ name: String = "key1") -> String { file(name, String(repeating: "0f", count: 32) + "\n") }
}

/// The repository's root, from this file's place in it.
let repositoryRoot = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
