import Adoption
import Foundation
import Glibc
import Wire

/// A plain HTTP server in the origin's namespace: answers every request with its own name, the path and the peer.
final class TestOrigin: @unchecked Sendable {
    private let listener: CInt
    let endpoint: Endpoint

    init(_ namespace: Namespace, _ endpoint: Endpoint) throws {
        self.endpoint = endpoint
        listener = try namespace.inside {
            let descriptor = socket(endpoint.address.isV4 ? AF_INET : AF_INET6, CInt(SOCK_STREAM.rawValue), 0)
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
            guard endpoint.withSocketAddress({ bind(descriptor, $0, $1) }) == 0, listen(descriptor, 64) == 0 else {
                throw SystemFailure("origin's listener")
            }
            return descriptor
        }
        Adoption.Thread.detach("origin") { [listener] in
            while true {
                let accepted = accept(listener, nil, nil)
                guard accepted >= 0 else { return }
                Adoption.Thread.detach("request") { TestOrigin.serve(accepted) }
            }
        }
    }

    func close() {
        shutdown(listener, CInt(SHUT_RDWR))
        Glibc.close(listener)
    }

    private static func serve(_ descriptor: CInt) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        _ = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) }
        }
        let peer = Endpoint(storage).map { "\($0.address)" } ?? "?"
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            while let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
                let head = String(decoding: received[..<end.lowerBound], as: UTF8.self)
                received.removeSubrange(..<end.upperBound)
                let target = head.split(separator: " ").dropFirst().first ?? ""
                let body = "origin \(target) \(peer)\n"
                // "/close" is answered without a length, as old servers do.
                let framing = target == "/close" ? "" : "Content-Length: \(body.utf8.count)\r\n"
                let text = "HTTP/1.1 200 OK\r\n\(framing)\r\n" + (head.hasPrefix("HEAD") ? "" : body)
                // Asked as a cache (absolute form), "/lost" is there for HEAD and gone for GET.
                let isLost = target.hasPrefix("http:") && target.hasSuffix("/lost") && !head.hasPrefix("HEAD")
                let answer = isLost ? "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n" : text
                _ = send(descriptor, answer, answer.utf8.count, CInt(MSG_NOSIGNAL))
                if target == "/close" {
                    Glibc.close(descriptor)
                    return
                }
            }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            received += buffer[..<count]
        }
        Glibc.close(descriptor)
    }
}

/// A real TCP connection from the client's namespace.
final class TestClient: @unchecked Sendable {
    let descriptor: CInt
    private var received: [UInt8] = []

    init(_ namespace: Namespace, _ server: Endpoint) throws {
        descriptor = try namespace.inside {
            let descriptor = socket(server.address.isV4 ? AF_INET : AF_INET6, CInt(SOCK_STREAM.rawValue), 0)
            var limit = timeval(tv_sec: 10, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            guard server.withSocketAddress({ connect(descriptor, $0, $1) }) == 0 else { throw SystemFailure("connect") }
            try setOption(descriptor, SOL_TCP, TCP_NODELAY, 1, "TCP_NODELAY")
            return descriptor
        }
    }

    deinit { close(descriptor) }

    func send(_ text: String) { _ = Glibc.send(descriptor, text, text.utf8.count, CInt(MSG_NOSIGNAL)) }

    /// Takes at most so many bytes of what has come, and keeps them for `response`.
    func read(atMost count: Int) {
        var buffer = [UInt8](repeating: 0, count: count)
        let count = recv(descriptor, &buffer, count, CInt(MSG_DONTWAIT))
        if count > 0 { received += buffer[..<count] }
    }

    /// One response, by Content-Length or chunks; nil when the connection ended or nothing came for ten seconds.
    func response(isHead: Bool = false) -> (head: String, body: [UInt8])? {
        guard let end = fill(until: { $0.firstRange(of: Array("\r\n\r\n".utf8)) }) else { return nil }
        let head = String(decoding: received[..<end.upperBound], as: UTF8.self)
        received.removeSubrange(..<end.upperBound)
        let lower = head.lowercased()
        if isHead || lower.contains(" 304 ") { return (head, []) }
        if lower.contains("transfer-encoding: chunked") {
            guard let last = fill(until: { $0.firstRange(of: Array("0\r\n\r\n".utf8)) }) else { return nil }
            let body = Array(received[..<last.upperBound])
            received.removeSubrange(..<last.upperBound)
            return (head, body)
        }
        guard let field = lower.firstRange(of: "content-length: "),
            let length = Int(lower[field.upperBound...].prefix { $0.isNumber })
        else { return (head, []) }
        guard fill(until: { $0.count >= length ? 0..<length : nil }) != nil else { return nil }
        let body = Array(received[..<length])
        received.removeSubrange(..<length)
        return (head, body)
    }

    /// So many bytes behind a head, whatever that says of its length.
    func body(of count: Int) -> [UInt8]? {
        guard let end = fill(until: { $0.firstRange(of: Array("\r\n\r\n".utf8)) }) else { return nil }
        received.removeSubrange(..<end.upperBound)
        guard fill(until: { $0.count >= count ? 0..<count : nil }) != nil else { return nil }
        defer { received.removeSubrange(..<count) }
        return Array(received[..<count])
    }

    /// What has come up to the end of a line; nil when the connection ended or nothing came for ten seconds.
    func line() -> String? {
        fill(until: { $0.last == 10 ? $0.indices : nil }).map { String(decoding: received[$0], as: UTF8.self) }
    }

    /// nil after an orderly end; otherwise the error, 0 while more may come.
    func ending() -> CInt? {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 ? nil : count < 0 ? errno : 0
    }

    private func fill(until done: ([UInt8]) -> Range<Int>?) -> Range<Int>? {
        var buffer = [UInt8](repeating: 0, count: 262_144)
        while true {
            if let range = done(received) { return range }
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            received += buffer[..<count]
        }
    }
}

/// A server that speaks first, and answers one line with `250 mail` if its greeting was one.
final class TestMailServer: @unchecked Sendable {
    private let listener: CInt
    private let greeting: String
    private let done = OneTimeSignal()
    private var lines = (early: "", greeted: "")

