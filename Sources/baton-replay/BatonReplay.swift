import Adoption
import ArgumentParser
import FastPath
import Foundation
import Logging
import Operator
import StrictYAML

/// Gives connections that an agent takes over to servers that know nothing of it. Arguments and wiring only.
@main
struct BatonReplay: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "baton-replay",
        abstract:
            "Hands connections that this host's baton-agent takes over to unmodified servers, by replayed handshakes.",
        discussion: """
            Stands between the network and the host: the agent's 'interface' becomes a DPDK port, and the host gets an
            interface of its own ('replay: device') with the same addresses and routes. All traffic passes as it is, but for
            connections that the agent's catalogue gives to a server ('replay: ADDRESS:PORT').

            It comes and goes while traffic runs. SIGTERM detaches: no new connections, the present ones go on up to
            'serving: drain', then the interface is the kernel's again. After a crash --restore gives the host its
            addresses back.

            What follows -- goes to DPDK's EAL instead of the defaults.

            Examples:
              baton-replay --config /etc/baton/agent.yaml
              baton-replay --config /etc/baton/agent.yaml -- --lcores 0@2,1@3 --in-memory
              baton-replay --config /etc/baton/agent.yaml --restore
            """,
        version: batonVersion)

    @Option(
        name: .shortAndLong, help: "The agent's configuration file.", completion: .file(extensions: ["yaml", "yml"]))
    var config = "/etc/baton/agent.yaml"

    @Flag(help: "Gives the host back what a replayer that was killed has left behind, and exits.")
    var restore = false

    @Argument(parsing: .postTerminator, help: "EAL arguments.")
    var eal: [String] = []

    func run() throws {
        let (loaded, problems) = AgentConfiguration.load(config)
        for problem in problems { FileHandle.standardError.write(Data("\(problem)\n".utf8)) }
        guard let loaded else { throw ExitCode(1) }
        LineLogHandler.bootstrap(
            level: loaded.log.level,
            sink: LogSink(
                format: LogFormat(rawValue: loaded.log.format) ?? .text, linesPerSecond: loaded.log.linesPerSecond))
        let logger = Logger(label: "baton-replay")
        do {
            let attachment = Attachment(loaded)
            if restore { return print(try attachment.restore() ? "restored" : "nothing to restore") }
            var replayer = try HostReplayer(loaded, attachment, eal: eal, logger: logger)
            try replayer.run()
        } catch {
            logger.critical("\(error)")
            throw ExitCode(1)
        }
    }
}
