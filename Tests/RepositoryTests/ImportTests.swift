import Testing

/// The levels of the modules hold: a source file imports only what its module may see.
@Suite struct ImportTests {
    /// Folder to what its files may import. The most particular folder counts. Modules of the control's lower half are
    /// pure, so they have no Foundation: no files, no clocks, no sockets.
    private static let allowed: [(folder: String, modules: Set<String>)] = [
        ("Sources/Wire", ["Glibc", "Darwin"]),
        ("Sources/StrictYAML", ["Foundation", "Yams"]),
        ("Sources/InterCore", ["Wire", "Synchronization"]),
        ("Sources/Datagrams", ["CDatagrams", "Wire", "Glibc"]),
        ("Sources/Control/CRTP", ["Wire", "Crypto", "CCryptoBoringSSL"]),
        ("Sources/Control/FirstFlight", ["Wire", "Crypto", "CCryptoBoringSSL"]),
        ("Sources/Control/Core", ["CRTP", "FirstFlight", "Wire", "InterCore", "DequeModule", "Logging"]),
        ("Sources/FastPath", ["CDPDKShim", "Wire", "InterCore", "Synchronization", "Glibc"]),
        (
            "Sources/Streams",
            ["CRTP", "Wire", "Synchronization", "Glibc", "NIOCore", "NIOPosix", "NIOHTTP1", "NIOTLS", "NIOSSL"]
        ),
        (
            "Sources/Adoption",
            [
                "CDatagrams", "CRTP", "InterCore", "Wire", "Streams", "StrictYAML", "Foundation", "Glibc",
                "Synchronization", "Logging",
                "NIOCore", "NIOPosix", "NIOHTTP1", "NIOConcurrencyHelpers", "Crypto",
            ]
        ),
        (
            "Sources/HealthChecks",
            ["Control", "Wire", "Synchronization", "Glibc", "NIOCore", "NIOPosix"]
        ),
        (
            "Sources/Operator",
            [
                "Control", "CRTP", "InterCore", "Wire", "Streams", "StrictYAML", "Foundation", "Glibc",
                "Synchronization", "Logging",
                "NIOCore", "NIOPosix", "NIOHTTP1",
            ]
        ),
        (
            "Sources/batond",
            [
                "Adoption", "Operator", "HealthChecks", "Control", "CRTP", "Datagrams", "Streams", "FastPath",
                "InterCore", "Wire",
                "CDPDKShim", "StrictYAML", "ArgumentParser", "DequeModule", "Logging", "Foundation", "Glibc",
                "Synchronization",
                "Dispatch",
            ]
        ),
        (
            "Sources/baton-agent",
            [
                "Adoption", "Operator", "CRTP", "Wire", "StrictYAML", "ArgumentParser", "Logging", "Foundation",
                "Glibc", "Synchronization", "Dispatch",
            ]
        ),
        ("Sources/batonctl", ["Operator", "ArgumentParser"]),
        (
            "bench/transfers",
            [
                "ArgumentParser", "CDPDKShim", "CRTP", "Control", "Datagrams", "DequeModule", "FastPath", "Foundation",
                "InterCore", "Wire",
            ]
        ),
        (
            "bench/baton-bench",
            [
                "Operator", "Control", "CRTP", "FastPath", "InterCore", "Wire", "CDPDKShim", "ArgumentParser",
                "Foundation", "Glibc",
            ]
        ),
    ]

    @Test func everyImportIsAllowed() throws {
        let files = try ["Sources", "bench"].flatMap { try Repository.files(under: $0, endings: [".swift"]) }
        #expect(files.count > 10)
        for file in files {
            let entry = Self.allowed.last { file.path.hasPrefix($0.folder + "/") }
            let modules = try #require(entry?.modules, "\(file.path) belongs to no module of the table")
            for (index, line) in file.lines.enumerated() {
                guard let module = Self.importedModule(line) else { continue }
                #expect(modules.contains(module), "\(file.path):\(index + 1) must not import \(module)")
            }
        }
    }

    /// A new target cannot be forgotten.
    @Test func everyTargetIsInTheTable() throws {
        let manifest = try #require(
            try Repository.files(under: ".", endings: ["Package.swift"]).first { $0.path == "./Package.swift" })
        for line in manifest.lines {
            guard let name = line.firstMatch(of: /arget\(\s*name: "([\w-]+)"/)?.1, !name.hasSuffix("Tests") else {
                continue
            }
            guard !["CDPDKShim", "CDatagrams"].contains(name), !name.hasPrefix("baton-bench") else { continue }
            let isListed = Self.allowed.contains { $0.folder.hasSuffix("/\(name)") } || name == "Control"
            #expect(isListed, "\(name) is not in the table of this test")
        }
    }

    @Test(arguments: [
        ("import Wire", "Wire"), ("public import CRTP", "CRTP"), ("@preconcurrency package import NIOCore", "NIOCore"),
        ("    import Glibc // why", "Glibc"), ("import struct Foundation.Data", "Foundation"),
        ("@_spi(Testing) import Wire", "Wire"),
    ]) func importsAreRecognised(_ line: String, _ module: String) {
        #expect(Self.importedModule(line[...]) == module)
    }

    @Test(arguments: ["// import Wire", "let important = 1", "imports(x)", ""]) func othersAreNot(_ line: String) {
        #expect(Self.importedModule(line[...]) == nil)
    }

    private static func importedModule(_ line: Substring) -> String? {
        var words = line.split(separator: " ").prefix { !$0.hasPrefix("//") }
        while let first = words.first, first.hasPrefix("@") || accessLevels.contains(first) {
            words = words.dropFirst()
        }
        guard words.first == "import" else { return nil }
        words = words.dropFirst()
        if let kind = words.first, declarationKinds.contains(kind) { words = words.dropFirst() }
        return words.first.map { String($0.prefix { $0 != "." }) }
    }

    private static let accessLevels: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
    private static let declarationKinds: Set<Substring> = [
        "struct", "class", "enum", "protocol", "typealias", "func", "var", "let", "actor",
    ]
}
