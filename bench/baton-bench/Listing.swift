import ArgumentParser
import CRTP
import Control
import FastPath
import Foundation
import InterCore
import Operator
import Wire

/// What a worker loses while somebody asks about its flows: the same worker, the same packets, with and without, in turns.
struct Listing: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "As transferred, while counts, filtered listings and scrapes follow one another, and while nobody asks.")

    @OptionGroup var ports: PortOptions
    @Option(help: "Flows of the capture.") var flows: Int
    @Option(help: "Seconds of one turn.") var turn = 1.0

    func run() throws {
        try ports.startEnvironment()
        let bench = try WorkerBench(try PortPair(ports), flows: flows, isIPv6: false)
        try bench.install(0..<flows)
        try printLine(try bench.alternate(ports, after: flows, turnSeconds: turn))
    }

    /// What one run has to say.
    struct Outcome: Encodable {
        /// Million packets a second: medians of the turns.
        var mpps: Double
        var quietMpps: Double
        /// Median of each turn's own ratio to the one before it.
        var ratio: Double
        var turns: Int
        /// What was answered in the turns with questions.
        var counts = 0
        var listings = 0
        var scrapes = 0
        var rowsListed = 0
        var flowsCounted: UInt64 = 0
        var imbalance: UInt64
        var hertz: UInt64
    }
}

extension WorkerBench {
    /// Turns of two kinds, one after the other, until the options' seconds are over.
    func alternate(_ options: PortOptions, after packets: Int, turnSeconds: Double) throws -> Listing.Outcome {
        let worker = workers[0]
        try worker.launch(onLcore: try measuredLcore(0))
        var inquirer = Inquirer(worker)
        func packetsPerSecond(asking: Bool, _ seconds: Double) -> Double {
            let start = Environment.timestamp
            let end = start &+ UInt64(seconds * Double(Environment.timestampHertz))
            let before = worker.counters[.transmittedToServers]
            while Environment.timestamp < end {
                beat()
                inquirer.turn(asking: asking)
                Thread.sleep(forTimeInterval: 0.000_5)
            }
            let clocks = Environment.timestamp &- start
            let count = worker.counters[.transmittedToServers] &- before
            return Double(count) / Double(clocks) * Double(Environment.timestampHertz)
        }
        // Every flow's first packet is looked at more closely.
        let patience = Environment.timestamp &+ 60 * Environment.timestampHertz
        while worker.counters[.transmittedToServers] < UInt64(packets), Environment.timestamp < patience {
            _ = packetsPerSecond(asking: false, 0.1)
        }
        _ = packetsPerSecond(asking: true, options.warmUp)
        inquirer.finish(beat: beat)
        inquirer.forget()
        var pairs: [(quiet: Double, asked: Double)] = []
        for _ in 0..<max(1, Int(options.seconds / (2 * turnSeconds))) {
            let quiet = packetsPerSecond(asking: false, turnSeconds)
            let asked = packetsPerSecond(asking: true, turnSeconds)
            inquirer.finish(beat: beat)
            pairs.append((quiet, asked))
        }
        stopFlag.raise()
        Environment.wait(forLcore: try measuredLcore(0))
        return Listing.Outcome(
            mpps: median(pairs.map(\.asked)) / 1_000_000, quietMpps: median(pairs.map(\.quiet)) / 1_000_000,
            ratio: median(pairs.map { $0.asked / $0.quiet }), turns: pairs.count, counts: inquirer.counts,
            listings: inquirer.listings, scrapes: inquirer.scrapes, rowsListed: inquirer.rowsListed,
            flowsCounted: inquirer.flowsCounted, imbalance: worker.counters.imbalance.magnitude,
            hertz: Environment.timestampHertz)
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}

/// The director's own control core, asked by an operator who never waits: a count, a listing whose filter hardly any flow
/// passes, a scrape, and again.
private struct Inquirer {
    private var core: ControlCore
    private let worker: BenchWorker
    private var isUnderWay = false
    private var isCount = false
    private(set) var counts = 0
    private(set) var listings = 0
    private(set) var scrapes = 0
    private(set) var rowsListed = 0
    private(set) var flowsCounted: UInt64 = 0

    init(_ worker: BenchWorker) {
        self.worker = worker
        let keys = KeyRing(keys: [1: [UInt8](repeating: 1, count: 32)], current: 1)
        core = ControlCore(configuration: DirectorConfiguration(), keys: keys, workerCount: 1, epoch: 7)
    }

    mutating func turn(asking: Bool) {
        while let event = worker.events.pop({ event, _ in event }) {
            core.handle(event, payload: UnsafeRawBufferPointer(start: nil, count: 0), worker: 0, now: now)
        }
        if isUnderWay, let answer = core.takeFlows(now: now) {
            isUnderWay = false
            if isCount {
                counts += 1
                flowsCounted = answer.census.flows
                scrape()
            } else {
                listings += 1
                rowsListed = answer.page.flows.count
            }
        }
        if asking, !isUnderWay { ask() }
        for case .command(let command, _) in core.actions { _ = worker.commands.push(command) }
        core.actions.removeAll()
    }

    /// Waits for what is under way.
    mutating func finish(beat: () -> Void) {
        while isUnderWay {
            beat()
            turn(asking: false)
        }
    }

    mutating func forget() { (counts, listings, scrapes) = (0, 0, 0) }

    private mutating func ask() {
        isCount.toggle()
        var filter = FlowFilter()
        if !isCount { filter.client = AddressPrefix("10.0.0.0/20")! }
        try! core.beginFlows(filter, limit: isCount ? nil : 1_000, from: nil, now: now)
        isUnderWay = true
    }

    private mutating func scrape() {
        let status = core.status(workers: [worker.counters], now: now)
        if MetricsText.of(status, core.proxyStatus()).utf8.count > 1_000 { scrapes += 1 }
    }

    private var now: UInt64 { Environment.timestamp / (Environment.timestampHertz / 1_000_000) }
}
