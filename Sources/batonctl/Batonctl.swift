import ArgumentParser
import Operator

/// Asks a running director. Arguments only; `OperatorConsole` does the work.
@main
struct Batonctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "batonctl",
        abstract: "Looks into a running director, and switches it.",
        discussion: """
            Examples:
              batonctl status
              batonctl top
              batonctl origins
              batonctl flows --state committed --proxy p1 --limit 20
              batonctl flows --count --client 10.0.0.0/8
              batonctl explain http://www.example.org/video.mp4
              batonctl trace --follow 10.0.0.100
              batonctl transfers --json | jq '.[0]'
              batonctl bypass on
              batonctl algorithm least-load --rule videos
              batonctl evacuate p1
              batonctl keys rotate
              batonctl capture slow.pcapng --client 192.0.2.7 --crtp
              batonctl reload --dry-run
              batonctl --socket /tmp/b.sock --json proxies

            Completion: batonctl --generate-completion-script bash > /etc/bash_completion.d/batonctl (or zsh, fish).

            Exit codes: 0 done, 1 the director refuses, 64 wrong arguments, 69 no director, 77 no permission.
            """,
        version: batonVersion,
        subcommands: [
            Status.self, Top.self, Proxies.self, Origins.self, Candidates.self, Routes.self, Flows.self, Transfers.self,
            Explain.self,
            Trace.self, Capture.self, Algorithm.self, Bypass.self, SetProxy.self, Drain.self,
            Evacuate.self, Keys.self, Reload.self,
            Version.self,
        ])

    @OptionGroup var common: CommonOptions
}

/// Stand before the subcommand or behind it.
struct CommonOptions: ParsableArguments {
    @Option(
        name: [.short, .long], help: "The director's control socket (default: \(OperatorConsole.defaultSocket)).",
        completion: .file())
    var socket: String?

    @Flag(name: [.short, .long], help: "Prints the answer as one line of JSON.")
    var json = false
}

/// A subcommand, with its own options and those before it.
protocol ConsoleCommand: ParsableCommand {
    var batonctl: Batonctl { get }
    var common: CommonOptions { get }
    func run(_ console: OperatorConsole) throws(ControlClientProblem)
}

extension ConsoleCommand {
    /// Does it, or says why it cannot be done.
    func run() throws {
        let socket = common.socket ?? batonctl.common.socket ?? OperatorConsole.defaultSocket
        let console = OperatorConsole(socket: socket, isJSON: common.json || batonctl.common.json)
        do throws(ControlClientProblem) {
            try run(console)
        } catch {
            OperatorConsole.complain("batonctl: \(error)")
            throw ExitCode(error.exitCode)
        }
    }
}

/// A subcommand with one answer.
protocol Question: ConsoleCommand {
    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String
}

extension Question {
    func run(_ console: OperatorConsole) throws(ControlClientProblem) { print(try ask(console)) }
}

struct Status: Question {
    static let configuration = CommandConfiguration(abstract: "Shows the director, its workers and their counters.")
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions
    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String { try console.status() }
}

struct Proxies: Question {
    static let configuration = CommandConfiguration(abstract: "Lists the proxies with their state and answers.")
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions
    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String { try console.proxies() }
}

struct Origins: Question {
    static let configuration = CommandConfiguration(
        abstract: "Lists the origins of virtual servers, and what their checks found.",
        discussion: """
            Examples:
              batonctl origins
              batonctl origins --json | jq '.[] | select(.up | not) | .reason'
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions
    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String { try console.origins() }
}

struct Transfers: Question {
    static let configuration = CommandConfiguration(
        abstract: "Lists pending transfers and the last ones that ended, newest first.")
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Option(name: [.short, .long], help: "At most this many rows, up to 10000.")
    var limit = 100

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.transfers(limit: limit)
    }
}

struct Bypass: Question {
    enum Wish: String, ExpressibleByArgument, CaseIterable { case on, off, status }

    static let configuration = CommandConfiguration(
        abstract: "Stops holding at once, or begins again.",
        discussion: """
            While bypass is on, every request goes to the origin; connections that a proxy has stay there.
            Examples: batonctl bypass on; batonctl bypass off; batonctl bypass status
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "on, off or status.")
    var wish: Wish = .status

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.bypass(wish == .status ? nil : wish == .on)
    }
}

