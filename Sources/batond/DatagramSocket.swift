import Glibc
import Wire

/// A non-blocking UDP socket for both families: IPv4 peers appear as IPv4-mapped addresses, which is how `IPAddress`
/// holds them anyway.
struct DatagramSocket: ~Copyable {
    let descriptor: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    init(bindTo endpoint: Endpoint) throws {
        descriptor = socket(
            AF_INET6, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "no UDP socket: \(errorText())") }
        var off: Int32 = 0
        setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, socklen_t(MemoryLayout<Int32>.size))
        var size: Int32 = 4 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in6(endpoint)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
        guard bound == 0 else { throw Failure(description: "cannot listen on \(endpoint): \(errorText())") }
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }

    /// The next datagram that waits and its sender; nil when none does.
    func receive() -> (datagram: [UInt8], from: Endpoint)? {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let count = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor, buffer.baseAddress, buffer.count, 0, $0, &length)
            }
        }
        guard count >= 0 else { return nil }
        return ([UInt8](UnsafeRawBufferPointer(rebasing: buffer[0..<count])), Endpoint(address))
    }

    /// Sends, or loses: a full buffer or an unreachable peer is one more lost datagram, and CRTP heals those.
    func send(_ datagram: [UInt8], to endpoint: Endpoint) {
        var address = sockaddr_in6(endpoint)
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, datagram, datagram.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }
}

/// `errno` in words.
func errorText() -> String { String(cString: strerror(errno)) }

extension sockaddr_in6 {
    init(_ endpoint: Endpoint) {
        self.init()
        sin6_family = sa_family_t(AF_INET6)
        sin6_port = endpoint.port.bigEndian
        // The unspecified address stands for both families.
        var words = (endpoint.address.high.bigEndian, endpoint.address.low.bigEndian)
        withUnsafeBytes(of: &words) { source in withUnsafeMutableBytes(of: &sin6_addr) { $0.copyBytes(from: source) } }
    }
}

extension Endpoint {
    init(_ address: sockaddr_in6) {
        let (high, low) = withUnsafeBytes(of: address.sin6_addr) { bytes in
            (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        self.init(
            IPAddress(high: UInt64(bigEndian: high), low: UInt64(bigEndian: low)),
            port: UInt16(bigEndian: address.sin6_port))
    }
}
