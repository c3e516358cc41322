import Glibc

/// The UNIX socket between an agent and its host's replayer: a file, whose owner and mode say who may connect.
package enum ReplaySocket {
    /// The replayer's end. What a former one left at the path is replaced.
    /// - Parameter owner: whom the agent becomes; only this user and root may connect.
    package static func listen(at path: String, owner: uid_t) throws(SystemFailure) -> CInt {
        let descriptor = try open(CInt(SOCK_NONBLOCK.rawValue))
        unlink(path)
        // No moment in which others may connect.
        let mask = umask(0o177)
        let isBound = withAddress(path) { bind(descriptor, $0, $1) } == 0
        umask(mask)
        guard isBound, lchown(path, owner, gid_t.max) == 0, Glibc.listen(descriptor, 4) == 0 else {
            let failure = SystemFailure("listening at \(path)")
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// The agent's end.
    package static func connect(to path: String) throws(SystemFailure) -> CInt {
        let descriptor = try open(0)
        guard withAddress(path, { Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let failure = SystemFailure("connecting to \(path)")
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// Longest path, in bytes.
    package static var longestPath: Int { MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1 }

    private static func open(_ flags: CInt) throws(SystemFailure) -> CInt {
        let type = CInt(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue) | flags
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw SystemFailure("socket") }
        return descriptor
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
