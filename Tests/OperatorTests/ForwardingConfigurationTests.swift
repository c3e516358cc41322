import Control
import InterCore
import Operator
import Testing
import Wire

/// The roles of a director's file: what is read, and what is said of what does not go together.
@Suite struct ForwardingConfigurationTests {
    private let scratch = ScratchDirectory()

    private var head: String {
        """
        ports: { client: ["net_af_xdp0,iface=a"], server: ["net_af_xdp1,iface=b"] }
        crtp: { keys: { 1: \(scratch.key("key1")) } }

        """
    }

    private static let proxies = """
        proxies:
          - { name: p1, address: "10.9.0.11:7443", mac: "02:00:00:00:00:11", encapsulation: { kind: gue, address: 10.9.0.11 } }

        """
    private static let forwarder = """
        role: forwarder
        tunnel-address: [10.9.0.3, "2001:db8::3"]
        classifiers:
          - { name: k1, health: "10.9.0.41:9100", encapsulation: { kind: vxlan, vni: 5, address: "2001:db8::51" } }
          - { name: k2, mac: "02:00:00:00:00:42", check: { interval: 0 }, encapsulation: { kind: ipip, address: 10.9.0.52, mtu: 9000 } }
        virtual-servers: [{ name: www, address: "203.0.113.80:80" }]

        """
    private static let classifier = """
        role: classifier
        tunnel-address: [10.9.0.51]
        forwarders: { kind: vxlan, vni: 5, addresses: [10.9.0.3, 10.9.0.4], gateway: "02:00:00:00:00:01", mtu: 1600 }
        virtual-servers: [{ name: www, address: "203.0.113.80:80", origins: [{ name: o, address: "10.0.0.80:80" }] }]

        """

    private func problems(_ text: String) -> String {
        LoadedConfiguration.parse(head + text, name: "demo.yaml").problems.map(\.description).joined(separator: "\n")
    }

    @Test func aForwarderIsRead() throws {
        let loaded = LoadedConfiguration.parse(head + Self.forwarder + Self.proxies, name: "demo.yaml")
        #expect(loaded.problems.map(\.description) == [])
        let configuration = try #require(loaded.configuration)
        #expect(configuration.role == .forwarder && configuration.originCount == 2)
        let (first, second) = (configuration.classifiers[0], configuration.classifiers[1])
        #expect(first.encapsulation.source == IPAddress("2001:db8::3") && first.encapsulation.network == 5)
        #expect(first.health == Endpoint("10.9.0.41:9100") && first.mac == nil && !first.encapsulation.namesFlows)
        #expect(second.encapsulation.source == IPAddress("10.9.0.3") && second.encapsulation.mtu == 9_000)
        #expect(second.check.isOff && second.mac == MACAddress("02:00:00:00:00:42"))
        let way = try #require(configuration.proxies.first?.encapsulation)
        #expect(way.namesFlows && way.source == IPAddress("10.9.0.3") && way.innerMTU(path: 1_500) == 1_464)
        #expect(configuration.checkedServers.map(\.way) == [IPAddress("2001:db8::51"), IPAddress("10.9.0.52")])
    }

    @Test func aClassifierIsRead() throws {
        let loaded = LoadedConfiguration.parse(head + Self.classifier, name: "demo.yaml")
        #expect(loaded.problems.map(\.description) == [])
        let forwarders = try #require(loaded.configuration?.forwarders)
        #expect(forwarders.kind == .vxlan && forwarders.network == 5 && forwarders.mtu == 1_600)
        #expect(forwarders.addresses == [IPAddress("10.9.0.3")!, IPAddress("10.9.0.4")!])
        #expect(forwarders.gateway == MACAddress("02:00:00:00:00:01") && forwarders.innerMTU == 1_600 - 50)
    }

    @Test func whatDoesNotGoTogetherIsNamedWithItsRemedy() {
        let (forwarder, classifier) = (Self.forwarder, Self.classifier)
        func without(_ text: String, _ key: String) -> String {
            var isLeft = true
            return text.split(separator: "\n").filter { line in
                if !line.hasPrefix(" ") { isLeft = !line.hasPrefix(key) }
                return isLeft
            }.joined(separator: "\n") + "\n"
        }
        #expect(problems("role: router\n").contains("role"))
        for key in ["tunnel-address", "classifiers", "virtual-servers"] {
            #expect(problems(without(forwarder, key)).contains("needs '\(key)'"), "\(key)")
        }
        for key in ["tunnel-address", "forwarders", "virtual-servers"] {
            #expect(problems(without(classifier, key)).contains("needs '\(key)'"), "\(key)")
        }
        #expect(problems(forwarder + "rules: [{ name: web, ports: [80] }]\n").contains("the classifiers decide"))
        #expect(problems(without(forwarder, "role")).contains("only a forwarder sends there"))
        #expect(problems(without(classifier, "role")).contains("only a classifier takes their packets"))
        #expect(problems("tunnel-address: [10.9.0.3]\n").contains("remove it, or add 'role'"))
        #expect(problems(forwarder + "host: { agent: /etc/a.yaml }\n").contains("it stands on no server"))
        let bare = Self.proxies.replacing(", encapsulation: { kind: gue, address: 10.9.0.11 }", with: "")
        #expect(problems(forwarder + bare).contains("demo.yaml:10:"))
        #expect(problems(forwarder + bare).contains("add 'encapsulation' to it, and to its agent"))
        let origins = forwarder.replacing(
            "203.0.113.80:80\"", with: "203.0.113.80:80\", origins: [{ name: o, address: \"10.0.0.80:80\" }]")
        #expect(problems(origins).contains("remove 'origins'"))
        #expect(problems(forwarder.replacing("health: \"10.9.0.41:9100\", ", with: "")).contains("add 'health'"))
        #expect(problems(forwarder.replacing("mac: \"02:00:00:00:00:42\", ", with: "")).contains("add its 'mac'"))
        #expect(problems(forwarder.replacing("10.9.0.3, ", with: "")).contains("nothing says where the packets to"))
        #expect(problems(forwarder.replacing("name: k2", with: "name: k1")).contains("name each classifier once"))
        #expect(problems(forwarder.replacing("10.9.0.3,", with: "10.9.0.3, 10.9.0.4,")).contains("one of each family"))
        #expect(problems(classifier.replacing("10.9.0.4]", with: "\"2001:db8::4\"]")).contains("of its family"))
        #expect(problems(classifier.replacing(", vni: 5", with: "")).contains("add vni:"))
        #expect(problems(classifier.replacing("203.0.113.80:80", with: "10.9.0.51:80")).contains("a tunnel's end"))
    }
}
