import CRTP
import Control
import Foundation
import InterCore
import Logging
import Operator
import Synchronization
import Wire

/// Stands in for the control core: a thread that takes requests and answers from a fixed state.
final class TestDirector: Sendable {
    let path: String
    private let scratch: ScratchPath
    let mailbox = OperatorMailbox()
    private let socket: ControlSocket
    private let isStopping = Atomic<Bool>(false)
    private let ended = DispatchSemaphore(value: 0)

    private struct ScratchPath: Sendable { let directory: String }

    init(
        path: String? = nil, flows: Int = 3, access: PeerAccess = PeerAccess(), limits: ControlSocket.Limits = .init(),
        answers: Bool = true, configuration: String = "/nonexistent/batond.yaml"
    ) throws {
        let directory = NSTemporaryDirectory() + "baton-\(UUID().uuidString.prefix(8))"
        scratch = ScratchPath(directory: directory)
        self.path = path ?? "\(directory)/run/batond.sock"
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        socket = try ControlSocket.open(
            path: self.path, access: access, mailbox: mailbox, source: ConfigurationSource(path: configuration),
            limits: limits, logger: logger)
        guard answers else {
            ended.signal()
            return
        }
        Thread.detachNewThread { [self] in
            var state = State(flows: flows)
            while !isStopping.load(ordering: .relaxed) {
                var poller = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
                poll(&poller, 1, 50)
                for request in mailbox.take() { request.answer(state.answer(request.request, request.loaded)) }
            }
            ended.signal()
        }
    }

    func stop() {
        isStopping.store(true, ordering: .relaxed)
        ended.wait()
        ended.signal()
        socket.close()
        try? FileManager.default.removeItem(atPath: scratch.directory)
    }

    private struct State {
        var bypass = false
        var algorithm = SelectionAlgorithm.roundRobin
        let flows: Int

        init(flows: Int) { self.flows = flows }

        static func summary(_ index: Int) -> FlowSummary {
            FlowSummary(
                handle: FlowHandle(worker: 0, index: UInt32(index), generation: 1),
                key: FlowKey(
                    client: IPAddress(v4: 0x0A00_0000 + UInt32(index)), clientPort: 1_024,
                    server: IPAddress(v4: 0x0A00_0050), serverPort: 80),
                state: index % 2 == 0 ? .origin : .committed, proxy: .none, idleMilliseconds: 0)
        }

