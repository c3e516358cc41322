import Adoption
import CRTP
import Foundation
import Glibc
import Streams
import StrictYAML
import Testing
import Wire

@Suite struct ConfigurationTests {
    private func page(_ name: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        return try String(contentsOfFile: "\(root)/docs/\(name)", encoding: .utf8)
    }

    /// The example of docs/agent.md, with a key file that exists.
    private func example() throws -> String { try example(in: page("agent.md")) }

    private func example(in page: String) throws -> String {
        let start = try #require(page.firstRange(of: "```yaml\n"))
        let end = try #require(page[start.upperBound...].firstRange(of: "```"))
        let key = NSTemporaryDirectory() + "baton-key-\(UUID().uuidString)"
        try String(repeating: "0f", count: 32).write(toFile: key, atomically: false, encoding: .utf8)
        chmod(key, 0o600)
        let certificate = NSTemporaryDirectory() + "baton-certificate-\(UUID().uuidString)"
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=agent",
            "-keyout", "\(certificate).key", "-out", "\(certificate).pem",
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return String(page[start.upperBound..<end.lowerBound]).replacing("/etc/baton/key1", with: key)
            .replacing("/etc/baton/agent.", with: "\(certificate).")
            .replacing("/etc/baton/ca.", with: "\(certificate).")
    }

    private func read(_ text: String) throws -> (value: AgentConfiguration?, problems: [ConfigurationProblem]) {
        try YAMLFile.parse(text, name: "agent.yaml").decode(AgentConfiguration.read)
    }

    @Test func theManualsExampleIsGoodAndShowsTheDefaults() throws {
        let (value, problems) = try read(example())
        #expect(problems.isEmpty, "\(problems)")
        let configuration = try #require(value)
        #expect(configuration.adoption == AdoptionSettings())
        #expect(configuration.serving == ServingSettings())
        #expect(configuration.log == LogSettings())
        #expect(configuration.channel.keys.keys[1]?.count == 32)
        #expect(configuration.user == "nobody")
        #expect(configuration.sites.count == 3)
        #expect(configuration.sites[0].content == .directory(DirectorySite(root: "/srv/www")))
        #expect(configuration.sites[1].content == .cache(CacheSite(address: Endpoint("127.0.0.1:6081")!)))
        var relay = RelaySite(target: .address(Endpoint("127.0.0.1:8443")!))
        relay.isTLS = true
        relay.announcesClient = true
        #expect(configuration.sites[2].content == .relay(relay))
        #expect(Catalogue.services(configuration.sites).count == 4)
    }

    /// The agent's part of docs/configuration.md: its example decodes to the defaults, and its table names every key.
    @Test func theReferenceIsTrue() throws {
        let reference = try #require(page("configuration.md").components(separatedBy: "\n# baton-agent\n").last)
        let text = try example(in: reference)
        let (value, problems) = try read(text)
        #expect(problems.isEmpty, "\(problems)")
        let configuration = try #require(value)
        #expect(configuration.adoption == AdoptionSettings())
        var serving = ServingSettings()
        serving.originServers = [Endpoint("203.0.113.90:80")!: Endpoint("192.0.2.80:8081")!]
        #expect(configuration.serving == serving)
        #expect(serving.server(of: Endpoint("203.0.113.80:80")!) == Endpoint("203.0.113.80:80")!)
        #expect(configuration.log == LogSettings())
        #expect(configuration.sites.count == 5)
        var described: Set<String> = []
        for line in reference.split(separator: "\n") where line.hasPrefix("| `") {
            described.insert(String(line.dropFirst(3).prefix { $0 != "`" }))
        }
        var used: Set<String> = []
        func walk(_ node: YAMLNode, _ path: String) {
            switch node {
            case .mapping(let entries, _) where path != "crtp.keys":
                for entry in entries { walk(entry.value, path.isEmpty ? entry.key : "\(path).\(entry.key)") }
            case .list(let nodes, _):
                if case .mapping? = nodes.first { nodes.forEach { walk($0, path) } } else { used.insert(path) }
            case .mapping, .scalar: used.insert(path)
            }
        }
        walk(try YAMLFile.parse(text, name: "agent.yaml").root, "")
        #expect(used.symmetricDifference(described).sorted() == [])
    }

