import CDatagrams
import Glibc

extension DatagramSocket {
    /// What goes to a group from now on leaves by `interface` (nil: as the routes say) and lives for `hops` routers.
    public func sendGroups(by interface: String?, hops: Int) throws {
        var hops = Int32(hops)
        let size = socklen_t(MemoryLayout<Int32>.size)
        // An IPv6 socket has IPv4's options as well, for the peers that appear as mapped addresses.
        setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_MULTICAST_HOPS, &hops, size)
        setsockopt(descriptor, Int32(IPPROTO_IP), IP_MULTICAST_TTL, &hops, size)
        guard let interface else { return }
        var index = Int32(bitPattern: if_nametoindex(interface))
        guard index > 0 else { throw Failure(description: "there is no interface \(interface)") }
        var request = ip_mreqn()
        request.imr_ifindex = index
        guard setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_MULTICAST_IF, &index, size) == 0,
            setsockopt(
                descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &request, socklen_t(MemoryLayout<ip_mreqn>.size)) == 0
        else { throw Failure(description: "cannot send to groups by \(interface): \(errorText())") }
    }
}
