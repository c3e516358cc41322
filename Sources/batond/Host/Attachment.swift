import Adoption
import FastPath
import Foundation
import StrictYAML

/// The host's interface, taken and given back. What it had is on disk meanwhile, for the case that this process is killed.
struct Attachment {
    let interface: String
    let device: String
    private let path: String
    /// The last director here was killed, and `restore` has given back what it had.
    let followsKilled: Bool

    init(_ agent: AgentConfiguration) {
        self.init(interface: agent.interface, replay: agent.replay)
    }

    private init(interface: String, replay: ReplaySettings) {
        self.interface = interface
        device = replay.device
        path = replay.socket + ".host"
        followsKilled = access(path + ".restored", F_OK) == 0
    }

    /// Of a director's file with whatever mistakes: who has lost a host's addresses must not have to mend those first.
    init(restoring file: String) throws {
        func read<Value>(_ path: String, _ body: (YAMLSection) -> Value?) throws -> Value {
            guard let value = try YAMLFile.load(path).read(body).value else {
                throw Environment.Failure(description: "\(path) does not say where the host's interface is")
            }
            return value
        }
        let agent = try read(file) { file in
            file.section("host") { section in section.required("agent", .string).map { section.resolve($0) } }
        }
        self = try read(agent) { file in
            let replay = file.section("replay") { ReplaySettings.read($0) }
            return file.required("interface", .string).map { Attachment(interface: $0, replay: replay) }
        }
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
        unlink(path + ".restored")
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
        FileManager.default.createFile(atPath: path + ".restored", contents: nil)
        return true
    }
}
