import Glibc

/// A file that is open to be served: descriptor and facts belong to the same inode, whatever happens to the name.
package struct Document {
    package var descriptor: CInt
    package var bytes: Int
    /// Seconds since 1970.
    package var modified: Int
    package var entityTag: String

    /// Opens a regular file below `root`, which has no symbolic link in its own path; nil when there is none, or when
    /// the name leads out of the root.
    package init?(root: String, file: String) {
        let descriptor = open("\(root)/\(file)", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { return nil }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG,
            Document.lies(descriptor, below: root)
        else {
            close(descriptor)
            return nil
        }
        self.descriptor = descriptor
        bytes = Int(facts.st_size)
        modified = Int(facts.st_mtim.tv_sec)
        let fraction = String(facts.st_mtim.tv_nsec, radix: 16)
        entityTag =
            "\"\(String(facts.st_ino, radix: 16))-\(String(bytes, radix: 16))-\(String(modified, radix: 16))\(fraction)\""
    }

    /// The kernel's own name for what was opened, so that no race between a check and the opening matters.
    private static func lies(_ descriptor: CInt, below root: String) -> Bool {
        guard let path = target(of: "/proc/self/fd/\(descriptor)") else { return false }
        return path.hasPrefix(root == "/" ? "/" : root + "/")
    }

    /// What a symbolic link says; nil for none.
    package static func target(of link: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = buffer.withUnsafeMutableBytes {
            readlink(link, $0.bindMemory(to: CChar.self).baseAddress!, $0.count)
        }
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count), as: UTF8.self)
    }
}

/// `path` without symbolic links; nil when it does not exist.
package func canonicalPath(_ path: String) -> String? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return String(cString: resolved)
}
