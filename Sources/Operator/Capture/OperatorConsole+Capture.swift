import Foundation

/// What `batonctl capture` was asked for.
public struct CaptureWish: Sendable {
    public var client: String?
    public var clientPort: Int?
    public var server: String?
    public var port: Int?
    public var proxy: String?
    public var crtp = false
    public var snap: Int?
    public var rate: Int?
    public var packets: Int?
    public var bytes: Int?
    public var seconds: Int?

    public init() {}

    var parameters: [String: JSONValue] {
        var parameters: [String: JSONValue] = [:]
        for (name, text) in [("client", client), ("server", server), ("proxy", proxy)] {
            parameters[name] = text.map { .string($0) }
        }
        let numbers = [
            ("clientPort", clientPort), ("port", port), ("snap", snap), ("rate", rate), ("packets", packets),
            ("bytes", bytes), ("seconds", seconds),
        ]
        for (name, number) in numbers { parameters[name] = number.map { .integer($0) } }
        if crtp { parameters["crtp"] = .bool(true) }
        return parameters
    }
}

extension OperatorConsole {
    private static var pauseMicroseconds: UInt32 { 100_000 }

    /// Writes a capture to a file (`-`: standard output), until it has ended or `isInterrupted`. Gives the line that says
    /// what is in it.
    public func capture(
        _ wish: CaptureWish, to path: String, isInterrupted: () -> Bool
    ) throws(ControlClientProblem) -> String {
        let file = try CaptureOutput(path)
        let started = try client.call(CaptureStatus.self, "capture", wish.parameters)
        let number: [String: JSONValue] = ["capture": .integer(Int(started.capture))]
        while true {
            let method = isInterrupted() ? "capture.stop" : "capture.read"
            let page = try client.call(CapturePage.self, method, number)
            guard let blocks = Data(base64Encoded: page.blocks) else {
                throw .strangeAnswer(client.path, "blocks that are no base64")
            }
            do throws(ControlClientProblem) {
                try file.write(blocks)
            } catch {
                _ = try? client.call("capture.stop", number)
                throw error
            }
            if let ended = page.ended, !page.hasMore { return summary(page, ended, path) }
            if !page.hasMore { usleep(Self.pauseMicroseconds) }
        }
    }

    private func summary(_ page: CapturePage, _ ended: String, _ path: String) -> String {
        let lost = page.lost == 0 ? "none lost" : "\(page.lost) lost: lower --snap, raise --rate, or filter more"
        return "\(page.packets) packets in \(path), \(lost); ended \(ended)"
    }
}

/// The file that is written.
private struct CaptureOutput: ~Copyable {
    private let descriptor: Int32
    private let path: String

    init(_ path: String) throws(ControlClientProblem) {
        self.path = path
        // Only for its owner: it has what clients send.
        descriptor = path == "-" ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .cannotWrite(path, errno) }
    }

    deinit { if descriptor != STDOUT_FILENO { close(descriptor) } }

    func write(_ data: Data) throws(ControlClientProblem) {
        var rest = data[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .cannotWrite(path, errno) }
            rest = rest.dropFirst(count)
        }
    }
}
