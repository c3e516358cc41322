import Glibc

/// An Ethernet wire to the kernel, in the thread's network namespace.
struct TapDevice: ~Copyable {
    struct Failure: Error, CustomStringConvertible {
        var description: String
        init(_ what: String) { description = "\(what): \(String(cString: strerror(errno)))" }
    }

    private let descriptor: Int32

    static var isPossible: Bool { geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0 }

    /// Runs `body` while the thread is in a namespace of its own.
    static func inNamespace(_ body: () throws -> Void) throws {
        typealias Unshare = @convention(c) (CInt) -> CInt
        typealias SetNamespace = @convention(c) (CInt, CInt) -> CInt
        let unshare = unsafeBitCast(dlsym(nil, "unshare"), to: Unshare.self)
        let setns = unsafeBitCast(dlsym(nil, "setns"), to: SetNamespace.self)
        let network: CInt = 0x4000_0000  // CLONE_NEWNET
        let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        defer { close(home) }
        guard home >= 0, unshare(network) == 0 else { throw Failure("unshare") }
        // Other tests run on this thread later.
        defer { precondition(setns(home, network) == 0) }
        try body()
    }

    /// A device with these addresses, each as `ip addr add` takes it.
    init(addresses: [String], mtu: Int) throws {
        descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure("/dev/net/tun") }
        // struct ifreq: a name of 16 bytes, flags IFF_TAP and IFF_NO_PI; TUNSETIFF.
        var request = Array("tap0".utf8) + [UInt8](repeating: 0, count: 36)
        request[16] = 0x02
        request[17] = 0x10
        guard request.withUnsafeMutableBytes({ ioctl(descriptor, 0x4004_54CA, $0.baseAddress!) }) == 0 else {
            throw Failure("TUNSETIFF")
        }
        for address in addresses {
            try TapDevice.run("ip addr add \(address) dev tap0 \(address.contains(":") ? "nodad" : "")")
        }
        try TapDevice.run("ip link set tap0 mtu \(mtu) up")
    }

    deinit { close(descriptor) }

    static func run(_ command: String) throws {
        guard system(command) == 0 else { throw Failure(command) }
    }

    /// Of the thread's namespace.
    static func setKernel(_ name: String, _ value: Int) throws {
        let file = open("/proc/sys/net/ipv4/\(name)", O_WRONLY | O_CLOEXEC)
        defer { close(file) }
        let text = String(value)
        guard file >= 0, text.withCString({ write(file, $0, text.utf8.count) }) == text.utf8.count else {
            throw Failure(name)
        }
    }

    /// The next frame that the kernel sends; nil when there is none for ten seconds.
    func receive() throws -> [UInt8]? {
        var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&wait, 1, 10_000) == 1 else { return nil }
        var frame = [UInt8](repeating: 0, count: 2_048)
        let length = frame.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        guard length >= 0 else { throw Failure("read") }
        return Array(frame.prefix(length))
    }

    func send(_ frame: [UInt8]) throws {
        guard frame.withUnsafeBytes({ write(descriptor, $0.baseAddress, $0.count) }) == frame.count else {
            throw Failure("write")
        }
    }
}
