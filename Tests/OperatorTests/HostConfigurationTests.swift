import Control
import Operator
import Testing

/// `host` of a director's file: a director on a server itself.
@Suite struct HostConfigurationTests {
    private let scratch = ScratchDirectory()

    private func load(_ text: String) -> LoadedConfiguration {
        LoadedConfiguration.parse(text, name: "/etc/x/host.yaml")
    }
    private func problems(_ text: String) -> String {
        load(text).problems.map(\.description).joined(separator: "\n")
    }

    @Test func theAgentsFileIsAllThatIsNeeded() throws {
        let loaded = load("host: { agent: agent.yaml }")
        #expect(loaded.problems.map(\.description) == [])
        let configuration = try #require(loaded.configuration)
        #expect(configuration.host == .init(agent: "/etc/x/agent.yaml"))
        #expect(configuration.ports == .init())
        #expect(problems("host: {}").contains("agent"))
        #expect(problems("name: x").contains("ports"))
    }

    @Test func whatDoesNotGoTogetherIsNamed() {
        let host = "host: { agent: /a }\n"
        let keys = "keys: { 1: \(scratch.key("key1")) }"
        let ports = #"ports: { client: ["net_af_xdp0,iface=a"], server: ["net_af_xdp1,iface=b"] }"#
        let servers =
            #"virtual-servers: [{ name: v, address: "10.0.0.9:80", origins: [{ name: o, address: "10.0.0.80:80" }] }]"#
        let tunnel = """
            crtp: { \(keys) }
            proxies:
              - { name: p, address: "10.3.0.21:7443", mac: "02:00:00:00:00:14", encapsulation: { kind: ipip, address: 10.3.0.21, source: 10.0.0.3 } }
            """
        let peer = "crtp: { \(keys) }\nproxies: [{ name: p, address: \"10.0.0.12:7443\" }]\n"
        for (more, named) in [
            (peer + "routes: [{ ports: [80], to: p }]", "routes"),
            (peer + "rules: [{ name: r, ports: [53], application: [dns], hosts: [a.example] }]", "rules"),
            (ports, "ports"), (servers, "virtual-servers"), (tunnel, "proxies"), ("workers: { count: 2 }", "workers"),
            ("crtp: { \(keys), via: server-port, listen: \"10.0.0.3:7443\" }", "crtp"),
        ] {
            #expect(problems(host + more).contains("'\(named)' and 'host' do not go together"), "\(named)")
        }
    }

    @Test func onlyARestartCanChangeIt() throws {
        let (one, other) = (load("host: { agent: /a }"), load("host: { agent: /b }"))
        let changes = try #require(one.configuration).changes(to: #require(other.configuration))
        #expect(changes == [.init(.changed, "host.agent", from: "/a", to: "/b", needsRestart: true)])
    }
}
