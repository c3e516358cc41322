import CRTP
import Control
import Foundation

/// What `batonctl` does: each command asks the director and gives the text to print.
public struct OperatorConsole: Sendable {
    public var client: ControlClient
    /// The director's answer as it is, one line of JSON.
    public var isJSON: Bool
    public var style: PrintStyle

    public init(socket: String, isJSON: Bool = false, style: PrintStyle = .standardOutput()) {
        client = ControlClient(path: socket)
        self.isJSON = isJSON
        self.style = style
    }

    /// Where `batond` listens unless its configuration says otherwise.
    public static var defaultSocket: String { DirectorConfiguration.ControlSocketSettings().path }

    /// Writes a line to standard error.
    public static func complain(_ message: String) { FileHandle.standardError.write(Data("\(message)\n".utf8)) }

    public func status() throws(ControlClientProblem) -> String {
        try isJSON ? raw("status") : Presentation.status(client.call(DirectorStatus.self, "status"), style)
    }

    public func proxies() throws(ControlClientProblem) -> String {
        try isJSON ? raw("proxies") : Presentation.proxies(client.call([ProxyStatus].self, "proxies"), style)
    }

    public func candidates() throws(ControlClientProblem) -> String {
        if isJSON { return try raw("candidates") }
        return Presentation.candidates(try client.call([CandidateStatus].self, "candidates"), style)
    }

    public func routes() throws(ControlClientProblem) -> String {
        if isJSON { return try raw("routes") }
        return Presentation.routes(try client.call([RouteStatus].self, "routes"), style)
    }

    public func origins() throws(ControlClientProblem) -> String {
        if isJSON { return try raw("origins") }
        return Presentation.origins(try client.call([OriginStatus].self, "origins"), style)
    }

    public func transfers(limit: Int) throws(ControlClientProblem) -> String {
        let parameters: [String: JSONValue] = ["limit": .integer(limit)]
        if isJSON { return try raw("transfers", parameters) }
        return Presentation.transfers(try client.call([TransferStatus].self, "transfers", parameters), style)
    }

    /// nil asks; a value switches.
    public func bypass(_ wanted: Bool?) throws(ControlClientProblem) -> String {
        let parameters: [String: JSONValue] = wanted.map { ["on": .bool($0)] } ?? [:]
        if isJSON { return try raw("bypass", parameters) }
        return Presentation.bypass(try client.call(BypassStatus.self, "bypass", parameters))
    }

    /// `up`, `drain`, `evacuate` or `down`.
    public func set(_ wish: String, proxy: String) throws(ControlClientProblem) -> String {
        let parameters: [String: JSONValue] = ["proxy": .string(proxy), "state": .string(wish)]
        if isJSON { return try raw("proxy", parameters) }
        return Presentation.proxy(try client.call(ProxyStatus.self, "proxy", parameters))
    }

    public func keys() throws(ControlClientProblem) -> String {
        isJSON ? try raw("keys") : Presentation.keys(try client.call(KeysStatus.self, "keys"), style)
    }

    /// Answers when every channel that is up has a session with the key, or cannot have one now.
    public func rotateKeys(to key: UInt8?, isForced: Bool) throws(ControlClientProblem) -> String {
        var parameters: [String: JSONValue] = [:]
        parameters["key"] = key.map { .integer(Int($0)) }
        if isForced { parameters["force"] = .bool(true) }
        var status = try client.call(KeysStatus.self, "keys.rotate", parameters)
        let deadline = ContinuousClock.now + .seconds(3)
        while status.isUnderWay, ContinuousClock.now < deadline {
            usleep(20_000)
            status = try client.call(KeysStatus.self, "keys")
        }
        return isJSON ? String(decoding: jsonLine(status), as: UTF8.self) : Presentation.keys(status, style)
    }

    public func reload(isDryRun: Bool) throws(ControlClientProblem) -> String {
        let parameters: [String: JSONValue] = isDryRun ? ["dryRun": .bool(true)] : [:]
        if isJSON { return try raw("reload", parameters) }
        return Presentation.reload(try client.call(ReloadStatus.self, "reload", parameters), style)
    }

    /// Names of the selection algorithms.
    public static var algorithms: [String] { SelectionAlgorithm.allCases.map(\.name) }

    /// nil asks; a name changes it, for one rule or for all.
    public func algorithm(_ wanted: String?, rule: String?) throws(ControlClientProblem) -> String {
        var parameters: [String: JSONValue] = [:]
        parameters["algorithm"] = wanted.map { .string($0) }
        parameters["rule"] = rule.map { .string($0) }
        if isJSON { return try raw("algorithm", parameters) }
        return Presentation.algorithm(try client.call(AlgorithmStatus.self, "algorithm", parameters), style)
    }

    public func version(client name: String) throws(ControlClientProblem) -> String {
        if isJSON { return try raw("version") }
        return Presentation.version(try client.call(VersionStatus.self, "version"), client: name)
    }

    func raw(
        _ method: String, _ parameters: [String: JSONValue] = [:]
    ) throws(ControlClientProblem) -> String {
        Self.line(try client.call(method, parameters))
    }

    static func line(_ value: some Encodable) -> String {
        String(decoding: jsonLine(value), as: UTF8.self)
    }
}
