import Foundation
import Testing

/// The inputs of the golden tests are what their generator writes: nobody has to trust a capture.
@Test func goldenInputsAreWhatTheGeneratorWrites() throws {
    let golden = "\(Repository.root)/Tests/FastPathTests/Golden"
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("golden-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let outcome = try Repository.run(["python3", "\(golden)/generate.py", folder])
    try #require(outcome.status == 0, "\(outcome.output)")
    let inputs = try FileManager.default.subpathsOfDirectory(atPath: golden).filter { $0.hasSuffix("-in.pcap") }
    let written = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix(".pcap") }
    #expect(inputs.count >= 12)
    #expect(inputs.sorted() == written.sorted())
    for path in inputs {
        #expect(FileManager.default.contentsEqual(atPath: "\(golden)/\(path)", andPath: "\(folder)/\(path)"), "\(path)")
    }
}
