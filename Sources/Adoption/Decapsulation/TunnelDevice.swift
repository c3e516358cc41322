import Foundation
import Glibc

/// A TUN device: what is written to it has arrived at this host. It has no address, for nobody is to answer by it, and
/// goes with the last process that has it open.
struct TunnelDevice: Sendable {
    let descriptor: CInt

    /// Needs CAP_NET_ADMIN. Several processes may have the same device: an agent and its successor.
    init(_ name: String) throws {
        descriptor = Glibc.open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure("opening /dev/net/tun") }
        // struct ifreq: the name, then IFF_TUN, IFF_MULTI_QUEUE and IFF_NO_PI; TUNSETIFF.
        var request = [UInt8](repeating: 0, count: 40)
        request.replaceSubrange(0..<name.utf8.count, with: name.utf8)
        (request[16], request[17]) = (0x01, 0x11)
        guard request.withUnsafeMutableBytes({ ioctl(descriptor, 0x4004_54CA, $0.baseAddress!) }) == 0 else {
            let failure = SystemFailure("making the device \(name)")
            close(descriptor)
            throw failure
        }
        do { try TunnelDevice.bringUp(name) } catch {
            close(descriptor)
            throw error
        }
    }

    /// The clients' way back is another one, which reverse path filtering must not mind: the larger of `all` and the
    /// device's own setting counts.
    private static func bringUp(_ name: String) throws {
        _ = try? Command.run(["ip", "link", "set", "dev", name, "addrgenmode", "none"])
        try Command.run(["ip", "link", "set", "dev", name, "up"])
        try? "0".write(toFile: "/proc/sys/net/ipv4/conf/\(name)/rp_filter", atomically: false, encoding: .utf8)
        let filters = ["all", name].compactMap { HostCheck.setting("net.ipv4.conf.\($0).rp_filter") }
        guard !filters.contains("1") || filters.contains("2") else {
            throw Agent.StartFailure(
                description: "rp_filter is strict, and would drop what comes by \(name): "
                    + "sysctl -w net.ipv4.conf.all.rp_filter=2")
        }
    }

    /// One packet. False when the kernel has no room for it.
    func deliver(_ packet: UnsafeRawBufferPointer) -> Bool {
        write(descriptor, packet.baseAddress, packet.count) == packet.count
    }
}
