import CRTP
import Control
import InterCore
import Testing
import Wire

/// Differences between two configurations, in the file's words.
@Suite struct ConfigurationChangeTests {
    private let start: DirectorConfiguration = {
        var configuration = DirectorConfiguration()
        configuration.proxies = ["p1", "p2"].enumerated().map {
            .init(name: $1, address: Endpoint(IPAddress("10.9.0.1\($0)")!, port: 7_443))
        }
        var web = DirectorConfiguration.Rule(name: "web")
        web.match.firstPort = 80
        web.match.lastPort = 80
        var more = web
        more.match.firstPort = 8_000
        more.match.lastPort = 8_099
        configuration.rules = [web, more, DirectorConfiguration.Rule(name: "rest")]
        return configuration
    }()

    private func changes(_ change: (inout DirectorConfiguration) -> Void) -> [String] {
        var other = start
        change(&other)
        return start.changes(to: other).map { change in
            "\(change.kind) \(change.key)\(change.needsRestart ? "!" : ""): \(change.from ?? "-") → \(change.to ?? "-")"
        }
    }

    @Test func nothingIsNoChange() { #expect(changes { _ in } == []) }

    @Test func scalarsAreNamedAsInTheFile() {
        #expect(
            changes {
                $0.logLevel = "debug"
                $0.timeout.floorMicroseconds = 1_500
                $0.crtp.channel.keepaliveMicroseconds = 120_000_000
                $0.crtp.keyFiles = [2: KeyFile(path: "/k2", notAfter: 5), 1: KeyFile(path: "/k1")]
                $0.metrics.listen = Endpoint("127.0.0.1:9464")
                $0.workers.flowCapacity = 1 << 20
            } == [
                "changed log: info → debug", "changed workers.flows!: 65536 → 1048576",
                "changed crtp.keys:  → [1: /k1, 2: /k2 not-after 5]", "changed crtp.keepalive: 1s → 2min",
                "changed timeout.floor: 2ms → 1500us", "changed metrics.listen!:  → 127.0.0.1:9464",
            ])
    }

    @Test func entriesOfListsHaveTheirNames() {
        #expect(
            changes {
                $0.proxies[0].weight = 3
                $0.proxies[1].name = "p3"
            } == [
                "removed proxies.p2: address 10.9.0.11:7443, weight 1, transport udp → -",
                "changed proxies.p1.weight: 1 → 3",
                "added proxies.p3: - → address 10.9.0.11:7443, weight 1, transport udp",
            ])
        #expect(
            changes {
                $0.rules[0].hosts = ["a.example"]
                $0.rules[1].hosts = ["a.example"]
                $0.rules[1].match.lastPort = 8_001
                $0.rules[2].match.mode = .canary(percent: 5)
                $0.rules[2].match.applications = [.httpGet, .httpOther, .tls]
            } == [
                "changed rules.web.ports: [80, 8000-8099] → [80, 8000-8001]", "changed rules.web.hosts:  → [a.example]",
                "changed rules.rest.application: [http-get] → [http-any, tls]",
                "changed rules.rest.mode: on → canary 5%",
            ])
        #expect(
            changes { $0.rules.append($0.rules.removeFirst()) }.contains("moved rules: web, rest → rest, web") == false)
        #expect(changes { $0.rules.insert($0.rules.removeLast(), at: 0) } == ["moved rules: web, rest → rest, web"])
        #expect(
            changes { configuration in
                var route = DirectorConfiguration.Route()
                route.match.server = AddressPrefix("10.0.0.5/32")!
                route.proxy = "p1"
                configuration.routes = [route]
            } == ["added routes.any > 10.0.0.5/32:0-65535: - → to p1"])
    }
}
