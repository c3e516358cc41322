import CRTP
import Control
import Foundation
import InterCore
import Operator
import StrictYAML
import Testing
import Wire

/// What is said of a director's file that is wrong: file, line and remedy, word for word.
@Suite struct ConfigurationTests {
    private let scratch = ScratchDirectory()

    /// A good file of seven lines, then `more`.
    private func check(_ more: String, keys: String? = nil) -> [String] {
        let text = """
            ports:
              client: ["net_af_xdp0,iface=a"]
              server: ["net_af_xdp1,iface=b"]
            crtp: { keys: { 1: \(keys ?? scratch.key()) } }
            proxies:
              - { name: p1, address: "10.9.0.11:7443" }
              - { name: p2, address: "10.9.0.12:7443" }

            """
        return LoadedConfiguration.parse(text + more, name: "demo.yaml").problems.map(\.description)
    }

    @Test func whatFollowsAConnectionMustSeeBothItsDirections() {
        for key in ["later-requests: move", "follow-origin: true"] {
            #expect(check("rules: [{ name: r, ports: [80], \(key) }]") == [])
            let problems = check("rules: [{ name: r, ports: [80], asymmetric: true, \(key) }]")
            #expect(problems.count == 1 && problems[0].contains("with 'asymmetric' they go another way"), "\(problems)")
        }
    }

    @Test func whoIsNotAskedMustBeResponsible() {
        let rule = "name: r, ports: [80], handoff: one-way"
        #expect(check("rules: [{ \(rule), algorithm: enforced }]") == [])
        #expect(check("rules: [{ \(rule), algorithm: application-hash }]") == [])
        for (keys, words) in [
            ("", "'round-robin' does not"), ("algorithm: least-load", "'least-load' does not"),
            ("algorithm: enforced, reset-by: proxy", "waits for the proxy's word"),
            ("algorithm: enforced, requirements: { delay: 1ms }", "it is not asked"),
        ] {
            let problems = check("rules: [{ \(rule)\(keys.isEmpty ? "" : ", ")\(keys) }]")
            #expect(problems.count == 1 && problems[0].contains(words), "\(problems)")
        }
        let udp = check("rules: [{ name: r, ports: [53], application: [dns], handoff: ask }]")
        #expect(udp.count == 1 && udp[0].contains("'handoff' has no meaning for UDP"), "\(udp)")
    }

    @Test func theGoodPartIsGood() {
        #expect(check("") == [])
    }

