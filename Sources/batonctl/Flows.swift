import ArgumentParser
import Operator

struct Flows: ConsoleCommand {
    static let configuration = CommandConfiguration(
        abstract: "Lists flows, or counts them.",
        discussion: """
            Examples:
              batonctl flows --state committed --proxy p1 --limit 20
              batonctl flows --client 10.1.0.0/16 --port 443 --older 10s
              batonctl flows --server 2001:db8::/32 --younger 500ms
              batonctl flows --count
              batonctl flows --all --json | jq -r '.flows[].flow'

            However many flows there are, workers look through their tables beside their packets, a few entries at a
            time. With --json each page is a line.
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Option(name: [.short, .long], help: "At most this many rows.")
    var limit = 100

    @Flag(name: [.short, .long], help: "All rows, however many.")
    var all = false

    @Flag(name: [.short, .long], help: "Only how many there are, by state and proxy.")
    var count = false

    @Option(
        help: "Only flows in this state: \(OperatorConsole.flowStates.joined(separator: ", ")).",
        completion: .list(OperatorConsole.flowStates))
    var state: String?

    @Option(help: "Only flows of this proxy.")
    var proxy: String?

    @Option(help: "Only flows of clients in this prefix: 10.0.0.0/8, 2001:db8::/32, or an address.")
    var client: String?

    @Option(help: "Only flows to servers in this prefix.")
    var server: String?

    @Option(name: [.long, .customLong("server-port")], help: "Only flows to this port of the server.")
    var port: Int?

    @Option(help: "Only flows from this port of the client.")
    var clientPort: Int?

    @Option(help: "Only flows without a packet for so long: 10s, 500ms, 5min.")
    var older: IdleTime?

    @Option(help: "Only flows with a packet since so long ago.")
    var younger: IdleTime?

    @Option(help: "Reads on from where a listing stopped.")
    var cursor: String?

    func run(_ console: OperatorConsole) throws(ControlClientProblem) {
        var selection = FlowSelection()
        selection.state = state
        selection.proxy = proxy
        selection.client = client
        selection.server = server
        selection.clientPort = clientPort
        selection.serverPort = port
        selection.idleAtLeastMilliseconds = older?.milliseconds
        selection.idleAtMostMilliseconds = younger?.milliseconds
        if count {
            print(try console.flowCounts(selection))
        } else {
            try console.flows(selection, limit: all ? .max : limit, cursor: cursor) { print($0) }
        }
    }
}

/// A length of time with its unit.
struct IdleTime: ExpressibleByArgument, CustomStringConvertible {
    let milliseconds: Int

    init(milliseconds: Int) { self.milliseconds = milliseconds }

    init?(argument: String) {
        guard let milliseconds = OperatorConsole.milliseconds(argument) else { return nil }
        self.milliseconds = milliseconds
    }

    var description: String { OperatorConsole.text(ofMilliseconds: milliseconds) }
}
