import Glibc
package import Wire

/// A UDP socket that is bound and never blocks.
package struct DatagramSocket: Sendable {
    package let descriptor: CInt
    package let endpoint: Endpoint

    package init(_ endpoint: Endpoint) throws(SystemFailure) {
        let family = endpoint.address.isV4 ? AF_INET : AF_INET6
        descriptor = socket(family, CInt(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        self.endpoint = endpoint
        guard descriptor >= 0 else { throw SystemFailure("socket") }
        do {
            if !endpoint.address.isV4 { try setOption(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1, "IPV6_V6ONLY") }
            try setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 1 << 20, "SO_RCVBUF")
        } catch {
            close(descriptor)
            throw error
        }
        guard endpoint.withSocketAddress({ bind(descriptor, $0, $1) }) == 0 else {
            let failure = SystemFailure("binding UDP \(endpoint)")
            close(descriptor)
            throw failure
        }
    }

    /// One that a predecessor has opened and bound.
    package init(inherited descriptor: CInt, _ endpoint: Endpoint) {
        self.descriptor = descriptor
        self.endpoint = endpoint
    }

    /// One datagram and its sender; nil when there is none now.
    package func receive(into buffer: inout [UInt8]) -> (bytes: [UInt8], source: Endpoint)? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let count = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                recvfrom(descriptor, &buffer, buffer.count, 0, address, &length)
            }
        }
        guard count >= 0, let source = Endpoint(storage) else { return nil }
        return (Array(buffer[..<count]), source)
    }

    /// Sent or lost, as datagrams are.
    package func send(_ bytes: [UInt8], to destination: Endpoint) {
        _ = destination.withSocketAddress { sendto(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL), $0, $1) }
    }
}
