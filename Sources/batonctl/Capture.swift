import ArgumentParser
import Operator

struct Capture: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes the packets of some connections to a pcapng file, with what was decided about each.",
        discussion: """
            Each packet stands there once, as it came, with a comment: what became of it, its flow's state, its transfer.
            Packets that leave later (released from a hold) or that the director makes are marked as outbound. --crtp adds
            the frames of the control channel, for packaging/wireshark/crtp.lua. Ends after --seconds, --packets or --size,
            or at Ctrl-C. For the director's owner only: the file has what clients send.
            Examples:
              batonctl capture slow.pcapng --client 192.0.2.7 --port 80 --crtp
              batonctl capture all-of-p1.pcapng --proxy p1 --snap 128 --seconds 10
              batonctl capture - --client 192.0.2.0/24 | wireshark -k -i -
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "The file; - for standard output.", completion: .file(extensions: ["pcapng"]))
    var file: String

    @Option(help: "Only clients of this address or prefix.") var client: String?
    @Option(help: "Only this port of the client.") var clientPort: Int?
    @Option(help: "Only servers of this address or prefix.") var server: String?
    @Option(help: "Only this port of the server.") var port: Int?
    @Option(help: "Only connections that this proxy has, and its channel.") var proxy: String?
    @Flag(help: "Frames of the control channel as well.") var crtp = false
    @Option(help: "Bytes kept of each packet, 64 to 1536 (default: 1536).") var snap: Int?
    @Option(help: "Packets a second and worker; more are left out and counted (default: 5000).") var rate: Int?
    @Option(help: "Ends after so many packets (default: 10000).") var packets: Int?
    @Option(help: "Ends after so many MiB (default: 16).") var size: Int?
    @Option(help: "Ends after so many seconds (default: 60).") var seconds: Int?

    func run() throws {
        var wish = CaptureWish()
        (wish.client, wish.clientPort, wish.server, wish.port) = (client, clientPort, server, port)
        (wish.proxy, wish.crtp, wish.snap, wish.rate) = (proxy, crtp, snap, rate)
        (wish.packets, wish.seconds, wish.bytes) = (packets, seconds, size.map { $0 << 20 })
        let socket = common.socket ?? batonctl.common.socket ?? OperatorConsole.defaultSocket
        let console = OperatorConsole(socket: socket)
        InterruptSignal.listen()
        do throws(ControlClientProblem) {
            OperatorConsole.complain(try console.capture(wish, to: file) { InterruptSignal.isRaised })
        } catch {
            OperatorConsole.complain("batonctl: \(error)")
            throw ExitCode(error.exitCode)
        }
    }
}
