import ArgumentParser
import CDPDKShim
import CRTP
import Foundation

/// Measures transfers: how many a second one control core does, and how long a request is held meanwhile. Prints one
/// line of JSON.
@main struct Transfers: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "baton-bench-transfers")

    enum Stage: String, ExpressibleByArgument, CaseIterable {
        /// The control core alone, in memory.
        case control
        /// A worker with packets around it as well.
        case whole
    }

    @Argument(help: "control (one control core alone, in memory) or whole (with a worker and packets).") var stage:
        Stage
    @Option(help: "Seconds of measuring; of each step, for whole.") var seconds = 2.0
    @Option(help: "Connections that are committed at once (control).") var flows: UInt32 = 100_000
    @Option(help: "Agents that share the transfers.") var agents = 2
    @Option(help: "Bytes of each request's head; 0 for what curl sends.") var requestBytes = 0
    @Option(help: "Log level of the control core.") var logLevel = "info"
    @Option(help: "EAL's lcores: the control core's, then the worker's (whole).") var lcores = "0@0,1@1"
    @Option(help: "Transfers a second of the first step (whole).") var rate = 50_000.0
    @Option(help: "Each step's rate is the last one's times this (whole).") var factor = 1.25
    @Flag(help: "Datagrams go by UDP sockets over the loopback (control).") var sockets = false
    @Flag(help: "Flows end by the agents' FLOW_DONE, and not by their clients' resets (control).")
    var endByAgent = false
    @Flag(help: "Tell of each step on standard error (whole).") var verbose = false
    @Flag(help: "Authenticated frames instead of sealed ones.") var authenticated = false

    func run() throws {
        let report =
            switch stage {
            case .control: try control()
            case .whole: try whole()
            }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        print(String(decoding: try encoder.encode(report), as: UTF8.self))
    }

    private var setup: Setup {
        Setup(agents: agents, protection: authenticated ? .authenticated : .sealed, logLevel: logLevel)
    }

    private func control() throws -> Report {
        var stage = try ControlStage(
            requests: Requests(headLength: requestBytes), flows: flows, setup: setup, usesSockets: sockets,
            endsByAgent: endByAgent)
        for _ in 0..<Int(flows) / ControlStage.batch + 64 { stage.turn() }
        _ = stage.takeClocks()

        let hertz = measuredHertz()
        let end = shim_tsc() + UInt64(seconds * hertz)
        var turns: [[UInt64]] = []
        while shim_tsc() < end {
            stage.turn()
            turns.append(stage.takeClocks())
        }
        // A turn is shorter than a time slice, so the median turn is one that nobody disturbed.
        func median(_ value: ([UInt64]) -> UInt64) -> Double {
            Double(turns.map(value).sorted()[turns.count / 2]) / Double(ControlStage.batch)
        }
        let own = ControlStage.Part.allCases.filter { $0 != .agents }
        let clocks = median { turn in own.reduce(0) { $0 + turn[$1.rawValue] } }
        let name = "transfers" + (sockets ? "-sockets" : "") + (endByAgent ? "-ended-by-agent" : "")
        var report = Report(name: name, stage: stageName, sealed: !authenticated, hertz: hertz)
        report.transfersPerSecond = (hertz / clocks).rounded()
        report.lost = stage.lost
        report.clocksPerTransfer = clocks.rounded()
        for part in ControlStage.Part.allCases { report.parts["\(part)"] = median { $0[part.rawValue] }.rounded() }
        return report
    }

    private var stageName: String { stage.rawValue }

    private func whole() throws -> Report {
        var stage = try WholeStage(requests: Requests(headLength: requestBytes), setup: setup, lcores: lcores)
        let hertz = measuredHertz()
        var report = Report(name: "transfers-whole", stage: stageName, sealed: !authenticated, hertz: hertz)
        var rate = rate
        // Others on the machine may spoil a step: it has three tries.
        var tries = 0
        while tries < 3 {
            let step = try stage.step(rate: rate, seconds: seconds)
            if verbose { FileHandle.standardError.write(Data("\(step)\n".utf8)) }
            tries += 1
            guard step.isSustained else { continue }
            report.add(step, hertz)
            rate *= factor
            tries = 0
        }
        return report
    }
}

/// What is printed.
struct Report: Encodable {
    let name: String
    let stage: String
    let sealed: Bool
    let hertz: Double
    var transfersPerSecond = 0.0
    var lost = 0
    /// The control core's own.
    var clocksPerTransfer: Double?
    /// Clocks a transfer by part (control), or shares of a core's time (whole).
    var parts: [String: Double] = [:]
    var holdMicroseconds: [String: Double]?
    var steps: [Step] = []

    struct Step: Encodable {
        let transfersPerSecond: Double
        let holdMicroseconds: [String: Double]
        let parts: [String: Double]
    }

    init(name: String, stage: String, sealed: Bool, hertz: Double) {
        self.name = name
        self.stage = stage
        self.sealed = sealed
        self.hertz = hertz
    }

    /// The last step is the highest rate that was sustained.
    mutating func add(_ step: WholeStage.Step, _ hertz: Double) {
        func microseconds(_ part: Double) -> Double {
            let index = min(step.holds.count - 1, Int(part * Double(step.holds.count)))
            return (Double(step.holds[index]) / hertz * 1e7).rounded() / 10
        }
        func share(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
        transfersPerSecond = step.transferred.rounded()
        lost += step.lost
        holdMicroseconds = ["p50": microseconds(0.5), "p99": microseconds(0.99), "p999": microseconds(0.999)]
        parts = [
            "control": share(step.control), "worker": share(step.worker), "agents": share(step.agents),
            "generator": share(step.generator),
        ]
        clocksPerTransfer = (step.control * hertz / step.transferred).rounded()
        steps.append(
            Step(transfersPerSecond: transfersPerSecond, holdMicroseconds: holdMicroseconds ?? [:], parts: parts))
    }
}

/// Ticks of the TSC in a second, measured over 50 ms.
func measuredHertz() -> Double {
    func nanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
    let (start, startTicks) = (nanoseconds(), shim_tsc())
    usleep(50_000)
    let (end, endTicks) = (nanoseconds(), shim_tsc())
    return Double(endTicks - startTicks) * 1e9 / Double(end - start)
}
