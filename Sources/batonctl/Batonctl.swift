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
              batonctl flows --state committed --proxy p1 --limit 20
              batonctl transfers --json | jq '.[0]'
              batonctl bypass on

            Exit codes: 0 done, 1 the director refuses, 64 wrong arguments, 69 no director, 77 no permission.
            """,
        version: batonVersion,
        subcommands: [Status.self, Proxies.self, Flows.self, Transfers.self, Bypass.self, Version.self])
}

struct CommonOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "The director's control socket.", completion: .file())
    var socket = OperatorConsole.defaultSocket

    @Flag(name: [.short, .long], help: "Prints the answer as one line of JSON.")
    var json = false

    /// Prints what the director answers, or says why it does not.
    func run(_ command: (OperatorConsole) throws(ControlClientProblem) -> String) throws {
        do throws(ControlClientProblem) {
            print(try command(OperatorConsole(socket: socket, isJSON: json)))
        } catch {
            OperatorConsole.complain("batonctl: \(error)")
            throw ExitCode(error.exitCode)
        }
    }
}

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows the director, its workers and their counters.")
    @OptionGroup var common: CommonOptions
    func run() throws { try common.run { console throws(ControlClientProblem) in try console.status() } }
}

struct Proxies: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the proxies with their state and answers.")
    @OptionGroup var common: CommonOptions
    func run() throws { try common.run { console throws(ControlClientProblem) in try console.proxies() } }
}

struct Flows: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists flows.",
        discussion: "Example: batonctl flows --state committed --proxy p1 --limit 20")
    @OptionGroup var common: CommonOptions

    @Option(name: [.short, .long], help: "At most this many rows, up to 10000.")
    var limit = 100

    @Option(
        help: "Only flows in this state: opening, held, origin, committed, routed, closed.",
        completion: .list(["opening", "held", "origin", "committed", "routed", "closed"]))
    var state: String?

    @Option(help: "Only flows of this proxy.")
    var proxy: String?

    func run() throws {
        let filter = FlowFilter(limit: limit, state: state, proxy: proxy)
        try common.run { console throws(ControlClientProblem) in try console.flows(filter) }
    }
}

struct Transfers: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists pending transfers and the last ones that ended, newest first.")
    @OptionGroup var common: CommonOptions

    @Option(name: [.short, .long], help: "At most this many rows, up to 10000.")
    var limit = 100

    func run() throws {
        try common.run { console throws(ControlClientProblem) in try console.transfers(limit: limit) }
    }
}

struct Bypass: ParsableCommand {
    enum Wish: String, ExpressibleByArgument, CaseIterable { case on, off, status }

    static let configuration = CommandConfiguration(
        abstract: "Stops holding at once, or begins again.",
        discussion: """
            While bypass is on, every request goes to the origin; connections that a proxy has stay there.
            Examples: batonctl bypass on; batonctl bypass off; batonctl bypass status
            """)
    @OptionGroup var common: CommonOptions

    @Argument(help: "on, off or status.")
    var wish: Wish = .status

    func run() throws {
        let wanted: Bool? = wish == .status ? nil : wish == .on
        try common.run { console throws(ControlClientProblem) in try console.bypass(wanted) }
    }
}

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows the versions of batonctl and of the director.")
    @OptionGroup var common: CommonOptions
    func run() throws {
        try common.run { console throws(ControlClientProblem) in try console.version(client: batonVersion) }
    }
}
