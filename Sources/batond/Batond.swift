import Adoption
import ArgumentParser
import Control
import FastPath
import Foundation
import Operator
import StrictYAML

/// The director. Arguments and wiring only.
@main
struct Batond: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batond",
        abstract: "Hands live TCP connections to proxies that can serve them; forwards everything else.",
        discussion: """
            What follows -- goes to DPDK's EAL as it is. EAL's main lcore becomes the control core, every other lcore
            a worker: give one more lcore than `workers: count` says.

            On a server (`host` in the file) the host's own interface is the clients' side, and the host gets another
            one with its addresses; EAL's arguments may be left out then.

            Environment variables may stand in for keys of the file: BATOND_LOG=debug, BATOND_CRTP__LISTEN=10.9.0.1:0,
            BATOND_RULES='[{ name: web, ports: [80] }]'.

            Examples:
              batond --config /etc/baton/batond.yaml --check-config
              batond --config /etc/baton/batond.yaml -- --lcores 0@0,1@1 --in-memory
              batond --config /etc/baton/host.yaml --restore
              batond --config trial.yaml -- --lcores 0@0,1@1 --no-huge -m 256 --no-pci
            """,
        version: batonVersion)

    @Option(name: .shortAndLong, help: "The configuration file.", completion: .file(extensions: ["yaml", "yml"]))
    var config = "/etc/baton/batond.yaml"

    @Flag(help: "Says everything that is wrong with the configuration, with file, line and remedy; starts nothing.")
    var checkConfig = false

    @Flag(help: "With --check-config: one JSON object.")
    var json = false

    @Flag(help: "Gives the host back what a director on it ('host') that was killed has left behind, and exits.")
    var restore = false

    @Argument(parsing: .postTerminator, help: "EAL arguments.")
    var eal: [String] = []

    func run() throws {
        if restore { return try giveBack() }
        let source = ConfigurationSource(path: config, environment: ProcessInfo.processInfo.environment)
        let loaded = source.load()
        let host = loaded.configuration?.host.map { AgentConfiguration.load($0.agent) }
        let problems = loaded.problems + (host?.problems ?? [])
        if checkConfig {
            let report = ConfigurationReport(file: config, problems: problems)
            print(json ? report.json : report.text)
            throw ExitCode(report.exitCode)
        }
        for problem in problems { complain("batond: \(problem)") }
        guard let configuration = loaded.configuration, let keys = loaded.keys, host == nil || host?.value != nil else {
            throw ExitCode(1)
        }
        do {
            try Director(configuration, keys: keys, from: source, agent: host?.value, eal: eal).run()
        } catch {
            complain("batond: \(error)")
            throw ExitCode(1)
        }
    }

    private func giveBack() throws {
        do {
            print(try Attachment(restoring: config).restore() ? "restored" : "nothing to restore")
        } catch {
            complain("batond: \(error)")
            throw ExitCode(1)
        }
    }
}

/// To standard error.
func complain(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
