import CRTP
import Control
import InterCore
import Testing
import Wire

/// What would become of a request, by the code that decides: asked in every way in which a rule can be the wrong one.
@Suite struct ExplainTests {
    private func rule(_ name: String, _ adjust: (inout DirectorConfiguration.Rule) -> Void)
        -> DirectorConfiguration.Rule
    {
        var rule = DirectorConfiguration.Rule(name: name)
        (rule.match.firstPort, rule.match.lastPort) = (80, 80)
        adjust(&rule)
        return rule
    }

    private var rules: [DirectorConfiguration.Rule] {
        [
            rule("off") { $0.match.mode = .off },
            rule("secure") { ($0.match.firstPort, $0.match.lastPort, $0.match.applications) = (443, 443, .tls) },
            rule("elsewhere") { $0.match.server = AddressPrefix("192.0.2.0/24")! },
            rule("insiders") { $0.match.client = AddressPrefix("10.9.0.0/16")! },
            rule("mail") { $0.match.applications = .smtp },
            rule("hosts") { $0.hosts = ["*.example.net"] },
            rule("videos") { $0.paths = ["/videos/*"] },
            rule("images") { ($0.hosts, $0.paths) = (["www.example.org"], ["/images/*"]) },
            rule("rest") { $0.algorithm = .enforced },
            rule("never") { _ in },
        ]
    }

    /// Both channels up, recovery over.
    private func ready(_ adjust: (inout DirectorConfiguration) -> Void = { _ in }) -> Simulation {
        var conditions = Simulation.Conditions()
        conditions.acceptPercent = 100
        let rules = rules
        var simulation = Simulation(seed: 99, conditions) {
            $0.rules = rules
            adjust(&$0)
        }
        simulation.run(until: 2_000_000)
        return simulation
    }

    private func question(
        _ head: String, client: String? = "10.0.0.1", server: String? = "10.0.0.80", wanted: Application = .httpGet
    ) -> ExplainQuestion {
        var question = ExplainQuestion(
            FlowKey(
                client: client.map { IPAddress($0)! } ?? .unspecified, clientPort: client == nil ? 0 : 40_000,
                server: server.map { IPAddress($0)! } ?? .unspecified, serverPort: 80))
        (question.knowsClient, question.knowsServer) = (client != nil, server != nil)
        let bytes = Array(head.utf8)
        question.request = .init(
            bytes: bytes, recognition: bytes.withUnsafeBytes { recogniseRequest($0, wanted: [.httpGet, .httpOther]) })
        return question
    }

    private func get(_ path: String, host: String = "www.example.org", more: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\(more)\r\n"
    }

