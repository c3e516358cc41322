import Control
import InterCore
import Testing
import Wire

/// A held request for `host` and `path`, with the payload that its ranges point into.
func heldRequest(
    host: String = "www.example.org", path: String = "/", rules: UInt64 = .max, port: UInt16 = 40_000,
    handle: FlowHandle = FlowHandle(worker: 0, index: 1, generation: 1), application: Application = .httpGet,
    alpn: ALPN = [], isIPv6: Bool = false
) -> (request: HeldRequest, payload: [UInt8]) {
    let head = "GET \(path) HTTP/1.1\r\nHost: \(host)\r\n\r\n"
    let isHTTP = application == .httpGet || application == .httpOther
    let client = isIPv6 ? IPAddress("2001:db8::1")! : IPAddress("10.0.0.1")!
    let server = isIPv6 ? IPAddress("2001:db8::80")! : IPAddress("10.0.0.80")!
    let recognised = RecognisedRequest(
        application: application, headLength: head.utf8.count,
        host: ByteRange(start: 21 + path.utf8.count, count: host.utf8.count),
        path: isHTTP ? ByteRange(start: 4, count: path.utf8.count) : ByteRange(), alpn: alpn)
    let connection = ConnectionState(
        key: FlowKey(client: client, clientPort: port, server: server, serverPort: 80), psn: SequenceNumber(1_000),
        pan: SequenceNumber(9_000), clientWindow: 65_535, serverWindowEdge: SequenceNumber(70_000),
        options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460))
    let request = HeldRequest(
        handle: handle, connection: connection, request: recognised, rules: rules, recognisedAt: 0,
        heldLength: UInt32(head.utf8.count), payloadLength: UInt16(head.utf8.count))
    return (request, Array(head.utf8))
}

@Suite struct PolicyTests {
    private func rule(
        _ name: String, hosts: [String] = [], paths: [String] = [], mode: RuleMode = .on, alpn: ALPN = .http11
    ) -> DirectorConfiguration.Rule {
        var rule = DirectorConfiguration.Rule(name: name)
        rule.hosts = hosts
        rule.paths = paths
        rule.match.mode = mode
        rule.alpn = alpn
        return rule
    }

    private func decide(
        _ rules: [DirectorConfiguration.Rule], _ held: (request: HeldRequest, payload: [UInt8])
    ) -> Policy.Decision {
        held.payload.withUnsafeBytes { Policy(rules, hashSeed: 1).decide(held.request, payload: $0) }
    }

    @Test func theHelperPointsAtTheHost() {
        let held = heldRequest(host: "a.example", path: "/x/y")
        held.payload.withUnsafeBytes {
            #expect(String(decoding: held.request.request.host.of($0), as: UTF8.self) == "a.example")
            #expect(String(decoding: held.request.request.path.of($0), as: UTF8.self) == "/x/y")
        }
    }

    @Test(arguments: [
        ("www.example.org", "www.example.org", true), ("WWW.Example.ORG", "www.example.org", true),
        ("www.example.org", "example.org", false), ("example.org", "*.example.org", false),
        ("a.example.org", "*.example.org", true), ("A.B.EXAMPLE.org", "*.example.org", true),
        ("badexample.org", "*.example.org", false), ("www.example.org.evil", "www.example.org", false),
    ])
    func hosts(host: String, pattern: String, matches: Bool) {
        #expect(
            decide([rule("r", hosts: [pattern])], heldRequest(host: host))
                == (matches ? .ask(rule: 0) : .decline(.noRule)))
    }

    @Test(arguments: [
        ("/videos/1.mp4", "/videos/*", true), ("/videos", "/videos/*", false), ("/index.html", "/index.html", true),
        ("/index.html?x=1", "/index.html", true), ("/index.htm", "/index.html", false),
        ("/videos/../private", "/videos/*", false), ("/videos/./1", "/videos/*", false),
        ("/videos/%2e%2E/private", "/videos/*", false), ("/videos/..", "/videos/*", false),
        ("/videos/...x", "/videos/*", true), ("/videos/.well-known", "/videos/*", true),
        ("/Videos/1", "/videos/*", false),
        ("/videos/1?q=/../", "/videos/*", true),
    ])
    func paths(path: String, pattern: String, matches: Bool) {
        #expect(
            decide([rule("r", paths: [pattern])], heldRequest(path: path))
                == (matches ? .ask(rule: 0) : .decline(.noRule)))
    }

    @Test func theFirstMatchingRuleDecides() {
        let rules = [
            rule("off", mode: .off), rule("other", hosts: ["other.example"]),
            rule("watch", paths: ["/watched/*"], mode: .observe), rule("take"),
        ]
        #expect(decide(rules, heldRequest(path: "/watched/1")) == .observe(rule: 2))
        #expect(decide(rules, heldRequest()) == .ask(rule: 3))
        #expect(decide(rules, heldRequest(rules: 0b0111)) == .decline(.noRule))
    }

    @Test func aCanarySparesTheOthersAndStopsThere() {
        #expect(
            decide([rule("c", mode: .canary(percent: 0)), rule("take")], heldRequest()) == .decline(.ruleSparesCanary))
        #expect(decide([rule("c", mode: .canary(percent: 100))], heldRequest()) == .ask(rule: 0))
    }

    @Test func hostAndPathMustLieInThePayload() {
        var held = heldRequest(path: "/long")
        held.payload.removeLast(6)
        #expect(decide([rule("r")], held) == .decline(.tooLong))
        held = heldRequest(path: "/long")
        held.request.request.path = ByteRange()
        #expect(decide([rule("r")], held) == .decline(.tooLong))
    }

    @Test func tlsNeedsAProtocolThatTheProxiesSpeak() {
        let both = rule("r", alpn: [.http11, .http2])
        #expect(decide([both], heldRequest(application: .tls, alpn: .http2)) == .ask(rule: 0))
        #expect(decide([rule("r")], heldRequest(application: .tls, alpn: .http2)) == .decline(.protocolNotSpoken))
        #expect(decide([rule("r")], heldRequest(application: .tls, alpn: [])) == .decline(.protocolNotSpoken))
        #expect(decide([rule("r", paths: ["/x"])], heldRequest(application: .tls, alpn: .http11)) == .decline(.noRule))
    }
}
