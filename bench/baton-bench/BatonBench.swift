import ArgumentParser
import FastPath

/// Baton's side of `make bench`: each subcommand measures one thing on one lcore and prints one line of JSON.
@main
struct BatonBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "baton-bench",
        abstract: "Measures Baton's packet way and flow table; bench/run.py sets peers beside it.",
        discussion: """
            What follows -- goes to DPDK's EAL as it is. The main lcore keeps the time, the next one is measured
            (table: the main lcore itself).

            Example:
              baton-bench transferred --capture flows.pcap --flows 100000 --packets 100000 -- --lcores 0@0,1@1 --in-memory
            """,
        subcommands: [
            InputOutput.self, SwapAddresses.self, SYNAnswers.self, Transferred.self, SYNFlood.self, Listing.self,
            Table.self, Owners.self, Blobs.self,
        ])
}

/// What every measurement on ports takes.
struct PortOptions: ParsableArguments {
    @Option(help: "The capture that the client's port receives again and again.")
    var capture: String

    @Option(help: "Packets in the capture: the pool must hold them all.")
    var packets: Int

    @Option(help: "Seconds that are measured.")
    var seconds = 2.0

    @Option(help: "Seconds before that.")
    var warmUp = 0.5

    @Argument(parsing: .postTerminator, help: "EAL arguments.")
    var eal: [String] = []

    func startEnvironment() throws {
        try Environment.start(["baton-bench"] + eal)
    }
}
