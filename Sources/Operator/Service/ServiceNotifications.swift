import Glibc

/// Tells systemd, or another service manager with its protocol, how the director is (sd_notify(3)): datagrams to the
/// socket that NOTIFY_SOCKET names. Without one it does nothing. Never waits.
public struct ServiceNotifications: ~Copyable {
    private let descriptor: Int32
    private var address: sockaddr_un
    private let length: socklen_t
    /// Between two signs of life: half of what the manager allows; 0 when it does not want any.
    private let periodMicroseconds: UInt64
    private var nextSign: UInt64 = 0

    /// - Parameters: as in the environment: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID.
    public init(socket path: String?, watchdogMicroseconds: String?, watchdogProcess: String?) {
        address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let isMeant = watchdogProcess.map { $0 == "\(getpid())" } ?? true
        periodMicroseconds = isMeant ? watchdogMicroseconds.flatMap { UInt64($0) }.map { $0 / 2 } ?? 0 : 0
        // An abstract name is written with @ for its first byte, which is 0.
        var bytes = Array((path ?? "").utf8)
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        let fits = !bytes.isEmpty && bytes.count < MemoryLayout.size(ofValue: address.sun_path)
        withUnsafeMutableBytes(of: &address.sun_path) { if fits { $0.copyBytes(from: bytes) } }
        length = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path)! + bytes.count)
        descriptor =
            fits
            ? Glibc.socket(
                AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            : -1
    }

    /// From this process's environment.
    public init() {
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        self.init(
            socket: variable("NOTIFY_SOCKET"), watchdogMicroseconds: variable("WATCHDOG_USEC"),
            watchdogProcess: variable("WATCHDOG_PID"))
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    public mutating func isReady(_ status: String) { say("READY=1\nSTATUS=\(status)") }
    public mutating func isStopping() { say("STOPPING=1") }

    /// A sign of life when one is due, and `isWell`. Without it the manager starts the director anew.
    public mutating func keepAlive(nowMicroseconds now: UInt64, isWell: () -> Bool) {
        guard periodMicroseconds > 0, now >= nextSign else { return }
        nextSign = now + periodMicroseconds
        if isWell() { say("WATCHDOG=1") }
    }

    private mutating func say(_ text: String) {
        guard descriptor >= 0 else { return }
        let bytes = Array(text.utf8)
        let length = length
        let descriptor = descriptor
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
