// swift-tools-version: 6.2
// The levels of the modules (a target may name only targets of a lower level):
//
//   level 0   Wire            CDPDKShim (C)     StrictYAML     CDatagrams (C)
//   level 1   InterCore CRTP       │   FirstFlight   Datagrams
//   level 2   Control   FastPath ──┘  Streams
//   level 3   Operator  Adoption  HealthChecks
//   level 4   batond    baton-agent   batonctl   baton-bench (bench/baton-bench)
//
// Tests/RepositoryTests fails when a source file imports what this list does not allow.
import Foundation
import PackageDescription

/// What `pkg-config` says of DPDK. SwiftPM's own `pkgConfig:` refuses Debian's `libdpdk.pc` (its
/// `-include` and `-march` are not on SwiftPM's allow-list), so the manifest asks and passes the flags on.
func packageConfig(_ arguments: String...) -> [String] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["pkg-config"] + arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    // SwiftPM keeps what a manifest came to, but not that it failed: DPDK may be there the next time.
    guard (try? process.run()) != nil else { fatalError("no pkg-config: run 'make setup'") }
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { fatalError("no libdpdk for pkg-config: run 'make setup'") }
    return String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
}

let dpdkCompile = packageConfig("--cflags", "libdpdk")
/// Only the libraries that the shim calls: the drivers are plug-ins that EAL loads by itself.
let dpdkLink = [
    "-lrte_ethdev", "-lrte_mbuf", "-lrte_mempool", "-lrte_ring", "-lrte_eal", "-lrte_kvargs", "-lrte_net",
    "-lrte_telemetry", "-lrte_pdump", "-lrte_net_ring", "-lnuma",
]

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .enableUpcomingFeature("MemberImportVisibility")]
/// For every Swift target that sees the shim's headers, directly or not.
let seesDPDK: [SwiftSetting] = strict + [.unsafeFlags(dpdkCompile.flatMap { ["-Xcc", $0] })]
let linksDPDK: [LinkerSetting] = [.unsafeFlags(dpdkLink)]

let package = Package(
    name: "Baton",
    platforms: [.macOS(.v26)],
    products: [
        .executable(name: "batond", targets: ["batond"]),
        .executable(name: "baton-agent", targets: ["baton-agent"]),
        .executable(name: "batonctl", targets: ["batonctl"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    ],
    targets: [
        // Level 0
        .target(name: "CDPDKShim", cSettings: [.unsafeFlags(["-O3"] + dpdkCompile)]),
        .target(name: "CDatagrams"),
        .target(name: "Wire", swiftSettings: strict),
        .target(name: "StrictYAML", dependencies: [.product(name: "Yams", package: "Yams")], swiftSettings: strict),

        // Level 1
        .target(name: "InterCore", dependencies: ["Wire"], swiftSettings: strict),
        .target(
            name: "CRTP",
            dependencies: ["Wire", .product(name: "Crypto", package: "swift-crypto")],
            path: "Sources/Control/CRTP", swiftSettings: strict),

        .target(
            name: "FirstFlight",
            dependencies: ["Wire", .product(name: "Crypto", package: "swift-crypto")],
            path: "Sources/Control/FirstFlight", swiftSettings: strict),

        .target(name: "Datagrams", dependencies: ["CDatagrams", "Wire"], swiftSettings: strict),

        // Level 2
        .target(
            name: "Control",
            dependencies: [
                "CRTP", "FirstFlight", "Wire", "InterCore",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/Control/Core", exclude: ["Model", "TransferMachine.md"], swiftSettings: strict),
        .target(name: "FastPath", dependencies: ["CDPDKShim", "Wire", "InterCore"], swiftSettings: seesDPDK),
        .target(
            name: "Streams",
            dependencies: [
                "CRTP", "Wire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: strict),

        // Level 3
        .target(
            name: "Adoption",
            dependencies: [
                "CDatagrams", "CRTP", "InterCore", "Wire", "Streams", "StrictYAML",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "Operator",
            dependencies: [
                "Control", "CRTP", "InterCore", "Wire", "Streams", "StrictYAML",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
            ],
            resources: [.embedInCode("Page/dashboard.html")], swiftSettings: strict),

        .target(
            name: "HealthChecks",
            dependencies: [
                "Control", "Wire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict),

        // Level 4
        .executableTarget(
            name: "batond",
            dependencies: [
                "Adoption", "Operator", "HealthChecks", "Control", "CRTP", "FastPath", "InterCore", "Wire", "Datagrams",
                "Streams",
                "CDPDKShim",
                "StrictYAML",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: seesDPDK, linkerSettings: linksDPDK),
        .executableTarget(
            name: "baton-agent",
            dependencies: [
                "Adoption", "Operator", "CRTP", "Wire", "StrictYAML",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "batonctl",
            dependencies: ["Operator", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),
        .executableTarget(
            name: "baton-bench",
            dependencies: [
                "Operator", "Control", "CRTP", "FastPath", "InterCore", "Wire", "CDPDKShim",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "bench/baton-bench", swiftSettings: seesDPDK, linkerSettings: linksDPDK),

        // Measurements (level 4)
        .executableTarget(
            name: "baton-bench-transfers",
            dependencies: [
                "Control", "CRTP", "FastPath", "InterCore", "Wire", "Datagrams", "CDPDKShim",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            path: "bench/transfers", swiftSettings: seesDPDK, linkerSettings: linksDPDK),

        // Tests, one target a module
        .testTarget(name: "WireTests", dependencies: ["Wire"], swiftSettings: strict),
        .testTarget(name: "InterCoreTests", dependencies: ["InterCore", "Wire"], swiftSettings: strict),
        .testTarget(
            name: "CRTPTests", dependencies: ["CRTP", "Wire", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .testTarget(name: "FirstFlightTests", dependencies: ["FirstFlight", "Wire"], swiftSettings: strict),
        .testTarget(name: "DatagramsTests", dependencies: ["Datagrams", "Wire"], swiftSettings: strict),
        .testTarget(
            name: "ControlTests", dependencies: ["Control", "CRTP", "InterCore", "Wire"], swiftSettings: strict),
        .testTarget(
            name: "FastPathTests", dependencies: ["FastPath", "InterCore", "Wire", "CDPDKShim"], exclude: ["Golden"],
            swiftSettings: seesDPDK, linkerSettings: linksDPDK),
        .testTarget(
            name: "AdoptionTests",
            dependencies: [
                "Adoption", "CRTP", "InterCore", "Streams", "StrictYAML", "Wire",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"), .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "StreamsTests",
            dependencies: [
                "Streams", "Adoption", "CRTP", "Wire", .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "HealthChecksTests", dependencies: ["HealthChecks", "Control", "Wire"], swiftSettings: strict),
        .testTarget(
            name: "OperatorTests",
            dependencies: [
                "Operator", "Control", "CRTP", "InterCore", "Wire", "StrictYAML",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(name: "RepositoryTests", swiftSettings: strict),
    ]
)
