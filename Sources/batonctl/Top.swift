import ArgumentParser
import Operator

struct Top: ConsoleCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows rates, times and proxies as they change.",
        discussion: """
            Keys: q leaves, left and right choose the column that proxies are sorted by, r turns the order round, up and
            down scroll.

            Examples:
              batonctl top
              batonctl top --interval 5s
              batonctl top --once
              batonctl top --json | jq '.transfersPerSecond.committed'
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Option(name: [.short, .long], help: "Time between two looks, 100ms to 1h.")
    var interval = IdleTime(milliseconds: 1_000)

    @Flag(help: "One report as text, after one interval.")
    var once = false

    func validate() throws {
        guard 100...3_600_000 ~= interval.milliseconds else {
            throw ValidationError("--interval is between 100ms and 1h")
        }
    }

    func run(_ console: OperatorConsole) throws(ControlClientProblem) {
        try console.top(intervalMilliseconds: interval.milliseconds, isOnce: once) { print($0) }
    }
}
