import ArgumentParser
import FastPath
import Foundation
import InterCore
import Wire

/// A real worker: every packet of the capture is parsed, found in the flow table, rewritten for the proxy, counted.
struct Transferred: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "A worker with N flows committed to a proxy, and a capture of their clients' packets.")

    @OptionGroup var ports: PortOptions
    @Option(help: "Flows of the capture.") var flows: Int
    @Flag(name: .customLong("ipv6"), help: "The capture is IPv6.") var isIPv6 = false
    @Option(help: "Of 100 flows, those that are committed; the others are strangers and pass.") var hit = 100

    func run() throws {
        try ports.startEnvironment()
        let pair = try PortPair(ports)
        let bench = try WorkerBench(pair, flowCapacity: flows)
        try bench.install((0..<flows).lazy.filter { $0 % 100 < hit }.map { flowKey(number: $0, isIPv6: isIPv6) })
        try bench.launch()
        var report = Measurement.take(
            ports, received: { bench.counters[.receivedFromClients] }, beat: { bench.beat() })
        try bench.stop()
        report.counters = bench.report
        try report.print()
    }
}
