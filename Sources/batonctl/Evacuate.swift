import ArgumentParser
import Operator

struct Evacuate: ConsoleCommand {
    static let configuration = CommandConfiguration(
        abstract: "Empties a proxy: others go on with the connections that it has, downloads under way included.",
        discussion: """
            The proxy gets no new connections, and hands back those that it has: between two requests, or in the middle of
            a file that another proxy has as well (as long, changed at the same second, and with the same bytes). Clients
            notice nothing. Tunnels, and answers that come from an origin or a cache, stay until they have ended.

            Waits until the proxy is empty. `batonctl proxy NAME up` gives it connections again.
            Examples:
              batonctl evacuate p1
              batonctl evacuate p1 --timeout 600 && ssh p1 reboot
              batonctl evacuate p1 --json

            Exit codes: 1 when connections are left.
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "The proxy's name.")
    var proxy: String

    @Option(name: [.short, .long], help: "Seconds to wait; the proxy goes on being emptied afterwards.")
    var timeout = 60.0

    func validate() throws {
        if !(timeout >= 0 && timeout <= 86_400) { throw ValidationError("--timeout is 0 to 86400 seconds") }
    }

    func run(_ console: OperatorConsole) throws(ControlClientProblem) {
        let (evacuation, text) = try console.evacuate(proxy, seconds: timeout) { OperatorConsole.complain($0) }
        print(text)
        if !evacuation.isComplete { Evacuate.exit(withError: ExitCode(1)) }
    }
}
