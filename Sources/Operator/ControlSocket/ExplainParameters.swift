import Control
import Wire

// What `explain` may ask for: a URL, a connection, or both.

func explainQuestion(_ parameters: inout RPCParameters) throws(RPCError) -> ExplainQuestion {
    let url = try parameters.string("url")
    let flow = try parameters.string("flow")
    let client = try end("client", &parameters)
    let server = try end("server", &parameters)
    let method = try parameters.string("method") ?? "GET"
    let hasCredentials = try parameters.bool("credentials") ?? false
    let protocols = try parameters.string("alpn") ?? "http/1.1"

    var question = ExplainQuestion(
        FlowKey(client: .unspecified, clientPort: 0, server: .unspecified, serverPort: 0))
    if let flow {
        guard let key = FlowKey(flow) else {
            throw .invalidParameters(
                "'flow' is a connection, as in 10.0.0.1:51324 > 10.0.0.80:80 or [2001:db8::1]:51324 > [2001:db8::80]:443"
            )
        }
        question.connection = key
        (question.knowsClient, question.knowsServer) = (true, true)
    }
    if let client {
        question.connection.client = client.address
        if client.port != 0 { question.connection.clientPort = client.port }
        question.knowsClient = true
    }
    if let server {
        question.connection.server = server.address
        if server.port != 0 { question.connection.serverPort = server.port }
        question.knowsServer = true
    }
    if let url {
        let target = try URLTarget(url)
        if question.connection.serverPort == 0 { question.connection.serverPort = target.port }
        if !question.knowsServer, let address = target.address {
            question.connection.server = address
            question.knowsServer = true
        }
        question.request = try target.request(method: method, hasCredentials: hasCredentials, protocols: protocols)
    } else if flow == nil {
        throw .invalidParameters("'url' or 'flow' is missing: what is to be explained")
    }
    if question.knowsClient, question.knowsServer,
        question.connection.client.isV4 != question.connection.server.isV4
    {
        throw .invalidParameters("client and server are of different address families")
    }
    return question
}

/// An address, or one with a port.
private func end(_ name: String, _ parameters: inout RPCParameters) throws(RPCError) -> Endpoint? {
    guard let text = try parameters.string(name) else { return nil }
    if let address = IPAddress(text) { return Endpoint(address, port: 0) }
    guard let endpoint = Endpoint(text) else {
        throw .invalidParameters("'\(name)' is an address, or one with a port, as in 10.0.0.1:51324")
    }
    return endpoint
}

/// What of a URL reaches a director.
struct URLTarget {
    private let scheme: String
    private let host: String
    /// Path and query, as they are sent.
    private let path: String
    let port: UInt16

    private static let ports: [String: UInt16] = ["http": 80, "https": 443, "smtp": 25]

    init(_ text: String) throws(RPCError) {
        guard text.utf8.count <= 8_192, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            let colon = text.firstRange(of: "://"), let usual = Self.ports[text[..<colon.lowerBound].lowercased()]
        else {
            throw .invalidParameters("'url' is http://HOST/PATH, https://HOST/ or smtp://HOST, in printable ASCII")
        }
        scheme = text[..<colon.lowerBound].lowercased()
        let rest = text[colon.upperBound...]
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let target = rest.dropFirst(authority.count).prefix { $0 != "#" }
        path = target.hasPrefix("/") ? String(target) : "/" + target
        var name = authority
        var port = usual
        // A colon in brackets belongs to the address.
        if let last = authority.lastIndex(of: ":"), !authority[last...].contains("]") {
            guard let number = UInt16(authority[authority.index(after: last)...]), number > 0 else {
                throw .invalidParameters("'url' has no port between 1 and 65535 behind its colon")
            }
            port = number
            name = authority[..<last]
        }
        guard !name.isEmpty, !name.contains("@") else { throw .invalidParameters("'url' has no host, or a user") }
        self.port = port
        host = String(name)
    }

    /// The host, where it is an address.
    var address: IPAddress? {
        host.hasPrefix("[") && host.hasSuffix("]") ? IPAddress(host.dropFirst().dropLast()) : IPAddress(host)
    }

    /// The first bytes that a client would send, read as workers read them.
    func request(
        method: String, hasCredentials: Bool, protocols: String
    ) throws(RPCError) -> ExplainQuestion.Request {
        switch scheme {
        case "https":
            // Of a ClientHello only the server name and the protocols count.
            let bytes = Array(host.utf8)
            return .init(
                bytes: bytes,
                recognition: .request(
                    RecognisedRequest(
                        application: .tls, headLength: bytes.count, host: ByteRange(start: 0, count: bytes.count),
                        alpn: alpn(protocols))))
        case "smtp": return read("EHLO \(host)\r\n", .smtp)
        default:
            guard !method.isEmpty, method.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw .invalidParameters("'method' is a word, such as GET")
            }
            let credentials = hasCredentials ? "Authorization: Basic eA==\r\n" : ""
            return read(
                "\(method) \(path) HTTP/1.1\r\nHost: \(host)\(port == 80 ? "" : ":\(port)")\r\n\(credentials)\r\n",
                [.httpGet, .httpOther])
        }
    }

    private func read(_ head: String, _ wanted: Application) -> ExplainQuestion.Request {
        let bytes = Array(head.utf8)
        return .init(bytes: bytes, recognition: bytes.withUnsafeBytes { recogniseRequest($0, wanted: wanted) })
    }

    private func alpn(_ names: String) -> ALPN {
        var found: ALPN = []
        for name in names.split(separator: ",") {
            switch name {
            case "http/1.1": found.insert(.http11)
            case "h2": found.insert(.http2)
            default: found.insert(.other)
            }
        }
        return found
    }
}
