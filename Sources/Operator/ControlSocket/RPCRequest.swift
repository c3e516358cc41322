import CRTP
import Control
import Foundation

/// One line from an operator, read.
struct RPCRequest: Equatable {
    /// nil for a notification, which gets no answer.
    var id: JSONValue?
    var request: OperatorRequest

    static let methods = [
        "algorithm", "bypass", "candidates", "capture", "capture.read", "capture.stop", "explain", "flows",
        "flows.count",
        "keys", "keys.rotate", "origins", "proxies", "proxy", "reload", "routes", "status", "trace", "transfers",
        "version",
    ]
    static var rowLimit: Int { 10_000 }

    /// The request, or the error with the identifier as far as it could be read.
    static func read(_ line: [UInt8]) -> Result<RPCRequest, RPCFailure> {
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: Data(line)) else {
            return .failure(RPCFailure(id: .null, error: .parse()))
        }
        guard case .object(let object) = value else {
            let why = "a request is an object, not \(value.kind)"
            return .failure(RPCFailure(id: .null, error: .invalidRequest(why)))
        }
        let id = object["id"]
        func fail(_ error: RPCError) -> Result<RPCRequest, RPCFailure> {
            .failure(RPCFailure(id: id ?? .null, error: error))
        }
        switch id {
        case nil, .null, .integer, .number, .string: break
        default: return .failure(RPCFailure(id: .null, error: .invalidRequest("'id' is a string or a number")))
        }
        guard object["jsonrpc"] == .string("2.0") else { return fail(.invalidRequest("'jsonrpc' must be \"2.0\"")) }
        guard case .string(let method) = object["method"] else {
            return fail(.invalidRequest("'method' must be a string"))
        }
        do throws(RPCError) {
            var parameters = try RPCParameters(object["params"])
            let request = try operatorRequest(method, &parameters)
            try parameters.finish()
            return .success(RPCRequest(id: id, request: request))
        } catch {
            return fail(error)
        }
    }

    private static func operatorRequest(
        _ method: String, _ parameters: inout RPCParameters
    ) throws(RPCError) -> OperatorRequest {
        switch method {
        case "status": return .status
        case "proxies": return .proxies
        case "candidates": return .candidates
        case "routes": return .routes
        case "origins": return .origins
        case "version": return .version
        case "flows":
            let limit = try parameters.integer("limit", in: 1...rowLimit) ?? 100
            return .flows(try flowFilter(&parameters), limit: limit, cursor: try flowCursor(&parameters))
        case "flows.count":
            return .flowCounts(try flowFilter(&parameters), cursor: try flowCursor(&parameters))
        case "explain": return .explain(try explainQuestion(&parameters))
        case "trace": return try traceRequest(&parameters)
        case "transfers":
            return .transfers(limit: try parameters.integer("limit", in: 1...rowLimit) ?? 100)
        case "bypass":
            return .bypass(try parameters.bool("on"))
        case "proxy":
            guard let proxy = try parameters.string("proxy") else {
                throw .invalidParameters("'proxy' is missing: the name of a proxy")
            }
            guard let wish = try parameters.string("state").flatMap(ProxyWish.init(rawValue:)) else {
                throw .invalidParameters("'state' is up, drain, evacuate or down")
            }
            return .proxy(proxy, wish)
        case "keys": return .keys
        case "keys.rotate":
            let id = try parameters.integer("key", in: 0...255)
            return .rotateKeys(to: id.map { UInt8($0) }, isForced: try parameters.bool("force") ?? false)
        case "capture": return .capture(try CaptureRequest(&parameters))
        case "capture.read", "capture.stop":
            guard let capture = try parameters.integer("capture", in: 0...Int(UInt32.max)) else {
                throw .invalidParameters("'capture' is missing: the number that `capture` answered")
            }
            return .readCapture(UInt32(capture), stop: method == "capture.stop")
        case "reload": return .reload(isDryRun: try parameters.bool("dryRun") ?? false)
        case "algorithm":
            return .algorithm(try algorithm(&parameters), rule: try parameters.string("rule"))
        default:
            throw .unknownMethod(method, known: methods)
        }
    }
}

private func traceRequest(_ parameters: inout RPCParameters) throws(RPCError) -> OperatorRequest {
    guard let text = try parameters.string("target"), let target = TraceTarget(text) else {
        throw .invalidParameters(
            "'target' is a client's address, one with its port, or a transfer's number, as a string")
    }
    let after = try parameters.integer("after", in: 0...Int.max) ?? 0
    return .trace(target, after: UInt64(after), limit: try parameters.integer("limit", in: 1...1_000) ?? 1_000)
}

