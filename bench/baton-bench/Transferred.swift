import ArgumentParser
import FastPath

/// A real worker: every packet of the capture is parsed, found in the flow table, rewritten for the proxy, counted.
struct Transferred: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "A worker with N flows committed to a proxy, and a capture of their clients' packets.")

    @OptionGroup var ports: PortOptions
    @Option(help: "Flows of the capture.") var flows: Int
    @Flag(name: .customLong("ipv6"), help: "The capture is IPv6.") var isIPv6 = false
    @Option(help: "Of 100 flows, those that are committed; the others are strangers and pass.") var hit = 100

    @Flag(help: "The flows are an origin's behind virtual servers, and every packet is translated.")
    var translated = false

    @Flag(
        help: "A forwarder's worker: every packet goes to the proxy inside another, by GUE, with its flow's identifier."
    )
    var forwarded = false

    @Option(help: "Workers, each with a queue and an lcore of its own.") var workers = 1

    func run() throws {
        try ports.startEnvironment()
        let bench = try WorkerBench(
            try PortPair(ports, queues: workers), flows: flows, isIPv6: isIPv6, servesVirtually: translated,
            forwards: forwarded)
        let numbers = (0..<flows).lazy.filter { $0 % 100 < hit }
        if translated { try bench.translate(numbers) } else { try bench.install(numbers) }
        try bench.measure(ports, after: flows).print()
    }
}
