import Adoption
import CRTP
import Foundation
import Glibc
import Wire

/// `baton-agent` as a process in the proxy's namespace.
final class TestAgent {
    let process: Process
    let directory: String
    let content: [UInt8]

    static var path: String {
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().path
        let candidates = [bundle, "\(FileManager.default.currentDirectoryPath)/.build/release"]
        return candidates.map { $0 + "/baton-agent" }.first { FileManager.default.isExecutableFile(atPath: $0) } ?? ""
    }

    static let hugeBytes = 8 << 30
    static var isBuilt: Bool { !path.isEmpty }

    init(_ namespace: Namespace, keys: KeyRing, catalogue: String = "", user: String = "nobody") throws {
        directory = NSTemporaryDirectory() + "baton-agent-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory + "/www", withIntermediateDirectories: true)
        content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        try Data(content).write(to: URL(fileURLWithPath: directory + "/www/big.bin"))
        // Nothing but holes, so that each place is like the other.
        _ = FileManager.default.createFile(atPath: directory + "/www/huge.bin", contents: nil)
        truncate(directory + "/www/huge.bin", TestAgent.hugeBytes)
        try "hello\n".write(toFile: directory + "/www/index.html", atomically: false, encoding: .utf8)
        let key = keys.keys[keys.current]!.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        try key.write(toFile: directory + "/key", atomically: false, encoding: .utf8)
        chmod(directory + "/key", 0o600)
        try """
        name: proxy-1
        interface: proxy0
        user: \(user)
        crtp:
          listen: ["127.0.0.1:7270"]
          keys: { \(keys.current): \(directory)/key }
          directors: [127.0.0.1]
        catalogue:
          - origins: ["10.77.0.80:80", "[fd77::80]:80"]
            hosts: [www.example.com]
            root: \(directory)/www
        \(catalogue)
        access-log: \(directory)/access.log
        log: { level: debug }
        """.write(toFile: directory + "/agent.yaml", atomically: false, encoding: .utf8)
        process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "ip", "netns", "exec", namespace.name, TestAgent.path, "--config", directory + "/agent.yaml",
        ]
        _ = FileManager.default.createFile(atPath: directory + "/log", contents: nil)
        let log = FileHandle(forWritingAtPath: directory + "/log")!
        process.standardError = log
        process.standardOutput = log
        // As when an operator starts it from root's home, where the user that it becomes may not be.
        try FileManager.default.createDirectory(
            atPath: directory + "/home", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        process.currentDirectoryURL = URL(fileURLWithPath: directory + "/home")
        try process.run()
    }

    var log: String { (try? String(contentsOfFile: directory + "/log", encoding: .utf8)) ?? "" }
    var accessLog: String { (try? String(contentsOfFile: directory + "/access.log", encoding: .utf8)) ?? "" }

    /// The process that keeps the capability: the only child of the serving process.
    var adoptingProcess: pid_t? {
        let children = "/proc/\(process.processIdentifier)/task/\(process.processIdentifier)/children"
        let text = (try? String(contentsOfFile: children, encoding: .utf8)) ?? ""
        return text.split(separator: " ").first.flatMap { pid_t($0) }
    }

    /// SIGKILL to the serving process.
    func kill() {
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    func stop() {
        Glibc.kill(process.processIdentifier, SIGTERM)
        Glibc.kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
    }

    func remove() {
        if process.isRunning { kill() }
        try? FileManager.default.removeItem(atPath: directory)
    }
}

/// Everything that a test of an agent needs, with the channel up.
final class Scene {
    let network: TestNetwork
    let director: TestDirector
    let origin: TestOrigin
    var agent: TestAgent
    let keys = KeyRing(keys: [1: (0..<32).map { UInt8($0) }], current: 1)
    let server: Endpoint

    init(isV4: Bool, catalogue: String = "", isForwarder: Bool = false) throws {
        network = try TestNetwork()
        let address = isV4 ? TestNetwork.originAddress.v4 : TestNetwork.originAddress.v6
        server = Endpoint(IPAddress(address)!, port: 80)
        origin = try TestOrigin(network.origin, server)
        director = try TestDirector(network, keys: keys, isForwarder: isForwarder)
        agent = try TestAgent(network.proxy, keys: keys, catalogue: catalogue)
        guard director.openChannel() else { throw SystemFailure("opening the channel: \(agent.log)", code: 0) }
    }

    func connect() throws -> TestClient { try TestClient(network.client, server) }

    func get(_ path: String, _ fields: String = "", method: String = "GET") -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: www.example.com\r\n\(fields)\r\n"
    }

    /// Segments that came from the proxy's host with the origin's address.
    var spoken: [Segment] {
        director.passed.filter { $0.from == .proxy }.compactMap(\.segment).filter { $0.source == server }
    }

    func remove() {
        agent.remove()
        director.stop()
        origin.close()
        network.remove()
    }
}