/// The parameter `algorithm` by its name in the configuration.
private func algorithm(_ parameters: inout RPCParameters) throws(RPCError) -> SelectionAlgorithm? {
    guard let name = try parameters.string("algorithm") else { return nil }
    guard let algorithm = SelectionAlgorithm(name: name) else {
        let names = SelectionAlgorithm.allCases.map(\.name).joined(separator: ", ")
        throw .invalidParameters("'algorithm' is one of \(names)")
    }
    return algorithm
}

/// An error with the request that it belongs to.
struct RPCFailure: Error, Equatable {
    var id: JSONValue
    var error: RPCError

    var line: [UInt8] { jsonLine(Envelope(id: id, error: error)) }

    private struct Envelope: Encodable {
        var jsonrpc = "2.0"
        var id: JSONValue
        var error: RPCError
    }
}

/// Named parameters, each to be asked for once; what is left over is an error.
struct RPCParameters {
    private var values: [String: JSONValue]
    private var known: [String] = []

    init(_ value: JSONValue?) throws(RPCError) {
        switch value {
        case nil, .null: values = [:]
        case .object(let object): values = object
        case .some(let other): throw .invalidParameters("'params' is an object, not \(other.kind)")
        }
    }

    mutating func integer(_ name: String, in range: ClosedRange<Int>) throws(RPCError) -> Int? {
        guard let value = take(name) else { return nil }
        guard case .integer(let number) = value, range.contains(number) else {
            throw .invalidParameters("'\(name)' is an integer between \(range.lowerBound) and \(range.upperBound)")
        }
        return number
    }

    mutating func string(_ name: String) throws(RPCError) -> String? {
        guard let value = take(name) else { return nil }
        guard case .string(let text) = value else {
            throw .invalidParameters("'\(name)' is a string, not \(value.kind)")
        }
        return text
    }

    mutating func bool(_ name: String) throws(RPCError) -> Bool? {
        guard let value = take(name) else { return nil }
        guard case .bool(let flag) = value else { throw .invalidParameters("'\(name)' is true or false") }
        return flag
    }

    func finish() throws(RPCError) {
        guard let name = values.keys.sorted().first else { return }
        let all = known.isEmpty ? "none" : known.joined(separator: ", ")
        throw .invalidParameters("unknown parameter '\(name)' (parameters of this method: \(all))")
    }

    private mutating func take(_ name: String) -> JSONValue? {
        known.append(name)
        let value = values.removeValue(forKey: name)
        return value == .null ? nil : value
    }
}

/// An answer, ready to be sent.
struct RPCResponse {
    static func line(id: JSONValue, _ response: OperatorResponse) -> [UInt8] {
        switch response {
        case .status(let value): jsonLine(Envelope(id: id, result: value))
        case .proxies(let value): jsonLine(Envelope(id: id, result: value))
        case .flows(let value): jsonLine(Envelope(id: id, result: value.page))
        case .flowCounts(let value): jsonLine(Envelope(id: id, result: value.census))
        case .trace(let value): jsonLine(Envelope(id: id, result: value))
        case .candidates(let value): jsonLine(Envelope(id: id, result: value))
        case .routes(let value): jsonLine(Envelope(id: id, result: value))
        case .origins(let value): jsonLine(Envelope(id: id, result: value))
        case .explain(let value): jsonLine(Envelope(id: id, result: value))
        case .transfers(let value): jsonLine(Envelope(id: id, result: value))
        case .algorithm(let value): jsonLine(Envelope(id: id, result: value))
        case .proxy(let value): jsonLine(Envelope(id: id, result: value))
        case .bypass(let value): jsonLine(Envelope(id: id, result: value))
        case .keys(let value): jsonLine(Envelope(id: id, result: value))
        case .reload(let value): jsonLine(Envelope(id: id, result: value))
        case .version(let value): jsonLine(Envelope(id: id, result: value))
        case .capture(let value): jsonLine(Envelope(id: id, result: value))
        case .capturePage(let value): jsonLine(Envelope(id: id, result: value))
        case .failure(let why): RPCFailure(id: id, error: .internal(why)).line
        }
    }

    private struct Envelope<Value: Encodable>: Encodable {
        var jsonrpc = "2.0"
        var id: JSONValue
        var result: Value
    }
}
