import Foundation

/// The operator's end of the control socket: one request, one answer, and blocking while it lasts.
public struct ControlClient: Sendable {
    public var path: String
    /// An answer that takes longer is given up.
    public var timeoutSeconds = 15

    public init(path: String) { self.path = path }

    /// An answer larger than this is not one of a director.
    private static var answerLimit: Int { 64 << 20 }

    func call(_ method: String, _ parameters: [String: JSONValue] = [:]) throws(ControlClientProblem) -> JSONValue {
        let descriptor = try connect()
        defer { close(descriptor) }
        var request: [String: JSONValue] = ["jsonrpc": .string("2.0"), "id": .integer(1), "method": .string(method)]
        if !parameters.isEmpty { request["params"] = .object(parameters) }
        try send(jsonLine(request) + [UInt8(ascii: "\n")], descriptor)
        return try result(of: receiveLine(descriptor))
    }

    func call<Answer: Decodable>(
        _ answer: Answer.Type, _ method: String, _ parameters: [String: JSONValue] = [:]
    ) throws(ControlClientProblem) -> Answer {
        try decode(answer, call(method, parameters))
    }

    func decode<Answer: Decodable>(_ answer: Answer.Type, _ value: JSONValue) throws(ControlClientProblem) -> Answer {
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(jsonLine(value)))
        } catch {
            throw .strangeAnswer(path, "batonctl and batond are of different versions?")
        }
    }

    private func connect() throws(ControlClientProblem) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .unreachable(path, errno) }
        var limit = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        guard SocketFile.connect(descriptor, path) == 0 else {
            let problem = ControlClientProblem.unreachable(path, errno)
            close(descriptor)
            throw problem
        }
        return descriptor
    }

    private func send(_ bytes: [UInt8], _ descriptor: Int32) throws(ControlClientProblem) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            // A director that refuses may have closed already; its reason is still to be read.
            guard count > 0 else { return }
            sent += count
        }
    }

    private func receiveLine(_ descriptor: Int32) throws(ControlClientProblem) -> [UInt8] {
        var line: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while line.count < Self.answerLimit {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw .silent(path) }
            guard count > 0 else { throw .strangeAnswer(path, "the connection was closed before the answer") }
            if let end = chunk[..<count].firstIndex(of: UInt8(ascii: "\n")) { return line + chunk[..<end] }
            line += chunk[..<count]
        }
        throw .strangeAnswer(path, "the answer does not end")
    }

    private func result(of line: [UInt8]) throws(ControlClientProblem) -> JSONValue {
        guard case .object(let answer) = try? JSONDecoder().decode(JSONValue.self, from: Data(line)) else {
            throw .strangeAnswer(path, "the answer is not JSON")
        }
        if let result = answer["result"] { return result }
        guard case .object(let error) = answer["error"], case .string(let message) = error["message"],
            case .integer(let code) = error["code"]
        else { throw .strangeAnswer(path, "the answer has neither result nor error") }
        throw .refused(code: code, message)
    }
}

/// Why there is no answer.
public enum ControlClientProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// No connection, with the system's reason.
    case unreachable(String, Int32)
    case silent(String)
    /// A file, not the director, is the problem.
    case cannotWrite(String, Int32)
    case strangeAnswer(String, String)
    /// The director's own error.
    case refused(code: Int, String)

    public var description: String {
        switch self {
        case .unreachable(let path, ENOENT):
            "no director serves \(path): start batond, or name its socket with --socket"
        case .unreachable(let path, ECONNREFUSED):
            "nobody listens on \(path): batond has ended; start it again (systemctl start batond)"
        case .unreachable(let path, EACCES):
            "no permission for \(path): be root, or a member of the group that 'control.group' names"
        case .unreachable(let path, let code):
            "cannot connect to \(path): \(String(cString: strerror(code)))"
        case .cannotWrite(let path, let code): "cannot write \(path): \(String(cString: strerror(code)))"
        case .silent(let path): "the director behind \(path) gives no answer: see its log"
        case .strangeAnswer(let path, let why): "cannot understand the answer of \(path): \(why)"
        case .refused(_, let message): "the director refuses: \(message)"
        }
    }

    /// As in sysexits.h: 69 for no director, 77 for no permission, 73 for a file that cannot be
    /// written, 1 for a refusal.
    public var exitCode: Int32 {
        switch self {
        case .unreachable(_, EACCES), .refused(code: -32_001, _): 77
        case .unreachable, .silent: 69
        case .strangeAnswer: 76
        case .cannotWrite: 73
        case .refused: 1
        }
    }
}
