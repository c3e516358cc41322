import Foundation
import Operator
import Testing

/// The program itself, against a real socket.
@Suite(.serialized, .enabled(if: Batonctl.isBuilt, "batonctl is not built")) struct BatonctlTests {
    @Test func tablesAndJSON() throws {
        let director = try TestDirector()
        let flows = try Batonctl.run(["flows", "--socket", director.path, "--state", "committed"])
        #expect(flows.status == 0)
        #expect(
            flows.output == """
                FLOW                          PROTOCOL  WORKER  STATE      PROXY  IDLE
                10.0.0.1:1024 > 10.0.0.80:80  tcp            0  committed  -      0.0s

                """)
        let json = try Batonctl.run(["bypass", "on", "--json", "--socket", director.path])
        #expect(json.output == "{\"bypass\":true}\n")
        let before = try Batonctl.run(["--socket", director.path, "--json", "bypass", "status"])
        #expect(before.output == "{\"bypass\":true}\n")
        #expect(try Batonctl.run(["bypass", "--socket", director.path]).output.hasPrefix("bypass is on"))
        #expect(
            try Batonctl.run(["version", "--socket", director.path]).output.contains("batond   0.1.0 (d1, process 42"))
        #expect(try Batonctl.run(["status", "--socket", director.path]).output.hasPrefix("director    d1"))
        director.stop()
    }

    /// As many requests as it takes; the header once.
    @Test func pagesFollowOneAnother() throws {
        let director = try TestDirector(flows: 2_500)
        let all = try Batonctl.run(["flows", "--all", "--socket", director.path])
        let lines = all.output.split(separator: "\n")
        #expect(lines.count == 2_501 && Set(lines).count == 2_501)
        #expect(lines.filter { $0.hasPrefix("FLOW") }.count == 1)
        let some = try Batonctl.run(["flows", "--limit", "1500", "--socket", director.path])
        #expect(some.output.contains("read on by --cursor 1500"))
        let rest = try Batonctl.run(["flows", "--cursor", "1500", "--limit", "1001", "--socket", director.path])
        #expect(rest.output.split(separator: "\n").count == 1_001 && !rest.output.contains("there may be more"))
        let json = try Batonctl.run(["flows", "--all", "--json", "--socket", director.path])
        #expect(json.output.split(separator: "\n").count == 3 && json.output.contains(#""next":"2000""#))
        director.stop()
    }

    @Test(arguments: [
        (["http://www.example.org/a?b"], " www.example.org /a?b 1 false"),
        (["http://10.0.0.80:8080"], " > 10.0.0.80:8080 10.0.0.80 / 1 false"),
        (
            ["http://[2001:db8::80]/x", "--client", "2001:db8::1"],
            "[2001:db8::1]:0 > [2001:db8::80]:80"
        ),
        (["http://a.example/x", "--method", "POST", "--credentials"], " a.example /x 2 true"),
        (["https://a.example/x", "--client", "10.0.0.1:7"], "a.example  4 false"),
        (["10.0.0.1:34114", "10.0.0.80:80"], "10.0.0.1:34114 > 10.0.0.80:80"),
        (["10.0.0.1:34114 > 10.0.0.80:80 vlan 7"], "10.0.0.1:34114 > 10.0.0.80:80 vlan 7"),
    ])
    func questionsAreUnderstood(_ arguments: [String], _ understood: String) throws {
        let director = try TestDirector()
        let outcome = try Batonctl.run(["explain"] + arguments + ["--socket", director.path])
        #expect(outcome.output.contains(understood), "\(outcome.output)")
        director.stop()
    }

    @Test func tracesStandUnderTheirConnections() throws {
        let director = try TestDirector()
        let lines = try Batonctl.run(["trace", "10.0.0.1", "--socket", director.path]).output.split(separator: "\n")
        #expect(lines.count == 5 && lines[0] == "10.0.0.1:1 > 10.0.0.80:80" && lines[3] == "10.0.0.1:2 > 10.0.0.80:80")
        #expect(lines[1].contains(/^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6} .* \+0us .* held$/))
        #expect(lines[2].contains(/\+20us +17 +p1 +TRANSFER +copy 1$/))
        let json = try Batonctl.run(["trace", "17", "--json", "--socket", director.path]).output
        #expect(json.split(separator: "\n").count == 3)
        director.stop()
    }

    @Test func rulesAndRoutes() throws {
        let director = try TestDirector()
        let rules = try Batonctl.run(["candidates", "--socket", director.path]).output
        #expect(rules.split(separator: "\n").count == 2 && rules.contains("web") && rules.contains("p1 p2"))
        #expect(try Batonctl.run(["routes", "--socket", director.path]).output == "no routes are configured\n")
        director.stop()
    }

    @Test func origins() throws {
        let director = try TestDirector()
        let lines = try Batonctl.run(["origins", "--socket", director.path]).output.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(
            lines[1].split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
                == "www 203.0.113.80:80 o1 10.0.0.80:80 down 1min 15s - connection refused")
        let json = try Batonctl.run(["origins", "--json", "--socket", director.path]).output
        #expect(json.contains(#""up":false"#) && json.contains(#""reason":"connection refused""#))
        director.stop()
    }

    /// What the shell is to complete is made by the argument parser; that it knows ours is checked here.
    @Test(arguments: ["bash", "zsh", "fish"]) func completion(_ shell: String) throws {
        let script = try Batonctl.run(["--generate-completion-script", shell])
        #expect(script.status == 0)
        for word in ["candidates", "explain", "trace", "younger", "committed", "least-load"] {
            #expect(script.output.contains(word), "\(shell) does not know \(word)")
        }
    }

    @Test func countsComeInParts() throws {
        let director = try TestDirector()
        #expect(
            try Batonctl.run(["flows", "--count", "--socket", director.path]).output == """
                STATE      PROXY  FLOWS
                committed  p1        42
                origin     -          7
                all        -         49

                """)
        #expect(
            try Batonctl.run(["flows", "--count", "--json", "--socket", director.path]).output
                == #"{"counts":[{"flows":42,"proxy":"p1","state":"committed"},{"flows":7,"proxy":"","state":"origin"}],"flows":49}"#
                + "\n")
        director.stop()
    }

    @Test func withoutADirectorItSaysWhereItLooked() throws {
        let outcome = try Batonctl.run(["status", "--socket", "/nonexistent/b.sock"])
        #expect(outcome.status == 69)
        #expect(
            outcome.output
                == "batonctl: no director serves /nonexistent/b.sock: start batond, or name its socket with --socket\n")
    }

    @Test func wrongArguments() throws {
        #expect(try Batonctl.run(["bypass", "maybe"]).status == 64)
        #expect(try Batonctl.run(["flows", "--limit", "0", "--socket", "/nonexistent"]).status == 69)
        #expect(try Batonctl.run(["--help"]).output.contains("Examples:"))
    }

    @Test func refusalsAreToldAndCoded() throws {
        let director = try TestDirector()
        let outcome = try Batonctl.run(["flows", "--limit", "0", "--socket", director.path])
        #expect(outcome.status == 1)
        #expect(outcome.output == "batonctl: the director refuses: 'limit' is an integer between 1 and 10000\n")
        director.stop()
    }

    /// Members of the group look and do not change; others get nothing. Needs root, to become others.
    @Test(.enabled(if: geteuid() == 0 && access("/usr/bin/setpriv", X_OK) == 0)) func rights() throws {
        let director = try TestDirector(access: PeerAccess(owner: 0, readers: 54_321))
        // The socket's directory and its file are made passable, so that the director's own check is what decides.
        chmod(director.path, 0o666)
        let reader = ["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--groups", "54321"]
        let stranger = ["/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        #expect(try Batonctl.run(["proxies", "--socket", director.path], through: reader).status == 0)
        let change = try Batonctl.run(["bypass", "on", "--socket", director.path], through: reader)
        #expect(change.status == 77)
        #expect(change.output.contains("user 65534 may look but not change or capture anything"))
        #expect(
            try Batonctl.run(["bypass", "--socket", director.path], through: reader).output.hasPrefix("bypass is off"))
        let nothing = try Batonctl.run(["status", "--socket", director.path], through: stranger)
        #expect(nothing.status == 77)
        #expect(nothing.output.contains("user 65534 has no access: join group 54321"))
        // The file's own mode keeps strangers from connecting at all.
        chmod(director.path, 0o660)
        let closed = try Batonctl.run(["status", "--socket", director.path], through: stranger)
        #expect(closed.status == 77)
        #expect(closed.output.contains("no permission for \(director.path)"))
        director.stop()
    }
}

private enum Batonctl {
    /// Next to the tests' own executable, or above it where tests are a bundle.
    static let path: String? = {
        var directory = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        for _ in 0..<4 {
            directory.deleteLastPathComponent()
            let candidate = directory.appendingPathComponent("batonctl").path
            if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
        }
        return nil
    }()

    static var isBuilt: Bool { path != nil }

    struct Outcome {
        var status: Int32
        var output: String
    }

    static func run(_ arguments: [String], through prefix: [String] = []) throws -> Outcome {
        let words = prefix + [try #require(path)] + arguments
        let process = Process()
        process.executableURL = URL(fileURLWithPath: words[0])
        process.arguments = Array(words.dropFirst())
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, output: String(decoding: data, as: UTF8.self))
    }
}
