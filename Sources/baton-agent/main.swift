import Adoption
import ArgumentParser
import Foundation
import Logging
import Operator
import StrictYAML

struct BatonAgent: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "baton-agent",
        abstract: "Takes over TCP connections that a Baton director hands to this host, and serves them.",
        discussion: """
            EXAMPLES
              baton-agent --config /etc/baton/agent.yaml
              baton-agent --config /etc/baton/agent.yaml --take-over
              baton-agent --config /etc/baton/agent.yaml --check-config
              baton-agent --check-host --interface eth0
              baton-agent --check-host --json

            SIGTERM drains: no new connections, the present ones go on up to 'serving: drain'; a second one ends them.
            SIGHUP opens the access log anew and reads the keys again; the file and the keys must then be readable by
            'user'. --take-over starts this program in the place of the running one, which passes everything on without
            losing a request, and ends. After a crash the packet filter's rules stay, so that the kernel sends
            nothing for connections that had not begun; the next start replaces them.
            """,
        subcommands: [AdoptForParent.self])

    @Option(name: .long, help: "The configuration file (YAML).")
    var config: String?

    @Flag(name: .long, help: "Read the configuration file, say what is wrong with it, and exit.")
    var checkConfig = false

    @Flag(name: .long, help: "Test whether this host can adopt connections, say how to mend what cannot, and exit.")
    var checkHost = false

    @Option(name: .long, help: "The interface for --check-host; the configuration's when that is given.")
    var interface: String?

    @Flag(name: .long, help: "With --check-host: JSON instead of a table.")
    var json = false

    @Flag(name: .long, help: "Succeed the running agent of the same name: a new version or a new configuration.")
    var takeOver = false

    @Flag(name: .long, help: "Take away the rules that an agent of this configuration has left, and exit.")
    var removeGuard = false

    mutating func run() throws {
        let configuration = try readConfiguration()
        if checkHost { return try runHostCheck(configuration) }
        guard let configuration else { throw ValidationError("--config FILE is missing") }
        if checkConfig { return print("\(config!): good") }
        if removeGuard { return Guard.remove(Agent.rules(configuration)) }
        try serve(configuration)
    }

    private func readConfiguration() throws -> AgentConfiguration? {
        guard let config else { return nil }
        let (configuration, problems) = AgentConfiguration.load(config)
        for problem in problems { FileHandle.standardError.write(Data("\(problem)\n".utf8)) }
        if configuration == nil { throw ExitCode(1) }
        return configuration
    }

    private func runHostCheck(_ configuration: AgentConfiguration?) throws {
        let report = HostCheck.run(interface: interface ?? configuration?.interface, configuration: configuration)
        print(json ? report.json : report.table)
        if report.hasFailed { throw ExitCode(1) }
    }

    private func serve(_ configuration: AgentConfiguration) throws {
        LineLogHandler.bootstrap(
            level: configuration.log.level,
            sink: LogSink(
                format: LogFormat(rawValue: configuration.log.format) ?? .text,
                linesPerSecond: configuration.log.linesPerSecond))
        // Before any thread is started, so that all inherit it: signals are taken here alone.
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { sigaddset(&signals, signal) }
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        signal(SIGPIPE, SIG_IGN)
        let logger = Logger(label: "baton-agent")
        let agent: Agent
        do { agent = try Agent(configuration, takesOver: takeOver, logger: logger) } catch {
            logger.critical("cannot start: \(error)")
            throw ExitCode(1)
        }
        agent.start()
        var received: Int32 = 0
        while sigwait(&signals, &received) == 0 {
            if received == SIGHUP {
                agent.reopenLogs()
                if let config { agent.readKeysAgain(config) }
            }
            // From the agent itself: a successor has taken over.
            if received == SIGTERM || received == SIGINT || agent.hasSuccessor { break }
        }
        let isImpatient = {
            var pending = sigset_t()
            sigpending(&pending)
            return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1
        }
        if agent.hasSuccessor { agent.serveOut(isImpatient: isImpatient) } else { agent.stop(isImpatient: isImpatient) }
        if agent.hasFailed { throw ExitCode(1) }
    }
}

BatonAgent.main()
