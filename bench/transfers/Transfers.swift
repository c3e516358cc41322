import ArgumentParser
import CDPDKShim
import CRTP
import Glibc

/// Measures transfers: how many a second one control core does, and how long a request is held meanwhile.
@main struct Transfers: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "baton-bench-transfers")

    @Option(help: "Seconds of measuring.") var seconds = 3.0
    @Option(help: "Connections that are committed at once.") var flows: UInt32 = 100_000
    @Option(help: "Agents that share the transfers.") var agents = 2
    @Option(help: "Bytes of each request's head; 0 for what curl sends.") var requestBytes = 0
    @Option(help: "Log level of the control core.") var logLevel = "info"
    @Flag(help: "Authenticated frames instead of sealed ones.") var authenticated = false

    func run() throws {
        var stage = ControlStage(
            requests: Requests(headLength: requestBytes), flows: flows, agents: agents,
            protection: authenticated ? .authenticated : .sealed, logLevel: logLevel)
        let turns = Int(flows) / ControlStage.batch + 64
        for _ in 0..<turns { stage.turn() }
        _ = stage.takeClocks()

        let hertz = measuredHertz()
        let end = shim_tsc() + UInt64(seconds * hertz)
        var rounds: [[UInt64]] = []
        while shim_tsc() < end {
            stage.turn()
            rounds.append(stage.takeClocks())
        }
        // A turn is shorter than a time slice, so the median turn is one that nobody disturbed.
        let perRound = Double(ControlStage.batch)
        func median(_ value: ([UInt64]) -> UInt64) -> Double {
            Double(rounds.map(value).sorted()[rounds.count / 2]) / perRound
        }
        let own = ControlStage.Part.allCases.filter { $0 != .agents }
        let clocks = median { round in own.reduce(0) { $0 + round[$1.rawValue] } }
        let parts = ControlStage.Part.allCases.map { part in
            "\"\(part)\": \(Int(median { $0[part.rawValue] }.rounded()))"
        }
        print(
            "{\"name\": \"control\", \"transfersPerSecond\": \(Int(hertz / clocks)), \"sealed\": \(!authenticated), "
                + "\"lost\": \(stage.lost), \"clocksPerTransfer\": \(Int(clocks.rounded())), "
                + "\"parts\": {\(parts.joined(separator: ", "))}, \"hertz\": \(Int(hertz))}")
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