        mutating func answer(_ request: OperatorRequest, _ loaded: LoadedConfiguration?) -> OperatorResponse {
            switch request {
            case .status:
                var status = DirectorStatus()
                status.name = "d1"
                status.bypass = bypass
                return .status(status)
            case .proxies:
                var proxy = ProxyStatus()
                proxy.name = "p1"
                return .proxies([proxy])
            case .flows(let filter, let limit, let cursor):
                var answer = FlowAnswer()
                let first = Int(cursor?.places.first.flatMap { $0 } ?? 0)
                var next = first
                while next < flows, answer.rows.count < limit {
                    if filter.state == nil || filter.state == Self.summary(next).state {
                        answer.rows.append(Self.summary(next))
                    }
                    next += 1
                }
                if next < flows { answer.cursor = FlowCursor(places: [UInt32(next)]) }
                return .flows(answer)
            case .flowCounts(_, let cursor):
                // In two parts.
                var answer = FlowAnswer()
                let isFirst = cursor == nil
                answer.proxies = ["p1"]
                answer.counts[.init(state: .committed, proxy: ProxyIndex(0))] = isFirst ? 40 : 2
                if !isFirst { answer.counts[.init(state: .origin, proxy: .none)] = 7 }
                answer.cursor = isFirst ? FlowCursor(places: [5]) : nil
                return .flowCounts(answer)
            case .candidates:
                var row = CandidateStatus()
                (row.rule, row.mode, row.ports, row.proxies) = ("web", "on", "80", ["p1", "p2"])
                return .candidates([row])
            case .routes: return .routes([])
            case .origins:
                var row = OriginStatus()
                (row.server, row.serverAddress, row.origin, row.address) = (
                    "www", "203.0.113.80:80", "o1", "10.0.0.80:80"
                )
                (row.sinceSeconds, row.reason) = (75, "connection refused")
                return .origins([row])
            case .trace(_, let after, _):
                var status = TraceStatus()
                status.last = 3
                status.nowMicroseconds = 10_000_000
                guard after == 0 else { return .trace(status) }
                for (at, flow, name) in [
                    (9_000_000, "10.0.0.1:1 > 10.0.0.80:80", "held"),
                    (9_000_020, "10.0.0.1:1 > 10.0.0.80:80", "TRANSFER"),
                    (9_000_040, "10.0.0.1:2 > 10.0.0.80:80", "held"),
                ] as [(UInt64, String, String)] {
                    var event = TraceStatus.Event()
                    (event.atMicroseconds, event.flow, event.event) = (at, flow, name)
                    if name == "TRANSFER" { (event.transfer, event.proxy, event.detail) = (17, "p1", "copy 1") }
                    status.events.append(event)
                }
                return .trace(status)
            case .explain(let question):
                // What was understood of the question.
                var explanation = Explanation()
                explanation.summary = "\(question.connection)"
                if case .request(let request)? = question.request?.recognition, let bytes = question.request?.bytes {
                    bytes.withUnsafeBytes {
                        for range in [request.host, request.path] {
                            explanation.summary += " " + String(decoding: range.of($0), as: UTF8.self)
                        }
                    }
                    explanation.summary += " \(request.application.rawValue) \(request.hasCredentials)"
                }
                return .explain(explanation)
            case .transfers: return .transfers([])
            case .bypass(let wanted):
                bypass = wanted ?? bypass
                return .bypass(BypassStatus(bypass: bypass))
            case .algorithm(let wanted, let rule):
                guard rule == nil || rule == "web" else { return .failure("no rule is named '\(rule ?? "")'") }
                algorithm = wanted ?? algorithm
                return .algorithm(AlgorithmStatus(algorithm: algorithm.name, rules: ["web": algorithm.name]))
            case .proxy(let name, let wish):
                guard name == "p1" else { return .failure("no proxy is named '\(name)'") }
                var proxy = ProxyStatus()
                proxy.name = name
                proxy.administrative = wish
                return .proxy(proxy)
            case .keys, .rotateKeys:
                var status = KeysStatus()
                status.current = Int(loaded?.keys?.next ?? 1)
                return .keys(status)
            case .capture, .readCapture: return .failure("there is no capture")
            case .reload(let isDryRun):
                var status = ReloadStatus()
                status.file = loaded?.file ?? ""
                status.applied = !isDryRun
                return .reload(status)
            case .version:
                return .version(VersionStatus(name: "d1", version: "0.1.0", protocolVersion: 1, processIdentifier: 42))
            }
        }
    }
}

/// A connection that may misbehave.
final class RawConnection {
    private let descriptor: Int32
    private var received: [UInt8] = []

    struct Refused: Error { var code: Int32 }

    init(_ path: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard SocketFile.connect(descriptor, path) == 0 else { throw Refused(code: errno) }
    }

    deinit { close(descriptor) }

    /// Sends as much as the other side takes before it hangs up.
    func send(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    func endOutput() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The next line without its end; nil at the end of the stream.
    func line() throws -> String? {
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let end = received.firstIndex(of: UInt8(ascii: "\n")) {
                defer { received.removeFirst(end + 1) }
                return String(decoding: received[..<end], as: UTF8.self)
            }
            let count = read(descriptor, &chunk, chunk.count)
            if count <= 0 { return nil }
            received += chunk[..<count]
        }
    }

    func ask(_ request: String) throws -> String {
        send(request + "\n")
        guard let line = try line() else { throw Refused(code: 0) }
        return line
    }

    /// Returns when the other side has closed the connection, reading nothing.
    func waitForHangUp() {
        var poller = pollfd(fd: descriptor, events: 0, revents: 0)
        while poll(&poller, 1, 10_000) == 0 {}
    }
}
