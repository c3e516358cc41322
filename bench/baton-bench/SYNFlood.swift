import ArgumentParser
import InterCore

/// A flood of new connections that finds no room: every packet is a candidate's first SYN, is looked up in vain, and
/// passes, or gets a cookie.
struct SYNFlood: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synflood",
        abstract: "A worker whose table is full, and a capture of first SYNs of connections that are not in it.")

    @OptionGroup var ports: PortOptions
    @Option(help: "Flows in the table, and its capacity. The capture's are those that follow.") var flows: Int
    @Flag(name: .customLong("ipv6"), help: "The capture is IPv6.") var isIPv6 = false

    @Flag(help: "The servers are the director's own: every SYN is answered.") var answered = false

    func run() throws {
        try ports.startEnvironment()
        let bench = try WorkerBench(try PortPair(ports), flows: flows, isIPv6: isIPv6, servesVirtually: answered)
        try bench.install(0..<flows)
        let side: Counter = answered ? .transmittedToClients : .transmittedToServers
        try bench.measure(ports, after: ports.packets, by: side).print()
    }
}