    init(_ namespace: Namespace, _ endpoint: Endpoint, greeting: String) throws {
        self.greeting = greeting
        listener = try namespace.inside {
            let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
            guard endpoint.withSocketAddress({ bind(descriptor, $0, $1) }) == 0, listen(descriptor, 4) == 0 else {
                throw SystemFailure("mail server's listener")
            }
            return descriptor
        }
        Adoption.Thread.detach("mail") { self.serve() }
    }

    /// What came before the greeting, and after it. Waits for it.
    var heard: (early: String, greeted: String) {
        done.wait()
        return lines
    }

    func close() {
        shutdown(listener, CInt(SHUT_RDWR))
        Glibc.close(listener)
    }

    private func serve() {
        defer { done.raise() }
        let accepted = accept(listener, nil, nil)
        guard accepted >= 0 else { return }
        defer { Glibc.close(accepted) }
        // Long enough to catch who does not wait; who waits is never caught.
        lines.early = line(accepted, milliseconds: 200)
        _ = send(accepted, greeting, greeting.utf8.count, CInt(MSG_NOSIGNAL))
        guard greeting.hasPrefix("220") else { return }
        lines.greeted = line(accepted, milliseconds: 10_000)
        let answer = "250 mail\r\n"
        _ = send(accepted, answer, answer.utf8.count, CInt(MSG_NOSIGNAL))
    }

    private func line(_ descriptor: CInt, milliseconds: Int) -> String {
        var limit = timeval(tv_sec: milliseconds / 1_000, tv_usec: milliseconds % 1_000 * 1_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var buffer = [UInt8](repeating: 0, count: 4_096)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
    }
}

/// A server on a UNIX socket that answers one connection's request, and keeps what it was sent.
final class OneAnswerServer: @unchecked Sendable {
    private let listener: CInt
    private let path: String
    private let done = OneTimeSignal()
    private var bytes: [UInt8] = []

    init(_ path: String) throws {
        self.path = path
        listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // The agent is another user.
        guard bound == 0, chmod(path, 0o666) == 0, listen(listener, 4) == 0 else { throw SystemFailure("listening") }
        Adoption.Thread.detach("unix") { self.serve() }
    }

    /// All that came before the answer. Waits for it.
    var received: [UInt8] {
        done.wait()
        return bytes
    }

    func close() {
        shutdown(listener, CInt(SHUT_RDWR))
        Glibc.close(listener)
        unlink(path)
    }

    private func serve() {
        defer { done.raise() }
        let accepted = accept(listener, nil, nil)
        guard accepted >= 0 else { return }
        defer { Glibc.close(accepted) }
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while !bytes.dropFirst(16).suffix(4).elementsEqual([13, 10, 13, 10]) {
            let count = recv(accepted, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            bytes += buffer[..<count]
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhere\n"
        _ = send(accepted, answer, answer.utf8.count, CInt(MSG_NOSIGNAL))
    }
}
