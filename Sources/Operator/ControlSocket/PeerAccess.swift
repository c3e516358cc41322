import Foundation

/// Who may do what over the control socket: root and the director's own user everything, members of the group reading.
public struct PeerAccess: Equatable, Sendable {
    /// The user that may change, besides root.
    public var owner: UInt32
    /// The group that may read.
    public var readers: UInt32

    public init(owner: UInt32 = geteuid(), readers: UInt32 = getegid()) {
        self.owner = owner
        self.readers = readers
    }

    public enum Rights: Equatable, Sendable { case none, read, change }

    package func rights(of peer: PeerCredentials) -> Rights {
        if peer.user == 0 || peer.user == owner { return .change }
        return peer.groups.contains(readers) ? .read : .none
    }

    /// nil when `peer` may do it.
    func refusal(of request: OperatorRequest, by peer: PeerCredentials) -> RPCError? {
        switch rights(of: peer) {
        case .change: return nil
        case .read:
            if !request.isForOwner { return nil }
            return .denied(
                "user \(peer.user) may look but not change or capture anything: use the director's own user, or root")
        case .none:
            return .denied("user \(peer.user) has no access: join group \(readers), or be root")
        }
    }
}

/// Who is at the other end of a UNIX socket, as the kernel says; settled when the connection was made.
package struct PeerCredentials: Equatable, Sendable {
    package var user: UInt32
    /// The effective group and the supplementary ones.
    package var groups: Set<UInt32>

    package init(user: UInt32, groups: Set<UInt32>) {
        self.user = user
        self.groups = groups
    }

    /// nil when the kernel does not say.
    init?(descriptor: Int32) {
        // struct ucred: pid, uid, gid.
        var credentials: [UInt32] = [0, 0, 0]
        var size = socklen_t(12)
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0, size == 12 else { return nil }
        // SO_PEERGROUPS (Linux 4.13), which Glibc's Swift module does not name.
        let peerGroups: Int32 = 59
        var supplementary = [UInt32](repeating: 0, count: 1_024)
        var bytes = socklen_t(supplementary.count * 4)
        let hasGroups = getsockopt(descriptor, SOL_SOCKET, peerGroups, &supplementary, &bytes) == 0
        user = credentials[1]
        groups = Set(supplementary.prefix(hasGroups ? Int(bytes) / 4 : 0)).union([credentials[2]])
    }
}
