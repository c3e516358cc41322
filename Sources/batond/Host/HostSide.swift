import Adoption
import FastPath
import Glibc
import InterCore
import Logging
import Wire

/// A director that stands on a server itself: the clients' side is that host's own interface, the servers' side a TAP that
/// the host gets instead, with the same addresses. Other directors' connections go to its servers by replay
/// (`HostReplays`), its own to proxies by the way they came.
struct HostSide {
    let agent: AgentConfiguration
    private let host: HostInterface
    private let attachment: Attachment
    private let origins: [ReplayedOrigin]
    let replays: HostReplays
    private let logger: Logger

    /// - Parameter agent: of this host.
    init(_ agent: AgentConfiguration, logger: Logger) throws {
        self.agent = agent
        self.logger = logger
        attachment = Attachment(agent)
        try attachment.requireNothingLeft()
        origins = Catalogue.replays(agent.sites)
        host = try HostInterface(agent.interface)
        let owner = agent.user.flatMap { Privileges.User($0)?.user } ?? geteuid()
        replays = try HostReplays(socket: agent.replay.socket, owner: owner)
    }

    /// For those who give none: a worker that sleeps when nothing comes, and memory without hugepages.
    var defaultEAL: [String] {
        let cpus = max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1)
        return [
            "--lcores", "0@0,1@\(cpus - 1)", "--no-huge", "-m", "256", "--no-pci", "--no-telemetry", "--no-shconf",
            "--file-prefix", "baton-host-\(agent.name)", "--log-level", "4",
        ]
    }

    /// The host's interface is the director's as long as `body` runs; whatever happens there, the host gets it back.
    func whileAttached(
        _ pools: [PacketPool], interrupts: Bool, _ body: ((client: [Port], server: [Port])) throws -> Void
    ) throws {
        let server = try Port(devargs: "net_tap0,iface=\(attachment.device)", pools: pools[...], interrupts: interrupts)
        var failure: (any Error)?
        do {
            try attachment.attach(host)
            let devargs = agent.replay.port ?? "net_af_xdp0,iface=\(host.name)"
            let client = try Port(devargs: devargs, pools: pools[...], interrupts: interrupts)
            defer { client.stop() }
            logger.notice("attached", metadata: ["interface": "\(host.name)", "device": "\(attachment.device)"])
            try body(([client], [server]))
        } catch { failure = error }
        do { try attachment.detach(host) } catch {
            logger.critical("the host has not got its addresses back: \(error)")
        }
        server.stop()
        replays.close()
        logger.notice("detached", metadata: ["interface": "\(host.name)"])
        if let failure { throw failure }
    }

    /// What a worker on a host knows besides.
    func prepare(_ worker: inout WorkerConfiguration) {
        worker.proxiesOnClientSide = true
        // After a good end nobody has connections from here; the host's own would be withheld meanwhile.
        if !attachment.followsKilled { worker.recoveryMicroseconds = 0 }
        worker.unaskedMicroseconds = agent.adoption.uncommittedLifetimeMicroseconds
        // Other directors wait some milliseconds, and the servers are on this machine.
        worker.bindRetryMicroseconds = 20_000
        worker.bindTries = 3
        // The TAP has the interface's.
        let mac = NetworkInterface(host.name)?.mac ?? .zero
        for (index, entry) in origins.enumerated() {
            worker.virtualServers.append(VirtualServer(replayed: entry.origin, by: index))
            worker.origins.append(Origin(entry.server, hop: NextHop(mac: mac, mtu: UInt16(clamping: host.mtu))))
        }
    }
}