    @Test func aMisspeltKey() {
        #expect(
            check("control: { sokcet: /run/x }\n") == [
                "demo.yaml:8:12: unknown key 'sokcet': did you mean 'socket'? (known keys here: socket, group)"
            ])
    }

    @Test func aWrongType() {
        #expect(
            check("workers: { count: many, idle: 5 }\n") == [
                "demo.yaml:8:19: 'count' expects an integer between 1 and 64, but 'many' stands here: "
                    + "write a number in that range",
                "demo.yaml:8:31: 'idle' expects one of adaptive, spin, but '5' stands here",
            ])
    }

    /// A file whose channels' part is at stake; lines 4 and 6.
    private func check(crtp: String, proxy: String) -> [String] {
        let text = """
            ports:
              client: ["net_af_xdp0,iface=a"]
              server: ["net_af_xdp1,iface=b"]
            crtp: { keys: { 1: \(scratch.key()) }\(crtp) }
            proxies:
              - { name: p1, address: "10.9.0.11:7443"\(proxy) }

            """
        return LoadedConfiguration.parse(text, name: "demo.yaml").problems.map {
            $0.description.replacingOccurrences(of: scratch.path, with: "/etc/baton")
        }
    }

    @Test func channelsOverTCPAndTLS() {
        scratch.certificate("one", "other")
        let directory = scratch.path
        let good = ", tls: { ca: \(directory)/one.pem, certificate: \(directory)/one.pem, key: \(directory)/one.key }"
        #expect(check(crtp: good, proxy: ", transport: tls, server-name: p1.example.org") == [])
        #expect(check(crtp: "", proxy: ", transport: tcp") == [])
        #expect(
            check(crtp: "", proxy: ", transport: tpc") == [
                "demo.yaml:6:55: 'transport' expects one of udp, tcp, tls, http, but 'tpc' stands here: did you mean 'tcp'?"
            ])
        #expect(
            check(crtp: "", proxy: ", transport: tcp, server-name: p1.example.org").map { $0.suffix(102) }
                == [
                    "'server-name' is the name in a certificate, and 'transport' is not tls: "
                        + "add transport: tls, or take 'server-name' away"
                ].map { $0.suffix(102) })
        #expect(check(crtp: "", proxy: ", transport: tls, server-name: 10.9.0.11").count == 1)
        for (files, message) in [
            ("ca: /nowhere.pem", "/nowhere.pem holds no certificate that can be read (PEM): name a file with"),
            ("certificate: \(directory)/one.pem", "'certificate' and 'key' belong together, and one is missing"),
            (
                "certificate: \(directory)/one.pem, key: \(directory)/other.key",
                "/etc/baton/other.key is not the key of /etc/baton/one.pem: name the certificate's own private key"
            ),
        ] {
            let told = check(crtp: ", tls: { \(files) }", proxy: "")
            #expect(told.count == 1 && told[0].hasPrefix("demo.yaml:4:") && told[0].contains(message), "\(told)")
        }
        chmod("\(directory)/one.key", 0o644)
        let told = check(crtp: good, proxy: "")
        #expect(
            told.count == 1 && told[0].contains("one.key can be read or written by everyone: chmod 0600"), "\(told)")
    }

    @Test func anUnknownProxy() {
        #expect(
            check("rules:\n  - { name: web, ports: [80], proxies: [p3] }\nroutes:\n  - { to: orgin }\n") == [
                "demo.yaml:9:5: rule 'web' can never match: the route in line 11 takes everything that it would: "
                    + "remove it, or narrow the route in line 11",
                "demo.yaml:9:41: unknown proxy 'p3': did you mean 'p1'? (known proxies: p1, p2)",
                "demo.yaml:11:11: unknown proxy 'orgin': did you mean 'origin'? (known proxies: origin, p1, p2)",
            ])
    }

    @Test func aRuleThatAnEarlierOneShadows() {
        let rules = """
            rules:
              - { name: wide, ports: [80-90], servers: [10.0.0.0/8], hosts: ["*.example.org"] }
              - { name: narrow, ports: [80], servers: [10.1.0.0/16], hosts: [www.example.org], paths: [/a] }
              - { name: partly, ports: [80, 443], servers: [10.1.0.0/16], hosts: [www.example.org] }
              - { name: other, ports: [80], servers: [10.1.0.0/16] }
              - { name: secret, ports: [80], servers: [10.1.0.0/16], hosts: [www.example.org], public: true }

            """
        #expect(
            check(rules) == [
                "demo.yaml:10:5: rule 'narrow' can never match: rule 'wide' in line 9 takes everything that it would: "
                    + "move it above line 9, or narrow 'wide'",
                "demo.yaml:11:5: warning: 1 of 2 combinations of ports and prefixes of rule 'partly' can never match: "
                    + "rule 'wide' in line 9 takes them: move it above line 9, or narrow 'wide'",
            ])
    }

    @Test func aRuleThatIsOffShadowsNothing() {
        let rules = "rules:\n  - { name: a, ports: [80], mode: off }\n  - { name: b, ports: [80] }\n"
        #expect(check(rules) == [])
    }

    @Test func repeatedNames() {
        #expect(
            check("rules:\n  - { name: web, ports: [80] }\n  - { name: web, ports: [81] }\n") == [
                "demo.yaml:10:5: rule 'web' stands here again; the first is in line 9: give it another name"
            ])
    }

    @Test func tooManyRules() {
        let ports = (1...65).map { String($0 * 2) }.joined(separator: ", ")
        #expect(
            check("rules:\n  - { name: web, ports: [\(ports)] }\n") == [
                "demo.yaml:9:3: the rules come to 65 combinations of ports and prefixes; at most 64 are possible: "
                    + "use port ranges, wider prefixes, or fewer rules"
            ])
    }

    @Test func badPortsAndPrefixes() {
        #expect(
            check("rules:\n  - { name: web, ports: [0, 90-80], servers: [10.0.0.0/33], clients: [10.0.0.1/8] }\n") == [
                "demo.yaml:9:26: an entry of 'ports' expects a port between 1 and 65535, or a range such as 8000-8099, "
                    + "but '0' stands here",
                "demo.yaml:9:29: an entry of 'ports' expects a port between 1 and 65535, or a range such as 8000-8099, "
                    + "but '90-80' stands here",
                "demo.yaml:9:47: an entry of 'servers' expects a prefix such as 10.0.0.0/8, 2001:db8::/32, an address "
                    + "alone, or any, but '10.0.0.0/33' stands here",
                "demo.yaml:9:71: warning: 10.0.0.1/8 has bits behind its length: write 10.0.0.0/8",
            ])
    }

    @Test func missingRequiredKeys() {
        let loaded = LoadedConfiguration.parse("proxies:\n  - { name: a }\n", name: "demo.yaml")
        #expect(
            loaded.problems.map(\.description) == [
                "demo.yaml:1:1: required key 'client' is missing in 'ports': add 'client': a list, each a DPDK device "
                    + "such as net_af_xdp0,iface=eth1 or 0000:01:00.0",
                "demo.yaml:1:1: required key 'server' is missing in 'ports': add 'server': a list, each a DPDK device "
                    + "such as net_af_xdp0,iface=eth1 or 0000:01:00.0",
                "demo.yaml:2:3: proxies are named, but 'crtp.keys' has no key for their channels: "
                    + "add crtp: { keys: { 1: /etc/baton/key1 } }",
                "demo.yaml:2:5: required key 'address' is missing in 'proxies[0]': add 'address': an address with a "
                    + "port, such as 10.0.0.1:7443 or '[2001:db8::1]:7443'",
            ])
        #expect(loaded.configuration == nil)
    }

    @Test func timesThatContradictEachOther() {
        #expect(
            check("timeout: { floor: 20ms, ceiling: 10ms }\n") == [
                "demo.yaml:8:34: 'ceiling' (10ms) is below 'floor' (20ms): "
                    + "set 'floor' to at most 10ms, or raise 'ceiling'"
            ])
        #expect(
            check("timeout: { ceiling: 85ms }\n") == [
                "demo.yaml:8:10: a request could be held for 105ms: 'workers.incomplete-head' (20ms) and "
                    + "'timeout.ceiling' (85ms) reach 100ms, when clients begin to send again: "
                    + "lower 'timeout.ceiling' or 'workers.incomplete-head'"
            ])
        #expect(check("timeout: { ceiling: 10ms }\n") == [])
    }

    @Test func keyFiles() {
        let open = scratch.file("open", "00112233445566778899aabbccddeeff", mode: 0o644)
        let short = scratch.file("short", "0011")
        let odd = scratch.file("odd", "hello")
        let missing = "\(scratch.path)/missing"
        #expect(
            check("", keys: open) == [
                "demo.yaml:4:20: key file \(open) can be read or written by everyone: chmod 0600 \(open)"
            ])
        #expect(
            check("", keys: short) == [
                "demo.yaml:4:20: key file \(short) is too short: 2 bytes, at least 16 are needed: "
                    + "make a new key: openssl rand -hex 32"
            ])
        #expect(
            check("", keys: odd) == [
                "demo.yaml:4:20: key file \(odd) does not hold hexadecimal digits: make a new key: openssl rand -hex 32"
            ])
        #expect(
            check("", keys: missing) == [
                "demo.yaml:4:20: key file \(missing) cannot be opened: No such file or directory: "
                    + "create it: (umask 077; openssl rand -hex 32 > \(missing))"
            ])
        #expect(check("", keys: "/dev/null")[0].contains("is not a plain file"))
    }

    @Test func keysWithoutTheCurrentOne() {
        let text =
            "ports: { client: [a], server: [b] }\ncrtp: { keys: { 1: \(scratch.key()), 2: \(scratch.key("k2")) }, current-key: 3 }\n"
        let problems = LoadedConfiguration.parse(text, name: "demo.yaml").problems
        #expect(problems.map(\.message) == ["'current-key' is 3, but 'keys' has no such key"])
        #expect(problems.map(\.remedy) == ["name one of 1, 2"])
    }

    @Test func keysWithTimes() {
        func problems(_ keys: String, current: Int = 1) -> [String] {
            let text = "ports: { client: [a], server: [b] }\ncrtp: { keys: { \(keys) }, current-key: \(current) }\n"
            return LoadedConfiguration.parse(text, name: "demo.yaml").problems.map(\.description)
        }
        let (first, second) = (scratch.key(), scratch.key("k2"))
        let past = "2001-01-31T00:00:00Z"
        let future = "2999-01-31T00:00:00Z"
        #expect(problems("1: \(first), 2: { file: \(second), not-before: \(future) }") == [])
        #expect(problems("1: { file: \(first), not-before: \(past), not-after: \(future) }") == [])
        #expect(
            problems("1: \(first), 2: { file: \(second), not-after: \(past) }")[0].hasSuffix(
                "warning: key 2 is over since \(past): it is not used: take it out of 'keys'"))
        #expect(
            problems("1: { file: \(first), not-after: \(past) }").last?.hasSuffix(
                "key 1 is the current one, but may not be used after \(past): make a new key and name it in 'current-key'"
            )
                == true)
        #expect(
            problems("1: { file: \(first), not-before: \(future) }")[0].hasSuffix(
                "key 1 is the current one, but may not be used before \(future): name another key in 'current-key'"))
        #expect(
            problems("1: { file: \(first), not-before: \(future), not-after: \(past) }").contains {
                $0.contains("'not-after' is not later than 'not-before'")
            })
        #expect(
            problems("1: { file: \(first), not-after: tomorrow }")[0].contains(
                "'not-after' expects a time such as 2027-01-31T00:00:00Z, but 'tomorrow' stands here"))
        #expect(problems("1: { fil: \(first) }").contains { $0.contains("unknown key 'fil': did you mean 'file'?") })
        let text =
            "ports: { client: [a], server: [b] }\n"
            + "crtp: { keys: { 1: \(first), 2: { file: k2, not-after: \(past) } }, current-key: 1 }\n"
        let loaded = LoadedConfiguration.parse(text, name: "\(scratch.path)/demo.yaml")
        #expect(loaded.keys?.held == [1], "what is over is not held")
        #expect(loaded.configuration?.crtp.keyFiles[2] == KeyFile(path: second, notAfter: 980_899_200))
    }

    @Test func theEnvironmentStandsInForKeys() throws {
        let path = scratch.file(
            "env.yaml",
            "ports: { client: [a], server: [b] }\ncrtp: { keys: { 1: \(scratch.key()) } }\n"
                + "proxies: [{ name: p1, address: \"10.9.0.11:7443\" }]\nrules: [{ name: web, ports: [80] }]\n")
        func load(_ environment: [String: String]) -> LoadedConfiguration {
            ConfigurationSource(path: path, environment: environment).load()
        }
        let loaded = load([
            "BATOND_LOG": "debug", "BATOND_CRTP__LISTEN": "[::]:7000", "BATOND_WORKERS__LIFETIMES__SYN_ONLY": "2s",
            "BATOND_CRTP__KEYS__2": scratch.key("key2"), "BATOND_CRTP__CURRENT_KEY": "2", "BATON_EAL": "ours",
            "BATOND_PROXIES": "[{ name: q1, address: '10.9.0.12:7443', weight: 4 }]", "PATH": "/bin",
            "BATOND_PORTS__CLIENT": "[c]",
        ])
        #expect(loaded.problems == [])
        let configuration = try #require(loaded.configuration)
        #expect(configuration.logLevel == "debug" && configuration.crtp.listen == Endpoint("[::]:7000"))
        #expect(configuration.workers.synOnlyMicroseconds == 2_000_000)
        #expect(loaded.keys?.held == [1, 2] && loaded.keys?.current == 2)
        #expect(configuration.proxies.map(\.name) == ["q1"] && configuration.proxies[0].weight == 4)
        #expect(configuration.ports.client == ["c"] && configuration.ports.server == ["b"])
        func problem(_ name: String, _ value: String) -> [String] { load([name: value]).problems.map(\.description) }
        #expect(
            problem("BATOND_CRTP__LISTN", "x")[0].hasPrefix(
                "BATOND_CRTP__LISTN: unknown key 'listn': did you mean 'listen'?"))
        #expect(problem("BATOND_LOGG", "x")[0].hasPrefix("BATOND_LOGG: unknown key 'logg': did you mean 'log'?"))
        #expect(
            problem("BATOND_WORKERS__COUNT", "many") == [
                "BATOND_WORKERS__COUNT: 'count' expects an integer between 1 and 64, but 'many' stands here: "
                    + "write a number in that range"
            ])
        #expect(problem("BATOND_PORTS__CLIENT", "[a, b")[0].hasPrefix("BATOND_PORTS__CLIENT: 'client' expects a list"))
        #expect(
            problem("BATOND_PROXIES__0__NAME", "x") == [
                "BATOND_PROXIES__0__NAME: 'proxies' is no section of the file: "
                    + "give the whole of it, as in BATOND_PROXIES='[…]'"
            ])
        #expect(problem("BATOND_", "x")[0].hasPrefix("BATOND_: names no key"))
        #expect(problem("BATOND_CRTP__", "x")[0].hasPrefix("BATOND_CRTP__: names no key"))
    }

    @Test func keyFilesCountFromTheFilesDirectory() {
        _ = scratch.key("key1")
        let path = scratch.file("batond.yaml", "ports: { client: [a], server: [b] }\ncrtp: { keys: { 7: key1 } }\n")
        let loaded = LoadedConfiguration.load(path)
        #expect(loaded.problems == [])
        #expect(loaded.configuration?.crtp.keyFiles == [7: KeyFile(path: "\(scratch.path)/key1")])
        #expect(loaded.keys?.current == 7)
        #expect(checkConfiguration(path).0 == loaded.configuration)
    }

    @Test(arguments: [
        ("off", RuleMode.off), ("observe", .observe), ("on", .on), ("canary 10%", .canary(percent: 10)),
        ("canary 0%", .canary(percent: 0)), ("\"on\"", .on),
    ]) func modes(_ text: String, _ mode: RuleMode) {
        let text = "ports: { client: [a], server: [b] }\nrules: [{ name: r, ports: [80], mode: \(text) }]\n"
        let loaded = LoadedConfiguration.parse(text, name: "demo.yaml")
        #expect(loaded.configuration?.rules.map(\.match.mode) == [mode])
    }

    @Test(arguments: ["canary", "canary 101%", "canary -1%", "true", "canary 5"]) func notModes(_ text: String) {
        let text = "ports: { client: [a], server: [b] }\nrules: [{ name: r, ports: [80], mode: \(text) }]\n"
        #expect(LoadedConfiguration.parse(text, name: "demo.yaml").problems.count == 1)
    }

    @Test func theReport() {
        let problem = ConfigurationProblem(
            file: "a.yaml", mark: YAMLMark(line: 2, column: 3), message: "unknown key 'x'", remedy: "remove it")
        let report = ConfigurationReport(file: "a.yaml", problems: [problem])
        #expect(report.exitCode == 1)
        #expect(report.text == "a.yaml:2:3: unknown key 'x': remove it\na.yaml: not valid, 1 error")
        #expect(
            report.json
                == #"{"file":"a.yaml","problems":[{"column":3,"file":"a.yaml","line":2,"message":"unknown key 'x'","remedy":"remove it","severity":"error"}],"valid":false}"#
        )
        #expect(ConfigurationReport(file: "a.yaml", problems: []).text == "a.yaml: valid")
        #expect(ConfigurationReport(file: "a.yaml", problems: []).exitCode == 0)
    }
}
