import Foundation
import Testing

/// What can be checked of the style by a machine.
@Suite struct StyleTests {
    /// Written in two halves, so that this file does not find itself.
    private static let markers = ["TO" + "DO", "FIX" + "ME", "XX" + "X:", "HA" + "CK"]

    @Test func nothingIsLeftForLater() throws {
        for folder in ["Sources", "Tests", "bench", "hugepages", "docs"] {
            for file in try Repository.files(under: folder, endings: [".swift", ".c", ".h", ".sh", ".md"]) {
                for (index, line) in file.lines.enumerated() {
                    for marker in Self.markers {
                        #expect(!line.contains(marker), "\(file.path):\(index + 1): finish it, or write an issue")
                    }
                }
            }
        }
    }

    /// A type is named after what it is, not after the fact that it does something.
    @Test func namesSaySomething() throws {
        let empty = /\b(?:class|struct|enum|protocol|actor)\s+\w*(?:Manager|Helper|Util|Utils|Utility)\b/
        for folder in ["Sources", "bench"] {
            for file in try Repository.files(under: folder, endings: [".swift"]) {
                for (index, line) in file.lines.enumerated() {
                    #expect(
                        line.firstMatch(of: empty) == nil, "\(file.path):\(index + 1): a name of the field is better")
                }
            }
        }
    }

    /// It deletes preconditions together with what is called inside them.
    @Test func nothingIsBuiltUnchecked() throws {
        let manifest = try String(contentsOfFile: "\(Repository.root)/Package.swift", encoding: .utf8)
        #expect(!manifest.contains("-Ounchecked"))
    }

    private static let hasFormatter = (try? Repository.run(["swift", "format", "--version"]).status) == 0

    @Test(.enabled(if: hasFormatter, "swift format is not installed")) func theFormatterAgrees() throws {
        let outcome = try Repository.run(
            ["swift", "format", "lint", "--strict", "--recursive", "Sources", "Tests", "bench", "Package.swift"])
        #expect(outcome.status == 0, "\(outcome.output)")
    }
}
