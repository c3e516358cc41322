import Glibc

/// Where an agent is found by the one that is to succeed it: a UNIX socket without a file, in the host's network
/// namespace, as the packet filter's table is: the kernel lets nobody else have the name while an agent lives.
/// Both ends must be the same user or root (what each was when it began, before it gave that up).
struct Rendezvous: Sendable {
    let descriptor: CInt
    private let owner: uid_t

    static func name(_ instance: String) -> String { "baton-agent/\(instance)" }

    init(_ instance: String) throws(SystemFailure) {
        owner = geteuid()
        descriptor = try Rendezvous.open()
        let result = Rendezvous.withAddress(instance) { bind(descriptor, $0, $1) }
        guard result == 0, listen(descriptor, 4) == 0 else {
            let failure = SystemFailure("taking the name @\(Rendezvous.name(instance))")
            close(descriptor)
            throw failure
        }
    }

    /// One that a predecessor has passed on.
    init(inherited descriptor: CInt, owner: uid_t) {
        self.descriptor = descriptor
        self.owner = owner
    }

    /// The next successor that may be one; nil when the socket is closed.
    func accept() -> DescriptorChannel? {
        while true {
            let peer = Glibc.accept(descriptor, nil, nil)
            guard peer >= 0 else {
                if errno == EINTR || errno == ECONNABORTED { continue }
                return nil
            }
            _ = fcntl(peer, F_SETFD, FD_CLOEXEC)
            if Rendezvous.isTrusted(peer, owner) { return DescriptorChannel(descriptor: peer) }
            close(peer)
        }
    }

    /// The agent of this name.
    static func find(_ instance: String) throws(SystemFailure) -> DescriptorChannel {
        let descriptor = try open()
        guard withAddress(instance, { connect(descriptor, $0, $1) }) == 0 else {
            let failure = SystemFailure("looking for an agent at @\(name(instance))")
            close(descriptor)
            throw failure
        }
        guard isTrusted(descriptor, geteuid()) else {
            close(descriptor)
            throw SystemFailure("trusting the owner of @\(name(instance))", code: EPERM)
        }
        return DescriptorChannel(descriptor: descriptor)
    }

    private static func open() throws(SystemFailure) -> CInt {
        let descriptor = socket(AF_UNIX, CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemFailure("socket") }
        return descriptor
    }

    private static func isTrusted(_ peer: CInt, _ owner: uid_t) -> Bool {
        struct Credentials {
            var process: pid_t = 0
            var user: uid_t = .max
            var group: gid_t = .max
        }
        var credentials = Credentials()
        var length = socklen_t(MemoryLayout<Credentials>.size)
        guard getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0 else { return false }
        return credentials.user == 0 || credentials.user == owner
    }

    /// A name without a file begins with a zero.
    private static func withAddress(_ instance: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(name(instance).utf8.prefix(MemoryLayout.size(ofValue: address.sun_path) - 1))
        withUnsafeMutableBytes(of: &address.sun_path) { path in
            for (index, byte) in name.enumerated() { path[index + 1] = byte }
        }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.count)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