struct Algorithm: Question {
    static let configuration = CommandConfiguration(
        abstract: "Shows how proxies are selected, or changes it.",
        discussion: """
            Examples:
              batonctl algorithm
              batonctl algorithm least-load
              batonctl algorithm application-hash --rule videos

            Lasts until batond starts anew: what is to stay belongs into its configuration.
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(
        help: "\(OperatorConsole.algorithms.joined(separator: ", ")).", completion: .list(OperatorConsole.algorithms))
    var algorithm: String?

    @Option(help: "Only for this rule.")
    var rule: String?

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.algorithm(algorithm, rule: rule)
    }
}

struct Drain: Question {
    enum Wish: String, ExpressibleByArgument, CaseIterable { case on, off }

    static let configuration = CommandConfiguration(
        abstract: "Gives a proxy no new connections, or again: `proxy NAME drain`, `proxy NAME up`.",
        discussion: """
            Connections that it has stay there: when CONNS of `batonctl proxies` is 0, it can be taken away.
            Examples:
              batonctl drain p1
              batonctl drain p1 off
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "The proxy's name.")
    var proxy: String

    @Argument(help: "on or off.")
    var wish: Wish = .on

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.set(wish == .on ? "drain" : "up", proxy: proxy)
    }
}

struct SetProxy: Question {
    enum Wish: String, ExpressibleByArgument, CaseIterable { case up, drain, evacuate, down }

    static let configuration = CommandConfiguration(
        commandName: "proxy",
        abstract: "Sets what is wanted of a proxy.",
        discussion: """
            up        it is asked
            drain     it gets no new connections; those that it has go on
            evacuate  the same, and others go on with those that it has: see `batonctl evacuate`
            down      its channel is ended as well; what it was just asked for goes to the origin

            Lasts until batond starts anew. A proxy that is to stay away is taken out of the configuration.
            Examples:
              batonctl proxy p1 drain
              batonctl proxy p1 up
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "The proxy's name.")
    var proxy: String

    @Argument(help: "up, drain, evacuate or down.")
    var wish: Wish

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.set(wish.rawValue, proxy: proxy)
    }
}

struct Keys: Question {
    enum Wish: String, ExpressibleByArgument, CaseIterable { case show, rotate }

    static let configuration = CommandConfiguration(
        abstract: "Shows which keys are held and used, or changes to another one.",
        discussion: """
            `rotate` reads crtp.keys and the key files anew and goes to the next higher number. Give the new key to the
            agents first (their crtp.keys, then SIGHUP), then to the director's file, then rotate, then take the old one
            away. Connections and transfers under way notice nothing.
            Examples:
              batonctl keys
              batonctl keys rotate
              batonctl keys rotate --to 1
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "show or rotate.")
    var wish: Wish = .show

    @Option(help: "With rotate: this key instead of the next one.")
    var to: UInt8?

    @Flag(help: "With rotate: although an agent that is up does not hold the key. It keeps its session until it does.")
    var force = false

    func validate() throws {
        if wish == .show, to != nil || force { throw ValidationError("--to and --force go with rotate") }
    }

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        wish == .show ? try console.keys() : try console.rotateKeys(to: to, isForced: force)
    }
}

struct Reload: Question {
    static let configuration = CommandConfiguration(
        abstract: "Takes the configuration file as it is now: all of it, or nothing.",
        discussion: """
            The file is checked as a whole first. No connection and no held request is lost; a proxy that was taken out
            keeps the connections that it has. What only a restart can change refuses the reload, and is named.
            Examples:
              batonctl reload --dry-run
              batonctl reload
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Flag(help: "Only shows what would change.")
    var dryRun = false

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.reload(isDryRun: dryRun)
    }
}

struct Version: Question {
    static let configuration = CommandConfiguration(abstract: "Shows the versions of batonctl and of the director.")
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions
    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.version(client: batonVersion)
    }
}
