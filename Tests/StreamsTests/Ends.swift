import Adoption
import Foundation
import Streams
import Wire

/// Rung by event loops, waited for by tests: no more than ten seconds.
final class Bell: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    func ring() { semaphore.signal() }

    @discardableResult
    func wait() -> Bool { semaphore.wait(timeout: .now() + 10) == .success }

    /// The first event that is wanted, of those that were taken before and of what comes; nil when none comes in time.
    func await(
        _ waiting: inout [StreamEvent], _ take: () -> [StreamEvent], _ isWanted: (StreamEvent) -> Bool
    ) -> StreamEvent? {
        while true {
            waiting += take()
            if let found = waiting.firstIndex(where: isWanted) {
                defer { waiting.removeSubrange(...found) }
                return waiting[found]
            }
            waiting = []
            guard wait() else { return nil }
        }
    }
}

/// Both ends of connections, on this thread.
final class Ends {
    private let diallersBell = Bell()
    private let listenersBell = Bell()
    let listener: StreamListener
    let dialler: StreamDialler
    let endpoint: Endpoint
    private var toDialler: [StreamEvent] = []
    private var toListener: [StreamEvent] = []

    init(
        _ bounds: StreamBounds = StreamBounds(), identity: ServerIdentity? = nil, isHTTP: Bool = false,
        admits: @escaping @Sendable (IPAddress) -> Bool = { _ in true }
    ) throws {
        let kind: StreamKind = isHTTP ? .http : identity == nil ? .bare : .secure
        let socket = try ListeningSocket(Endpoint(IPAddress("127.0.0.1")!, port: 0), kind)
        endpoint = boundEndpoint(of: socket.descriptor)!
        listener = StreamListener(bounds: bounds, admits: admits) { [listenersBell] in listenersBell.ring() }
        dialler = StreamDialler(bounds: bounds) { [diallersBell] in diallersBell.ring() }
        if let identity { listener.use(identity) }
        try listener.accept(from: socket.descriptor, as: kind)
    }

    func awaitDialler(_ isWanted: (StreamEvent) -> Bool) -> StreamEvent? {
        diallersBell.await(&toDialler, dialler.take, isWanted)
    }
    func awaitListener(_ isWanted: (StreamEvent) -> Bool) -> StreamEvent? {
        listenersBell.await(&toListener, listener.take, isWanted)
    }

    /// So many frames, and whose the last was.
    func framesAtListener(_ count: Int) -> (frames: [[UInt8]], peer: Endpoint?) {
        var frames: [[UInt8]] = []
        var peer: Endpoint?
        while frames.count < count {
            toListener += listener.take()
            for case .frame(let frame, let source) in toListener {
                frames.append(frame)
                peer = source
            }
            toListener = []
            if frames.count < count, !listenersBell.wait() { break }
        }
        return (frames, peer)
    }

    func shutDown() {
        dialler.shutDown()
        listener.shutDown()
    }
}

/// A client of TCP that knows nothing of frames.
final class RawClient {
    private let descriptor: Int32

    init(_ endpoint: Endpoint) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let result = endpoint.withSocketAddress { connect(descriptor, $0, $1) }
        guard result == 0 else { throw SystemFailure("connect") }
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func write(_ bytes: [UInt8]) { _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

    /// What comes first, as text.
    func read() -> String {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = recv(descriptor, &bytes, bytes.count, 0)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    func isClosedByPeer() -> Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }
}

func boundEndpoint(of descriptor: Int32) -> Endpoint? {
    var address = sockaddr_storage()
    var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let isKnown = withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) == 0 }
    }
    return isKnown ? Endpoint(address) : nil
}

/// A CA of its own, in a directory that is left to the system's cleaning.
struct CertificateAuthority {
    let directory: String
    var certificate: String { "\(directory)/ca.pem" }

    init() throws {
        directory = NSTemporaryDirectory() + "baton-ca-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try Self.openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=CA", "-keyout", "\(directory)/ca.key", "-out", certificate)
    }

    /// A certificate for these names (`DNS:…,IP:…`) and its key.
    func files(_ names: String) throws -> TLSFiles {
        let base = "\(directory)/\(UUID().uuidString)"
        try Self.openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=end",
            "-addext", "subjectAltName=\(names)", "-keyout", "\(base).key", "-out", "\(base).csr")
        try Self.openssl(
            "x509", "-req", "-in", "\(base).csr", "-CA", certificate, "-CAkey", "\(directory)/ca.key",
            "-copy_extensions", "copy", "-days", "2", "-out", "\(base).pem")
        return TLSFiles(certificate: "\(base).pem", key: "\(base).key")
    }

    private static func openssl(_ arguments: String...) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw SystemFailure("openssl \(arguments[0])") }
    }
}
