import Control
import Foundation
import Operator
import Testing
import Wire

/// `proxies.encapsulation` of a director's file: what is read, and what is said of what is wrong.
@Suite struct EncapsulationConfigurationTests {
    private let scratch = ScratchDirectory()

    private func load(_ encapsulation: String, more: String = ", mac: \"02:00:00:00:00:14\"", crtp: String = "")
        -> LoadedConfiguration
    {
        let text = """
            ports: { client: ["net_af_xdp0,iface=a"], server: ["net_af_xdp1,iface=b"] }
            crtp: { keys: { 1: \(scratch.key("key1")) }\(crtp) }
            proxies:
              - { name: p1, address: "10.3.0.21:7443"\(more), encapsulation: { \(encapsulation) } }
            """
        return LoadedConfiguration.parse(text, name: "demo.yaml")
    }

    private func problems(_ encapsulation: String, more: String = ", mac: \"02:00:00:00:00:14\"", crtp: String = "")
        -> String
    {
        load(encapsulation, more: more, crtp: crtp).problems.map(\.description).joined(separator: "\n")
    }

    @Test func whatAFileSaysIsRead() throws {
        let loaded = load("kind: vxlan, address: 10.3.0.21, source: 10.0.0.3, vni: 7270, mtu: 1400")
        #expect(loaded.problems.map(\.description) == [])
        var expected = DirectorConfiguration.EncapsulationSettings(
            .vxlan, from: IPAddress("10.0.0.3")!, to: IPAddress("10.3.0.21")!)
        (expected.network, expected.mtu) = (7_270, 1_400)
        #expect(loaded.configuration?.proxies.first?.encapsulation == expected)
    }

    /// The director's own address is where tunnels begin, if it has one of the family.
    @Test func theSourceIsTheDirectorsOwnAddress() {
        let own = ", via: server-port, listen: \"10.0.0.3:7443\""
        let loaded = load("kind: gue, address: 10.3.0.21", crtp: own)
        #expect(loaded.problems.map(\.description) == [])
        #expect(loaded.configuration?.proxies.first?.encapsulation?.source == IPAddress("10.0.0.3"))
        #expect(
            problems("kind: gue, address: 10.3.0.21").contains("nothing says where the packets to proxy 'p1' come from")
        )
        #expect(
            problems("kind: gue, address: \"fd00::21\"", crtp: own).contains("an IPv6 address on the servers' wire"))
    }

    @Test func whatIsWrongIsNamedWithItsRemedy() {
        let good = "kind: gue, address: 10.3.0.21, source: 10.0.0.3"
        #expect(problems(good) == "")
        #expect(problems(good, more: "").contains("demo.yaml:4:"))
        #expect(problems(good, more: "").contains("add mac: with the Ethernet address of the router"))
        #expect(problems("kind: gre, address: 10.3.0.21, source: 10.0.0.3").contains("gue"))
        #expect(problems("kind: gue, source: 10.0.0.3").contains("address"))
        #expect(problems("kind: vxlan, address: 10.3.0.21, source: 10.0.0.3").contains("add vni:"))
        #expect(problems(good + ", vni: 5").contains("'vni' is VXLAN's"))
        #expect(problems("kind: gue, address: 10.3.0.21, source: \"fd00::3\"").contains("different families"))
        #expect(problems("kind: gue, address: 224.0.0.5, source: 10.0.0.3").contains("an address of one host"))
        #expect(problems(good + ", mtu: 500").contains("576"))
        #expect(problems("kind: gue, address: \"fd00::21\", source: \"fd00::3\", mtu: 1000").contains("1280"))
        #expect(problems(good + ", mtus: 1500").contains("did you mean 'mtu'"))
    }
}
