import StrictYAML

/// An error of the control socket: JSON-RPC 2.0's own codes, and ours from -32000 downwards.
struct RPCError: Error, Codable, Equatable, Sendable {
    var code: Int
    var message: String

    static func parse() -> RPCError { .init(code: -32_700, message: "not a line of JSON") }
    static func invalidRequest(_ why: String) -> RPCError { .init(code: -32_600, message: why) }
    static func unknownMethod(_ name: String, known: [String]) -> RPCError {
        .init(code: -32_601, message: "unknown method '\(name)' (methods: \(known.joined(separator: ", ")))")
    }
    static func invalidParameters(_ why: String) -> RPCError { .init(code: -32_602, message: why) }
    static func `internal`(_ why: String) -> RPCError { .init(code: -32_603, message: why) }
    static func denied(_ why: String) -> RPCError { .init(code: -32_001, message: why) }
    static func busy() -> RPCError { .init(code: -32_002, message: "too many requests wait already; try again") }
    static func noAnswer() -> RPCError { .init(code: -32_003, message: "the director did not answer in time") }
    /// All problems, one a line.
    static func configuration(_ problems: [ConfigurationProblem]) -> RPCError {
        .init(code: -32_006, message: problems.map(\.description).joined(separator: "\n"))
    }
    static func lineTooLong(_ limit: Int) -> RPCError {
        .init(code: -32_004, message: "a request is at most \(limit) bytes and one line")
    }
    static func tooManyConnections(_ limit: Int) -> RPCError {
        .init(code: -32_005, message: "there are \(limit) connections already; close one")
    }
}