    @Test func eachRuleSaysWhyNot() {
        let simulation = ready()
        let explanation = simulation.core.explain(question(get("/index.html")), answer: nil, now: simulation.now)
        #expect(
            explanation.rules.map { "\($0.name): \($0.verdict) \($0.reason)" } == [
                "off: no its mode is off", "secure: no port 80 is not in 443",
                "elsewhere: no server 10.0.0.80 is not in 192.0.2.0/24",
                "insiders: no client 10.0.0.1 is not in 10.9.0.0/16",
                "mail: no application http-get is not one of smtp",
                "hosts: no host 'www.example.org' is not one of *.example.net",
                "videos: no path '/index.html' is not one of /videos/*",
                "images: no path '/index.html' is not one of /images/*", "rest: decides ", "never: later ",
            ])
        #expect(explanation.outcome == "asked" && explanation.rule == "rest" && explanation.proxy == "p0")
        #expect(explanation.algorithm == "enforced")
        #expect(explanation.summary == "held, and p0 is asked")
    }

    @Test func credentialsMethodsAndDots() {
        let simulation = ready { $0.rules = [self.rule("videos") { $0.paths = ["/videos/*"] }] }
        func reason(_ head: String) -> String {
            simulation.core.explain(question(head), answer: nil, now: simulation.now).rules[0].reason
        }
        #expect(
            reason(get("/videos/a", more: "Cookie: a=b\r\n"))
                == "the request has credentials, and the rule is not public")
        #expect(reason(get("/videos/../a")).hasPrefix("path '/videos/../a' has dot segments"))
        #expect(
            reason("DELETE /videos/a HTTP/1.1\r\nHost: a.example\r\n\r\n")
                == "application http-other is not one of http-get")
        let strange = simulation.core.explain(
            question("GET / HTTP/1.1\r\n\r\n"), answer: nil, now: simulation.now)
        #expect(strange.outcome == "unsuitable" && strange.summary.contains("hostMissing"))
    }

    @Test func protocolsModesAndRoutes() {
        var simulation = ready {
            $0.rules = [self.rule("tls") { $0.match.applications = .tls }]
            $0.routes = [.init()]
            $0.routes[0].match.client = AddressPrefix("10.7.0.0/16")!
            $0.routes[0].proxy = "p1"
        }
        var asked = question("")
        asked.request = .init(
            bytes: Array("a.example".utf8),
            recognition: .request(
                RecognisedRequest(application: .tls, headLength: 9, host: ByteRange(start: 0, count: 9), alpn: .http2)))
        let declined = simulation.core.explain(asked, answer: nil, now: simulation.now)
        #expect(declined.outcome == "origin" && declined.rule == "tls")
        #expect(declined.summary == "to the origin: protocolNotSpoken")
        #expect(declined.routes[0].reason == "client 10.0.0.1 is not in 10.7.0.0/16")
        asked.connection.client = IPAddress("10.7.1.1")!
        let routed = simulation.core.explain(asked, answer: nil, now: simulation.now)
        #expect(routed.outcome == "routed" && routed.summary.contains("to p1"))
        simulation.core.setBypass(true)
        asked.connection.client = IPAddress("10.0.0.1")!
        let bypassed = simulation.core.explain(asked, answer: nil, now: simulation.now)
        #expect(bypassed.outcome == "bypass" && bypassed.bypass && bypassed.summary.contains("otherwise"))
    }

    @Test func whatIsNotSaidIsNotGuessed() {
        let simulation = ready()
        let explanation = simulation.core.explain(
            question(get("/"), client: nil, server: nil), answer: nil, now: simulation.now)
        #expect(explanation.rules[2].verdict == "depends" && explanation.rules[3].verdict == "depends")
        #expect(explanation.outcome == "asked" && explanation.rule == "rest")
        #expect(explanation.summary.contains("unless elsewhere, insiders comes first"))
        var connection = question("")
        connection.request = nil
        let candidate = simulation.core.explain(connection, answer: nil, now: simulation.now)
        #expect(candidate.outcome == "candidate")
        #expect(candidate.rules.last?.verdict == "depends" && candidate.rules[6].verdict == "depends")
        connection.connection.serverPort = 25
        #expect(simulation.core.explain(connection, answer: nil, now: simulation.now).outcome == "passes")
    }

    /// A canary's lot is the worker's own: of many connections the same part is taken.
    @Test func canariesAreDrawnAsWorkersDraw() {
        let simulation = ready { $0.rules = [self.rule("web") { $0.match.mode = .canary(percent: 30) }] }
        var asked = question(get("/"))
        var taken = 0
        for port in 1...1_000 as ClosedRange<UInt16> {
            asked.connection.clientPort = port
            let explanation = simulation.core.explain(asked, answer: nil, now: simulation.now)
            let isTaken = isCanary(hash: flowHash(of: asked.connection, seed: simulation.core.hashSeed), percent: 30)
            #expect((explanation.outcome == "asked") == isTaken)
            taken += isTaken ? 1 : 0
        }
        #expect((200...400).contains(taken))
    }

    /// However often it is asked, the next request's choice is what was said, and nobody's turn was used up.
    @Test(arguments: SelectionAlgorithm.allCases) func askingChangesNothing(_ algorithm: SelectionAlgorithm) throws {
        var simulation = ready { $0.rules = [self.rule("web") { $0.algorithm = algorithm }] }
        for port in 1...20 as ClosedRange<UInt16> {
            let held = heldRequest(
                rules: 1, port: port, handle: FlowHandle(worker: 0, index: UInt32(port), generation: 1))
            var asked = ExplainQuestion(held.request.connection.key)
            (asked.knowsClient, asked.knowsServer) = (true, true)
            asked.request = .init(bytes: held.payload, recognition: .request(held.request.request))
            let said = (0..<3).map { _ in
                simulation.core.explain(asked, answer: nil, now: simulation.now).proxy
            }
            #expect(Set(said).count == 1)
            simulation.core.actions = []
            held.payload.withUnsafeBytes {
                simulation.core.handle(.requestHeld(held.request), payload: $0, worker: 0, now: simulation.now)
            }
            let slot = try #require(simulation.core.transfers.slot(handle: held.request.handle))
            #expect(said[0] == "p\(simulation.core.transfers[slot].proxy)")
        }
    }

    @Test func proxiesSayWhyTheyCannotBeAsked() {
        var simulation = ready { $0.rules = [self.rule("web") { _ in }] }
        _ = simulation.core.set(.drain, proxy: "p1", now: simulation.now)
        let explanation = simulation.core.explain(question(get("/")), answer: nil, now: simulation.now)
        #expect(
            explanation.proxies == [
                .init(proxy: "p0", eligible: true, reason: "", chosen: true),
                .init(proxy: "p1", eligible: false, reason: "draining", chosen: false),
            ])
        _ = simulation.core.set(.drain, proxy: "p0", now: simulation.now)
        let nobody = simulation.core.explain(question(get("/")), answer: nil, now: simulation.now)
        #expect(nobody.outcome == "origin" && nobody.summary == "to the origin: no proxy can be asked")
    }

    /// The flow that there is, with its transfer, found by its worker.
    @Test func aLiveFlowIsShown() throws {
        var simulation = ready { $0.rules = [self.rule("web") { _ in }] }
        simulation.at(2_100_000, .arrival(7))
        simulation.run(until: 2_200_000)
        let key = simulation.workers.flatMap { $0.flows.values }[0].key
        simulation.core.beginFind(key, now: simulation.now)
        simulation.carryOut()
        simulation.run(until: 2_300_000)
        let found = simulation.core.takeFlows(now: simulation.now)
        let answer = try #require(found)
        var asked = ExplainQuestion(key)
        (asked.knowsClient, asked.knowsServer) = (true, true)
        let explanation = simulation.core.explain(asked, answer: answer, now: simulation.now)
        #expect(explanation.flow?.flow == "\(key)" && explanation.flow?.state == "committed")
        #expect(explanation.transfer?.state == "committed")
    }

    @Test func rulesAndRoutesAreListed() {
        var simulation = ready {
            $0.routes = [.init(), .init()]
            $0.routes[0].proxy = "p1"
            $0.routes[0].match.client = AddressPrefix("10.7.0.0/16")!
            ($0.routes[1].match.firstPort, $0.routes[1].match.lastPort) = (8_000, 8_080)
        }
        #expect(
            simulation.core.routeStatus().map { "\($0.ports) \($0.clients) \($0.to)" }
                == ["any 10.7.0.0/16 p1", "8000-8080 any origin"])
        _ = simulation.core.set(.drain, proxy: "p0", now: simulation.now)
        _ = simulation.core.setAlgorithm(.leastLoad, rule: "rest")
        let rows = simulation.core.candidateStatus(now: simulation.now)
        #expect(rows.map(\.rule) == rules.map(\.name) && rows[0].mode == "off" && rows[1].application == "tls")
        #expect(rows[8].algorithm == "least-load" && rows[8].proxies == ["p0", "p1"] && rows[8].proxiesReady == 1)
    }
}
