import Adoption
import CRTP
import Foundation
import StrictYAML
import Testing
import Wire

@Suite struct ConfigurationTests {
    /// The example of docs/agent.md, with a key file that exists.
    private func example() throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        let page = try String(contentsOfFile: root + "/docs/agent.md", encoding: .utf8)
        let start = try #require(page.firstRange(of: "```yaml\n"))
        let end = try #require(page[start.upperBound...].firstRange(of: "```"))
        let key = NSTemporaryDirectory() + "baton-key-\(UUID().uuidString)"
        try String(repeating: "0f", count: 32).write(toFile: key, atomically: false, encoding: .utf8)
        return String(page[start.upperBound..<end.lowerBound]).replacing("/etc/baton/key1", with: key)
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
        #expect(configuration.sites.count == 3)
        #expect(configuration.sites[0].content == .directory(DirectorySite(root: "/srv/www")))
        #expect(configuration.sites[1].content == .cache(CacheSite(address: Endpoint("127.0.0.1:6081")!)))
        var relay = RelaySite(target: .address(Endpoint("127.0.0.1:8443")!))
        relay.isTLS = true
        relay.announcesClient = true
        #expect(configuration.sites[2].content == .relay(relay))
        #expect(Catalogue.services(configuration.sites).count == 4)
    }

    @Test(arguments: [
        ("root: /srv/www", "roots: /srv/www", "unknown key 'roots'"),
        ("root: /srv/www", "root: srv/www", "'root' is not an absolute path"),
        ("interface: eth0", "", "required key 'interface' is missing"),
        ("current-key: 1", "current-key: 2", "'current-key' 2 is not among 'key-files'"),
        ("credits: 1024", "credits: 0", "'credits' expects"),
        ("delivery-mark: 0xba700002", "delivery-mark: 0xba700001", "must differ"),
        ("cache: http://127.0.0.1:6081", "cache: 127.0.0.1", "'cache' expects"),
        ("    tls: true", "    root: /srv", "exactly one of 'root', 'cache' and 'relay'"),
    ]) func aMistakeIsToldWithItsPlace(good: String, bad: String, message: String) throws {
        let text = try example().replacing(good, with: bad, maxReplacements: 1)
        let problems = try read(text).problems.filter(\.isError)
        #expect(problems.contains { $0.message.contains(message) && $0.line > 0 }, "\(problems)")
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
