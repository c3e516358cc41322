import Glibc
internal import Wire

/// Where directors' outer packets come: UDP for GUE and VXLAN, an IP protocol's own for IPIP, which needs CAP_NET_RAW.
struct TunnelSocket: Sendable {
    let descriptor: CInt
    /// Raw sockets of IPv4 show the outer header.
    let showsHeader: Bool
    private let endpoint: Endpoint
    private let name: String

    /// All that one address needs: an inner packet of the other family is another protocol.
    static func open(_ kind: Encapsulation.Kind, at address: IPAddress) throws(SystemFailure) -> [TunnelSocket] {
        guard let port = kind.port else {
            // IP in IP, IPv6 in IP.
            return [try TunnelSocket(raw: 4, at: address), try TunnelSocket(raw: 41, at: address)]
        }
        return [try TunnelSocket(Endpoint(address, port: port))]
    }

    private init(_ endpoint: Endpoint) throws(SystemFailure) {
        try self.init(CInt(SOCK_DGRAM.rawValue), 0, endpoint, "UDP \(endpoint)", showsHeader: false)
    }

    private init(raw number: CInt, at address: IPAddress) throws(SystemFailure) {
        try self.init(
            CInt(SOCK_RAW.rawValue), number, Endpoint(address, port: 0), "IP protocol \(number) at \(address)",
            showsHeader: address.isV4)
    }

    private init(
        _ type: CInt, _ number: CInt, _ endpoint: Endpoint, _ name: String, showsHeader: Bool
    ) throws(SystemFailure) {
        let isV4 = endpoint.address.isV4
        let flags = CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(isV4 ? AF_INET : AF_INET6, type | flags, number)
        self.showsHeader = showsHeader
        self.endpoint = endpoint
        self.name = name
        guard descriptor >= 0 else { throw SystemFailure("a socket for \(name)") }
        do throws(SystemFailure) {
            // A successor binds before this process is gone.
            try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT")
            try setOption(descriptor, SOL_SOCKET, SO_RCVBUF, 4 << 20, "SO_RCVBUF")
            if isV4 {
                try setOption(descriptor, CInt(IPPROTO_IP), IP_RECVTOS, 1, "IP_RECVTOS")
            } else {
                // Bound to an address of IPv6, it gets nothing of IPv4.
                try setOption(descriptor, CInt(IPPROTO_IPV6), IPV6_RECVTCLASS, 1, "IPV6_RECVTCLASS")
            }
        } catch {
            close(descriptor)
            throw error
        }
    }

    /// From now on packets come; where a predecessor has such a socket too, half of them.
    func listen() throws(SystemFailure) {
        guard endpoint.withSocketAddress({ bind(descriptor, $0, $1) }) == 0 else {
            throw SystemFailure("binding \(name)")
        }
    }
}
