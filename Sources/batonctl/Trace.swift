import ArgumentParser
import Operator

struct Trace: ConsoleCommand {
    static let configuration = CommandConfiguration(
        abstract: "Follows one client, connection or transfer through every decision.",
        discussion: """
            Examples:
              batonctl trace --follow 10.0.0.100
              batonctl trace 10.0.0.100:34114
              batonctl trace '[2001:db8::1]:51324'
              batonctl trace 1495491098 --json

            What ended before is known by its outcome only; from the first call on every decision is kept, the latest 4096
            at least, until nobody has asked for a minute.
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "A client's address, one with its port, or a transfer's number.")
    var target: String

    @Flag(name: [.short, .long], help: "Goes on as things happen; ends by Ctrl-C.")
    var follow = false

    func run(_ console: OperatorConsole) throws(ControlClientProblem) {
        try console.trace(target, isFollowing: follow) { print($0) }
    }
}
