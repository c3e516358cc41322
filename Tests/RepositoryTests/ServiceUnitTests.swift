import Foundation
import Testing

/// The systemd units are understood by systemd, to the last line.
@Suite(.enabled(if: access("/usr/bin/systemd-analyze", X_OK) == 0, "systemd-analyze is not installed"))
struct ServiceUnitTests {
    @Test(arguments: ["batond", "batond-host", "baton-agent"]) func systemdUnderstandsTheUnit(_ name: String) throws {
        let unit = try String(contentsOfFile: "\(Repository.root)/packaging/systemd/\(name).service", encoding: .utf8)
        #expect(unit.contains("ExecStart=/usr/bin/\(name.replacing("-host", with: "")) "))
        let directory = NSTemporaryDirectory() + "baton-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        // The programs are not installed where this runs, and systemd looks for them.
        let path = "\(directory)/\(name).service"
        try unit.replacing(/\/usr\/bin\/baton[a-z-]*/, with: "/bin/true").write(
            toFile: path, atomically: true, encoding: .utf8)
        let outcome = try Repository.run(["systemd-analyze", "verify", "--man=no", path])
        #expect(outcome.status == 0 && !outcome.output.contains(path), "\(outcome.output)")
    }
}
