import Foundation

/// The file of a UNIX socket: made with its group and mode before anybody can see it.
package enum SocketFile {
    struct Listening {
        var descriptor: Int32
        var inode: UInt64
    }

    /// A listening socket at `path`, mode 0660, of `group`. Replaces a socket that nobody listens on; refuses one that
    /// somebody does, and anything that is no socket.
    static func listen(path: String, group: UInt32) throws(ControlSocketProblem) -> Listening {
        func fail(_ message: String, _ remedy: String) -> ControlSocketProblem {
            ControlSocketProblem(path: path, message: message, remedy: remedy)
        }
        func systemError() -> String { String(cString: strerror(errno)) }
        // The socket comes to life under another name and is renamed, so nobody sees it with other rights.
        let temporary = path + ".new"
        guard path.hasPrefix("/"), temporary.utf8.count <= 107 else {
            throw fail("is not an absolute path of at most 103 bytes", "choose a shorter path in 'control.socket'")
        }
        let directory = (path as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        } catch {
            throw fail("has no directory, and it cannot be made", "make \(directory), or start as root")
        }
        try checkExisting(path)
        unlink(temporary)
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw fail("cannot be made: \(systemError())", "raise the limit of open files") }
        func abandon(_ message: String, _ remedy: String) -> ControlSocketProblem {
            let problem = fail("\(message): \(systemError())", remedy)
            close(descriptor)
            unlink(temporary)
            return problem
        }
        guard bind(descriptor, temporary) == 0 else {
            throw abandon("cannot be made", "check the rights of \(directory)")
        }
        guard chmod(temporary, 0o660) == 0, chown(temporary, geteuid(), group) == 0 else {
            throw abandon("cannot be given to group \(group)", "start as root, or leave 'control.group' out")
        }
        guard Foundation.listen(descriptor, 16) == 0, rename(temporary, path) == 0, let inode = inode(of: path) else {
            throw abandon("cannot be put in place", "check the rights of \(directory)")
        }
        return Listening(descriptor: descriptor, inode: inode)
    }

    static func inode(of path: String) -> UInt64? {
        var status = stat()
        return lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    static func groupIdentifier(_ name: String) throws(ControlSocketProblem) -> UInt32 {
        if let number = UInt32(name) { return number }
        guard let entry = getgrnam(name) else {
            throw ControlSocketProblem(
                path: "of group '\(name)'", message: "cannot be made, there is no such group",
                remedy: "groupadd --system \(name), or leave 'control.group' out")
        }
        return entry.pointee.gr_gid
    }

    private static func checkExisting(_ path: String) throws(ControlSocketProblem) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ControlSocketProblem(
                path: path, message: "is in the way: a file of that name is no socket",
                remedy: "move it, or choose another 'control.socket'")
        }
        // Without blocking: a director whose backlog is full is alive, too.
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let probe = socket(AF_UNIX, kind, 0)
        defer { close(probe) }
        if connect(probe, path) == 0 || errno == EAGAIN {
            throw ControlSocketProblem(
                path: path, message: "is in use: a director serves it already",
                remedy: "stop that one, or choose another 'control.socket'")
        }
    }

    /// `bind` and `connect` with a path. 0, or -1 with `errno` set.
    private static func bind(_ descriptor: Int32, _ path: String) -> Int32 {
        withAddress(path) { Foundation.bind(descriptor, $0, $1) }
    }

    package static func connect(_ descriptor: Int32, _ path: String) -> Int32 {
        withAddress(path) { Foundation.connect(descriptor, $0, $1) }
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else {
            errno = ENAMETOOLONG
            return -1
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
