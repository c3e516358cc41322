import CRTP
import Control
import Foundation
import InterCore
import Operator
import StrictYAML
import Testing
import Wire

/// `docs/configuration.md` is true: its examples decode, and its tables name every key.
@Suite struct DocumentationTests {
    private let scratch = ScratchDirectory()

    private var text: String {
        get throws { try String(contentsOfFile: "\(repositoryRoot)/docs/configuration.md", encoding: .utf8) }
    }

    /// The part about the director.
    private var directorPart: String {
        get throws {
            let parts = try text.components(separatedBy: "\n# baton-agent\n")
            return try #require(parts.first)
        }
    }

    /// The director's YAML examples, their keys in files that exist.
    private var examples: [String] {
        get throws {
            _ = (scratch.key("key1"), scratch.key("key2"))
            scratch.certificate("ca", "director")
            return try directorPart.components(separatedBy: "```yaml\n").dropFirst().map { part in
                part.components(separatedBy: "\n```")[0].replacingOccurrences(
                    of: "/etc/baton/", with: "\(scratch.path)/")
            }
        }
    }

    @Test func theExamplesDecode() throws {
        let examples = try examples
        #expect(examples.count == 2)
        for example in examples {
            let loaded = LoadedConfiguration.parse(example, name: "example.yaml")
            #expect(loaded.problems.map(\.description) == [])
            #expect(loaded.configuration != nil)
            #expect(loaded.keys?.keys[1]?.count == 32)
        }
    }

    @Test func theFirstExampleMeansWhatItSays() throws {
        let configuration = try #require(LoadedConfiguration.parse(examples[0], name: "example.yaml").configuration)
        #expect(configuration.name == "director-1")
        #expect(configuration.ports.client == ["net_af_xdp0,iface=eth1"])
        #expect(configuration.crtp.listen == Endpoint("10.9.0.1:0"))
        #expect(configuration.proxies.map(\.name) == ["p1", "p2"])
        #expect(configuration.proxies[1].weight == 2)
        #expect(configuration.rules.map(\.name) == ["web", "web", "secure-web", "http3", "names"])
        #expect(configuration.rules[3].match.applications == .quic && configuration.rules[3].alpn == .http3)
        #expect(configuration.rules[4].match.applications == .dns)
        #expect(configuration.rules[0].match.server == AddressPrefix("10.0.0.0/8"))
        #expect(configuration.rules[1].match.server == AddressPrefix("2001:db8::/32"))
        #expect(configuration.rules[0].match.firstPort == 80)
        #expect(configuration.rules[0].match.lastPort == 80)
        #expect(configuration.rules[0].hosts == ["www.example.org", "*.cdn.example.org"])
        #expect(configuration.rules[0].paths == ["/static/*"])
        #expect(configuration.rules[2].match.mode == .canary(percent: 10))
        #expect(configuration.rules[2].match.applications == .tls)
        #expect(configuration.rules[2].proxies == ["p1"])
        #expect(configuration.routes.count == 1)
        #expect(configuration.routes[0].proxy == nil)
        #expect(configuration.routes[0].match.server == AddressPrefix("10.0.0.5/32"))
        #expect(configuration.control.group == "baton")
    }

    @Test func theSecondExampleShowsTheDefaults() throws {
        let shown = try #require(LoadedConfiguration.parse(examples[1], name: "example.yaml").configuration)
        let defaults = DirectorConfiguration()
        #expect(shown.name == defaults.name)
        #expect(shown.logLevel == defaults.logLevel)
        #expect(shown.workers == defaults.workers)
        #expect(shown.timeout == defaults.timeout)
        #expect(shown.crtp.channel == defaults.crtp.channel)
        #expect(shown.crtp.listen == defaults.crtp.listen)
        #expect(shown.crtp.algorithm == defaults.crtp.algorithm)
        #expect(shown.crtp.currentKey == defaults.crtp.currentKey)
        #expect(shown.control.path == defaults.control.path)
        #expect(shown.ports.queues == defaults.ports.queues)
        #expect(shown.rules[0].match.mode == CandidateRule().mode)
        #expect(shown.rules[0].priority == DirectorConfiguration.Rule(name: "").priority)
    }

    /// The second example has every key, and the tables describe just these.
    @Test func theTablesNameEveryKey() throws {
        var described: Set<String> = []
        for line in try directorPart.split(separator: "\n") where line.hasPrefix("| `") {
            described.insert(String(line.dropFirst(3).prefix { $0 != "`" }))
        }
        let root = try YAMLFile.parse(examples[1], name: "example.yaml").root
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
        walk(root, "")
        // What stands there as a comment goes only instead of something else.
        for line in try examples[1].split(separator: "\n") where line.hasPrefix("# ") {
            let alternative = try YAMLFile.parse(String(line.dropFirst(2)), name: "alternative.yaml")
            walk(alternative.root, "")
        }
        #expect(used.subtracting(described).sorted() == [])
        #expect(described.subtracting(used).sorted() == [])
        // And `batonctl reload` tells of changes of any of them. A route's matches and an entry's name are its name there.
        var shown = try #require(LoadedConfiguration.parse(examples[1], name: "example.yaml").configuration)
        // Which the example's role does not have.
        let way = DirectorConfiguration.EncapsulationSettings(
            .gue, from: IPAddress("10.9.0.3")!, to: IPAddress("10.9.0.51")!)
        shown.classifiers = [.init(name: "k1", encapsulation: way)]
        let told = shown.describedKeys
        let names = [
            "proxies.name", "classifiers.name", "virtual-servers.name", "rules.name", "routes.servers",
            "routes.clients", "routes.ports",
        ]
        #expect(described.subtracting(names).symmetricDifference(told).sorted() == [])
    }
}
