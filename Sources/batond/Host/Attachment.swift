import Adoption
import FastPath

/// The host's interface, taken and given back. What it had is on disk meanwhile, for the case that this process is killed.
struct Attachment {
    let interface: String
    let device: String
    private let path: String

    init(_ agent: AgentConfiguration) {
        interface = agent.interface
        device = agent.replay.device
        path = agent.replay.socket + ".host"
    }

    func requireNothingLeft() throws {
        guard HostInterface.saved(at: path) != nil else { return }
        throw Environment.Failure(
            description:
                "'\(interface)' is attached to a director, or to one that was killed: --restore gives the host its "
                + "addresses back")
    }

    /// Before the port with the host's interface is there.
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
                description: "'\(device)' is there: a director is attached. SIGTERM detaches it.")
        }
        try detach(host)
        return true
    }
}
