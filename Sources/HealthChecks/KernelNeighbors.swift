internal import Glibc
package import Wire

/// What the kernel knows of the way to a host, by rtnetlink(7): which neighbour it sends to, itself or a router, and that
/// neighbour's Ethernet address. Questions are answered by the kernel within the call.
package struct KernelNeighbors: Sendable {
    package init() {}

    /// Lets the kernel find a host that it has nothing to send to: one empty datagram to the port of the service that
    /// discards (RFC 863).
    package func provoke(_ host: IPAddress) {
        let descriptor = socket(
            host.isV4 ? AF_INET : AF_INET6, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        // struct sockaddr_in, or sockaddr_in6 with flow and scope 0.
        var address = [UInt8](repeating: 0, count: host.isV4 ? 16 : 28)
        address.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: sa_family_t(host.isV4 ? AF_INET : AF_INET6), as: sa_family_t.self)
            bytes.storeBytes(of: UInt16(9).bigEndian, toByteOffset: 2, as: UInt16.self)
            if host.isV4 {
                bytes.storeBytes(of: host.v4.bigEndian, toByteOffset: 4, as: UInt32.self)
            } else {
                bytes.storeBytes(of: host.high.bigEndian, toByteOffset: 8, as: UInt64.self)
                bytes.storeBytes(of: host.low.bigEndian, toByteOffset: 16, as: UInt64.self)
            }
        }
        address.withUnsafeBytes { bytes in
            guard let start = bytes.baseAddress else { return }
            _ = sendto(
                descriptor, nil, 0, Int32(MSG_DONTWAIT), start.assumingMemoryBound(to: sockaddr.self),
                socklen_t(bytes.count))
        }
    }

    /// nil when there is no route, or no Ethernet address is known on it.
    package func address(towards host: IPAddress) -> MACAddress? {
        guard let socket = NetlinkSocket() else { return nil }
        guard let route = socket.ask(.route(to: host)), let link = route.attribute(.outgoingLink)?.word else {
            return nil
        }
        // Without a router on the way it is the host itself.
        let neighbor = route.attribute(.gateway)?.address ?? host
        return socket.ask(.neighbor(neighbor, link: link))?.attribute(.linkAddress)?.mac
    }
}

/// A route netlink socket for one thread.
private struct NetlinkSocket: ~Copyable {
    private let descriptor: Int32

    init?() {
        // AF_NETLINK, NETLINK_ROUTE.
        descriptor = socket(16, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
    }

    deinit { close(descriptor) }

    /// nil when the kernel refuses, or answers with something else.
    func ask(_ question: NetlinkMessage) -> NetlinkMessage? {
        let sent = question.bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, 0) }
        guard sent == question.bytes.count else { return nil }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = bytes.withUnsafeMutableBytes {
            recv(descriptor, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
        }
        guard count > 0 else { return nil }
        return NetlinkMessage(answer: bytes[..<count], to: question)
    }
}
