import Glibc
package import Wire

extension DatagramSocket {
    /// A socket for what comes to a multicast group by an interface. Others on this host may have one, too.
    package init(group: Endpoint, interface: String) throws(SystemFailure) {
        let index = if_nametoindex(interface)
        guard index > 0 else { throw SystemFailure("joining \(group) by \(interface)") }
        let family = group.address.isV4 ? AF_INET : AF_INET6
        let descriptor = socket(family, CInt(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemFailure("socket") }
        self.init(inherited: descriptor, group)
        do throws(SystemFailure) {
            try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
            if !group.address.isV4 { try setOption(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1, "IPV6_V6ONLY") }
            guard group.withSocketAddress({ bind(descriptor, $0, $1) }) == 0, join(group, index) else {
                throw SystemFailure("joining \(group) by \(interface)")
            }
        } catch {
            close(descriptor)
            throw error
        }
    }

    private func join(_ group: Endpoint, _ index: CUnsignedInt) -> Bool {
        group.withSocketAddress { address, _ in
            if group.address.isV4 {
                var request = ip_mreqn()
                request.imr_ifindex = CInt(index)
                request.imr_multiaddr = UnsafeRawPointer(address).load(as: sockaddr_in.self).sin_addr
                let size = socklen_t(MemoryLayout<ip_mreqn>.size)
                return setsockopt(descriptor, CInt(IPPROTO_IP), IP_ADD_MEMBERSHIP, &request, size) == 0
            }
            var request = ipv6_mreq()
            request.ipv6mr_interface = index
            request.ipv6mr_multiaddr = UnsafeRawPointer(address).load(as: sockaddr_in6.self).sin6_addr
            let size = socklen_t(MemoryLayout<ipv6_mreq>.size)
            return setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_ADD_MEMBERSHIP, &request, size) == 0
        }
    }
}
