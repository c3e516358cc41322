import ArgumentParser
import Operator

struct Explain: Question {
    static let configuration = CommandConfiguration(
        abstract: "Says what would become of a request or a connection, and which rule decides.",
        discussion: """
            Examples:
              batonctl explain http://www.example.org/video.mp4
              batonctl explain https://www.example.org --client 10.0.0.100 --server 10.0.0.80 --alpn h2
              batonctl explain 10.0.0.100:34114 10.0.0.80:80
              batonctl explain http://www.example.org/ --credentials --method POST

            A connection is written client first, as `batonctl flows` shows it; `>` between its ends needs quotes. Nothing
            changes by asking: no proxy's turn is used up.
            """)
    @ParentCommand var batonctl: Batonctl
    @OptionGroup var common: CommonOptions

    @Argument(help: "A URL, or a connection's two ends.")
    var subject: [String]

    @Option(help: "The client's address, with a port or without.")
    var client: String?

    @Option(help: "The address that the client dials, with a port or without.")
    var server: String?

    @Option(help: "The request's method.")
    var method: String?

    @Flag(help: "The request has a cookie or an authorization.")
    var credentials = false

    @Option(help: "TLS: the protocols that the client offers, with commas between.")
    var alpn: String?

    func validate() throws {
        if subject.isEmpty { throw ValidationError("name a URL, or a connection's two ends") }
    }

    func ask(_ console: OperatorConsole) throws(ControlClientProblem) -> String {
        try console.explain(
            subject, client: client, server: server, method: method, credentials: credentials, alpn: alpn)
    }
}
