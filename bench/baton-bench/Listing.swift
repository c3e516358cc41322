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
            "As transferred, while counts, filtered listings or scrapes follow one another, and while nobody asks.")

    @OptionGroup var ports: PortOptions
    @Option(help: "Flows of the capture.") var flows: Int
    @Option(help: "Seconds of one turn.") var turn = 0.1

    func run() throws {
        try ports.startEnvironment()
        let bench = try WorkerBench(try PortPair(ports), flows: flows, isIPv6: false)
        try bench.install(0..<flows)
        try printLine(try bench.alternate(ports, after: flows, turnSeconds: turn))
    }

    /// What one run has to say.
    struct Outcome: Encodable {
        /// Million packets a second while nobody asked: the median of the turns.
        var quietMpps: Double
        var count: Asked
        var listing: Asked
        var scrape: Asked
        var rowsListed = 0
        var flowsCounted: UInt64 = 0
        var imbalance: UInt64
        var hertz: UInt64
    }

    /// What became of one question that was asked again and again.
    struct Asked: Encodable {
        /// Million packets a second meanwhile, and the ratio to the quiet turn beside each: medians.
        var mpps: Double
        var ratio: Double
        /// Half of the interval that holds the ratio's true median in 19 of 20 runs.
        var uncertainty: Double
        var turns: Int
        /// Answers in all turns.
        var answers: Int
    }
}

extension WorkerBench {
    /// Pairs of turns, one quiet and one with a question, each question's by rotation, until the options' seconds are over.
    /// Which of a pair comes first changes with each round: a machine that grows slower or faster favours neither.
    func alternate(_ options: PortOptions, after packets: Int, turnSeconds: Double) throws -> Listing.Outcome {
        let worker = workers[0]
        try worker.launch(onLcore: try measuredLcore(0))
        var inquirer = Inquirer(worker)
        func packetsPerSecond(asking question: Question?, _ seconds: Double) -> Double {
            let start = Environment.timestamp
            let end = start &+ UInt64(seconds * Double(Environment.timestampHertz))
            let before = worker.counters[.transmittedToServers]
            while Environment.timestamp < end {
                beat()
                inquirer.turn(asking: question)
                Thread.sleep(forTimeInterval: 0.000_5)
            }
            let clocks = Environment.timestamp &- start
            let count = worker.counters[.transmittedToServers] &- before
            inquirer.finish(beat: beat)
            return Double(count) / Double(clocks) * Double(Environment.timestampHertz)
        }
        // Every flow's first packet is looked at more closely.
        let patience = Environment.timestamp &+ 60 * Environment.timestampHertz
        while worker.counters[.transmittedToServers] < UInt64(packets), Environment.timestamp < patience {
            _ = packetsPerSecond(asking: nil, 0.1)
        }
        for question in Question.allCases { _ = packetsPerSecond(asking: question, options.warmUp / 3) }
        inquirer.forget()
        var pairs: [Question: [(quiet: Double, asked: Double)]] = [:]
        for round in 0..<max(1, Int(options.seconds / (6 * turnSeconds))) {
            for question in Question.allCases {
                var pair = (quiet: 0.0, asked: 0.0)
                for isQuiet in [round.isMultiple(of: 2), !round.isMultiple(of: 2)] {
                    let rate = packetsPerSecond(asking: isQuiet ? nil : question, turnSeconds)
                    if isQuiet { pair.quiet = rate } else { pair.asked = rate }
                }
                pairs[question, default: []].append(pair)
            }
        }
        stopFlag.raise()
        Environment.wait(forLcore: try measuredLcore(0))
        func asked(_ question: Question) -> Listing.Asked {
            let pairs = pairs[question] ?? []
            let ratios = pairs.map { $0.asked / $0.quiet }.sorted()
            // Order statistics: the median's rank varies by 0.98 x sqrt(n) (a binomial's 97.5 %).
            let reach = min(Int(0.98 * Double(ratios.count).squareRoot()), (ratios.count - 1) / 2)
            let middle = ratios.count / 2
            return Listing.Asked(
                mpps: median(pairs.map(\.asked)) / 1_000_000, ratio: ratios[middle],
                uncertainty: (ratios[min(middle + reach, ratios.count - 1)] - ratios[middle - reach]) / 2,
                turns: pairs.count, answers: inquirer.answers[question] ?? 0)
        }
        return Listing.Outcome(
            quietMpps: median(pairs.values.joined().map(\.quiet)) / 1_000_000, count: asked(.count),
            listing: asked(.listing), scrape: asked(.scrape), rowsListed: inquirer.rowsListed,
            flowsCounted: inquirer.flowsCounted, imbalance: worker.counters.imbalance.magnitude,
            hertz: Environment.timestampHertz)
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
}

/// What an operator asks.
private enum Question: CaseIterable { case count, listing, scrape }

/// The director's own control core, asked the same by an operator who never waits: for a count of all flows, a listing
/// whose filter hardly any flow passes, or the metrics. What a turn leaves unfinished, the question's next turn goes on with.
private struct Inquirer {
    private var core: ControlCore
    private let worker: BenchWorker
    /// What the worker has not answered yet.
    private var underWay: Question?
    /// How far each question has come, and what was said of it so far.
    private var progress: [Question: (cursor: FlowCursor?, rows: Int, flows: UInt64)] = [:]
    private(set) var answers: [Question: Int] = [:]
    private(set) var rowsListed = 0
    private(set) var flowsCounted: UInt64 = 0

