import Adoption
import FastPath

/// The host's interface, taken and given back. What it had is on disk meanwhile, for the case that this process is killed.
struct Attachment {
    let interface: String
    let device: String
    private let path: String

    init(_ configuration: AgentConfiguration) {
        interface = configuration.interface
        device = configuration.replay.device
        path = configuration.replay.socket + ".host"
    }

    /// After the port with the host's interface is there.
    func attach(_ host: HostInterface) throws {
        try host.save(at: path)
        try host.move(to: device)
    }

    func detach(_ host: HostInterface) throws {
        try host.moveBack(from: device)
        HostInterface.forget(at: path)
    }

    /// False when nothing was left behind.
    func restore() throws -> Bool {
        guard let host = HostInterface.saved(at: path) else { return false }
        guard !HostInterface.exists(device) else {
            throw Environment.Failure(
                description: "'\(device)' is there: a replayer is attached. SIGTERM detaches it.")
        }
        try detach(host)
        return true
    }
}
