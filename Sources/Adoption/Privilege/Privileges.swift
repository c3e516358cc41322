import Glibc

/// What a process may do beyond its user's files. All of it is per thread in Linux, so it is given up before a second
/// thread exists.
package enum Privileges {
    /// A user that a process becomes.
    package struct User: Equatable, Sendable {
        package var name: String
        package var user: uid_t
        package var group: gid_t

        /// By name or by number; nil when there is none.
        package init?(_ name: String) {
            let entry = uid_t(name).map { getpwuid($0) } ?? getpwnam(name)
            guard let entry else { return nil }
            self.name = String(cString: entry.pointee.pw_name)
            user = entry.pointee.pw_uid
            group = entry.pointee.pw_gid
        }
    }

    /// A set of capabilities by their numbers in `linux/capability.h`.
    package struct Capabilities: OptionSet, Sendable {
        package let rawValue: UInt64
        package init(rawValue: UInt64) { self.rawValue = rawValue }
        /// CAP_NET_ADMIN: TCP_REPAIR, IP_TRANSPARENT, marks, nftables, routes.
        package static let networkAdministration = Capabilities(rawValue: 1 << 12)
        /// CAP_NET_BIND_SERVICE: an adopted socket is bound to the origin's port, also below 1024.
        package static let lowPorts = Capabilities(rawValue: 1 << 10)
    }

    /// Becomes `user` (nil: stays who it is), keeps `kept` alone, also over exec, and can never gain more.
    package static func reduce(to kept: Capabilities, user: User?) throws(SystemFailure) {
        // Needs CAP_SETPCAP, which an unprivileged start does not have; then there is little to take away either.
        for capability in UInt(0)..<64 where kept.rawValue >> UInt64(capability) & 1 == 0 {
            guard control(.dropFromBoundingSet, capability) == 0 else { break }
        }
        _ = control(.keepCapabilities, 1)
        if let user { try become(user) }
        try setCapabilities(kept)
        _ = control(.ambient, Ambient.clearAll)
        for capability in UInt(0)..<64 where kept.rawValue >> UInt64(capability) & 1 == 1 {
            guard control(.ambient, Ambient.raise, capability) == 0 else {
                throw SystemFailure("keeping a capability over exec")
            }
        }
        guard control(.noNewPrivileges, 1) == 0 else { throw SystemFailure("setting no_new_privs") }
    }

    private static func become(_ user: User) throws(SystemFailure) {
        if geteuid() == user.user, getegid() == user.group { return }
        // With the privilege to do so, these set the real, the effective and the saved one.
        guard initgroups(user.name, user.group) == 0, setgid(user.group) == 0, setuid(user.user) == 0 else {
            throw SystemFailure("becoming user \(user.name)")
        }
    }

    private enum Control: CInt {
        case keepCapabilities = 8  // PR_SET_KEEPCAPS
        case dropFromBoundingSet = 24  // PR_CAPBSET_DROP
        case noNewPrivileges = 38  // PR_SET_NO_NEW_PRIVS
        case ambient = 47  // PR_CAP_AMBIENT
    }

    private enum Ambient {
        static let raise: UInt = 2  // PR_CAP_AMBIENT_RAISE
        static let clearAll: UInt = 4  // PR_CAP_AMBIENT_CLEAR_ALL
    }

    private static func control(_ operation: Control, _ first: UInt, _ second: UInt = 0) -> CInt {
        processControl(operation.rawValue, first, second)
    }

    /// The C library has capset(2), but no header of it.
    private static func setCapabilities(_ kept: Capabilities) throws(SystemFailure) {
        typealias Call = @convention(c) (UnsafePointer<UInt32>, UnsafePointer<UInt32>) -> CInt
        let call = unsafeBitCast(dlsym(nil, "capset"), to: Call.self)
        // Version 3 of the interface, for this thread; then effective, permitted and inheritable, lower halves first.
        let header: [UInt32] = [0x2008_0522, 0]
        let (low, high) = (UInt32(truncatingIfNeeded: kept.rawValue), UInt32(kept.rawValue >> 32))
        guard call(header, [low, low, low, high, high, high]) == 0 else {
            throw SystemFailure(kept.isEmpty ? "giving up capabilities" : "keeping \(kept)")
        }
    }
}

extension Privileges.Capabilities: CustomStringConvertible {
    package var description: String {
        let names = [(Self.networkAdministration, "CAP_NET_ADMIN"), (Self.lowPorts, "CAP_NET_BIND_SERVICE")]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: " and ")
    }
}