    init(_ worker: BenchWorker) {
        self.worker = worker
        let keys = KeyRing(keys: [1: [UInt8](repeating: 1, count: 32)], current: 1)
        core = ControlCore(configuration: DirectorConfiguration(), keys: keys, workerCount: 1, epoch: 7)
        // Half a turn's walk: the quiet turn need not wait long for what the one before asked.
        core.listing.mostPlaces = 12_500
    }

    mutating func turn(asking question: Question?) {
        while let event = worker.events.pop({ event, _ in event }) {
            core.handle(event, payload: UnsafeRawBufferPointer(start: nil, count: 0), worker: 0, now: now)
        }
        if let answered = underWay, let answer = core.takeFlows(now: now) {
            underWay = nil
            let sofar = progress[answered] ?? (nil, 0, 0)
            let (rows, flows) = (sofar.rows + answer.page.flows.count, sofar.flows + answer.census.flows)
            progress[answered] = answer.page.next.map { (FlowCursor($0), rows, flows) }
            if answer.page.next == nil {
                answers[answered, default: 0] += 1
                if answered == .count { flowsCounted = flows } else { rowsListed = rows }
            }
        }
        if let question, underWay == nil { ask(question) }
        for case .command(let command, _) in core.actions { _ = worker.commands.push(command) }
        core.actions.removeAll()
    }

    /// Waits for what is under way.
    mutating func finish(beat: () -> Void) {
        while underWay != nil {
            beat()
            turn(asking: nil)
        }
    }

    mutating func forget() { answers = [:] }

    private mutating func ask(_ question: Question) {
        var filter = FlowFilter()
        switch question {
        case .scrape: return scrape()
        case .count: break
        case .listing: filter.client = AddressPrefix("10.0.0.0/20")!
        }
        try! core.beginFlows(
            filter, limit: question == .count ? nil : 1_000, from: progress[question]?.cursor, now: now)
        underWay = question
    }

    private mutating func scrape() {
        let status = core.status(workers: [worker.counters], now: now)
        if MetricsText.of(status, core.proxyStatus()).utf8.count > 1_000 { answers[.scrape, default: 0] += 1 }
    }

    private var now: UInt64 { Environment.timestamp / (Environment.timestampHertz / 1_000_000) }
}