    @Test(arguments: [
        ("root: /srv/www", "roots: /srv/www", "unknown key 'roots'"),
        ("root: /srv/www", "root: srv/www", "'root' is not an absolute path"),
        ("interface: eth0", "", "required key 'interface' is missing"),
        ("current-key: 1", "current-key: 2", "'current-key' is 2, but 'keys' has no such key"),
        ("user: nobody", "user: nobody-at-all", "'user' expects"),
        ("credits: 1024", "credits: 0", "'credits' expects"),
        ("delivery-mark: 0xba700002", "delivery-mark: 0xba700001", "must differ"),
        ("cache: http://127.0.0.1:6081", "cache: 127.0.0.1", "'cache' expects"),
        ("    tls: true", "    root: /srv", "exactly one of 'root', 'cache', 'relay', 'replay' and 'udp-server'"),
    ]) func aMistakeIsToldWithItsPlace(good: String, bad: String, message: String) throws {
        let text = try example().replacing(good, with: bad, maxReplacements: 1)
        let problems = try read(text).problems.filter(\.isError)
        #expect(problems.contains { $0.message.contains(message) && $0.line > 0 }, "\(problems)")
    }

    @Test func channelsOverTLSNeedWhatTheyShow() throws {
        let reference = try #require(page("configuration.md").components(separatedBy: "\n# baton-agent\n").last)
        let text = try example(in: reference)
        let whole = try #require(try read(text).value).channel
        #expect(whole.streams == [Endpoint("192.0.2.90:7271")!])
        #expect(whole.secureStreams == [Endpoint("192.0.2.90:7272")!])
        #expect(whole.tls.authority != nil && whole.tls.certificate != nil && whole.tls.key != nil)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("    key: ") })
        #expect(try read(text.replacing(line, with: "")).problems.contains { $0.message.contains("'key' is missing") })
        let wrong = try read(text.replacing(line, with: "    key: /nowhere.key")).problems
        #expect(wrong.contains { $0.message.contains("/nowhere.key holds no private key") && $0.line > 0 }, "\(wrong)")
    }

    @Test func servicesAreReadInTheirForms() {
        let good = ["10.0.0.80:80", "10.0.0.0/24:8080", "[2001:db8::80]:80", "[2001:db8::/64]:443", "any:80"]
        #expect(good.allSatisfy { ServicePrefix($0) != nil })
        let bad = [
            "10.0.0.80", "10.0.0.80:0", "10.0.0.80:70000", "2001:db8::80:80", "host:80", ":80", "10.0.0.0/33:80",
        ]
        #expect(bad.allSatisfy { ServicePrefix($0) == nil })
        #expect(ServicePrefix("10.0.0.0/24:80")!.contains(Endpoint("10.0.0.7:80")!))
        #expect(!ServicePrefix("10.0.0.0/24:80")!.contains(Endpoint("10.0.1.7:80")!))
        #expect(ServicePrefix("any:80")!.contains(Endpoint("[2001:db8::1]:80")!))
    }

    @Test func theProxyProtocolsHeaderIsTheStandards() {
        let v4 = FlowKey(
            client: IPAddress("1.2.3.4")!, clientPort: 0x0102, server: IPAddress("5.6.7.8")!, serverPort: 443)
        let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
        let expected = signature + [0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 1, 0xBB]
        #expect(ProxyProtocol.header(v4) == expected)
        let v6 = FlowKey(client: IPAddress("::1")!, clientPort: 1, server: IPAddress("::2")!, serverPort: 2)
        #expect(ProxyProtocol.header(v6).count == 16 + 36)
        #expect(ProxyProtocol.header(v6)[12...15] == [0x21, 0x21, 0, 36])
    }
}
