import CDatagrams
import Glibc
public import Wire

/// A non-blocking UDP socket for both families: IPv4 peers appear as IPv4-mapped addresses, which is how `IPAddress`
/// holds them anyway. It takes and gives many datagrams in one system call.
public struct DatagramSocket: ~Copyable {
    public let descriptor: Int32
    private let incoming = UnsafeMutablePointer<datagram>.allocate(capacity: batch)
    private let outgoing = UnsafeMutablePointer<datagram>.allocate(capacity: batch)
    private var received = 0
    private var waiting = 0

    /// Most datagrams that one system call moves.
    public static var batch: Int { datagram_batch }

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    public init(bindTo endpoint: Endpoint) throws {
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
        incoming.deallocate()
        outgoing.deallocate()
    }

    /// Where it listens, with the port that it got for port 0.
    public var localEndpoint: Endpoint? {
        var address = sockaddr_in6()
        var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let isKnown = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) == 0 }
        }
        return isKnown ? Endpoint(address) : nil
    }

    // MARK: receiving

    /// Takes what waits, up to a batch, in place of what was taken before; returns how many that are.
    public mutating func receive() -> Int {
        received = Int(datagrams_receive(descriptor, incoming))
        return received
    }

    /// The n-th datagram that the last `receive` took, and its sender.
    public subscript(index: Int) -> (datagram: [UInt8], from: Endpoint) {
        precondition(index >= 0 && index < received)
        let bytes = UnsafeRawBufferPointer(start: incoming + index, count: MemoryLayout<datagram>.size)
        let start = MemoryLayout<datagram>.offset(of: \.bytes)!
        return ([UInt8](bytes[start..<start + Int(incoming[index].length)]), Endpoint(incoming[index].peer))
    }

    // MARK: sending

    /// Puts a datagram with those that the next `flush` sends; a full batch goes at once.
    public mutating func send(_ bytes: [UInt8], to endpoint: Endpoint) {
        guard bytes.count <= datagram_capacity else { return }
        outgoing[waiting].peer = sockaddr_in6(endpoint)
        outgoing[waiting].length = UInt32(bytes.count)
        let start = MemoryLayout<datagram>.offset(of: \.bytes)!
        (UnsafeMutableRawPointer(outgoing + waiting) + start).copyMemory(from: bytes, byteCount: bytes.count)
        waiting += 1
        if waiting == Self.batch { flush() }
    }

    /// Sends, or loses: a full buffer or an unreachable peer is one more lost datagram, and CRTP heals those.
    public mutating func flush() {
        if waiting > 0 { datagrams_send(descriptor, outgoing, Int32(waiting)) }
        waiting = 0
    }
}

/// `errno` in words.
public func errorText() -> String { String(cString: strerror(errno)) }

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
