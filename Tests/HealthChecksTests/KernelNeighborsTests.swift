import Foundation
import HealthChecks
import Testing
import Wire

/// What the kernel says of the way to a host, in a namespace of the test's own.
@Suite(.serialized, .enabled(if: geteuid() == 0)) struct KernelNeighborsTests {
    /// Runs `body` while this thread is in a namespace with one Ethernet interface, set up by `ip`.
    private func inNamespace(_ commands: [String], _ body: () throws -> Void) throws {
        typealias Unshare = @convention(c) (CInt) -> CInt
        typealias SetNamespace = @convention(c) (CInt, CInt) -> CInt
        let unshare = unsafeBitCast(dlsym(nil, "unshare"), to: Unshare.self)
        let setns = unsafeBitCast(dlsym(nil, "setns"), to: SetNamespace.self)
        let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        defer { close(home) }
        try #require(home >= 0 && unshare(0x4000_0000) == 0)  // CLONE_NEWNET
        defer { precondition(setns(home, 0x4000_0000) == 0) }
        for command in ["link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"] + commands {
            try #require(
                try status(of: ["/sbin/ip"] + command.split(separator: " ").map(String.init)) == 0, "ip \(command)")
        }
        try body()
    }

    /// Not by Foundation's `Process`: what that makes at its first use would live in the namespace, and miss others' ends.
    private func status(of words: [String]) throws -> CInt {
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var (child, status) = (pid_t(), CInt(0))
        try #require(posix_spawn(&child, words[0], nil, nil, &arguments, environ) == 0)
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
        return status
    }

    private func address(_ host: String) -> MACAddress? { KernelNeighbors().address(towards: IPAddress(host)!) }

    @Test func theNeighborItselfAndTheRouterOnTheWay() throws {
        let commands = [
            "addr add 10.9.0.1/24 dev v0", "-6 addr add fd00:9::1/64 dev v0 nodad",
            "route add 10.8.0.0/16 via 10.9.0.3", "-6 route add fd00:8::/64 via fd00:9::3",
            "neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev v0", "neigh add 10.9.0.3 lladdr 02:00:00:00:00:03 dev v0",
            "neigh add fd00:9::2 lladdr 02:00:00:00:06:02 dev v0",
            "neigh add fd00:9::3 lladdr 02:00:00:00:06:03 dev v0",
        ]
        try inNamespace(commands) {
            #expect(address("10.9.0.2") == MACAddress(0x0200_0000_0002))
            #expect(address("10.8.1.1") == MACAddress(0x0200_0000_0003))
            #expect(address("fd00:9::2") == MACAddress(0x0200_0000_0602))
            #expect(address("fd00:8::7") == MACAddress(0x0200_0000_0603))
            // A neighbour that nobody has asked for, an address of this host, and no route at all.
            #expect(address("10.9.0.9") == nil)
            #expect(address("fd00:9::9") == nil)
            #expect(address("10.9.0.1") == nil)
            #expect(address("192.0.2.1") == nil)
            #expect(address("2001:db8::1") == nil)
        }
    }
}
