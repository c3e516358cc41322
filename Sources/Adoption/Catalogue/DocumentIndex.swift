import Glibc
import Synchronization

/// Which files exist below a root, kept current by inotify, so that a TRANSFER is answered without touching the disk.
///
/// The index says only that a name exists; size and time are read from the file when it is opened. Where it cannot be
/// complete (more entries than its bound, no more watches, directories that are symbolic links), a name that it does
/// not know is looked up on the disk.
package final class DocumentIndex: Sendable {
    package let site: DirectorySite
    /// The root without symbolic links.
    package let root: String
    private let state: Mutex<State>

    private struct State {
        var files: Set<String> = []
        /// Watch descriptor to directory, relative to the root; "" for the root.
        var directories: [CInt: String] = [:]
        var isComplete = true
        var rescans = 0
    }

    /// nil when the root is no directory.
    package init?(_ site: DirectorySite) {
        guard let root = canonicalPath(site.root) else { return nil }
        self.site = site
        self.root = root
        state = Mutex(State())
        watch = inotify_init1(CInt(IN_NONBLOCK | IN_CLOEXEC))
        rescan()
    }

    private let watch: CInt
    /// To be polled; readable when `takeChanges` has something to do. Negative when there is no inotify.
    package var descriptor: CInt { watch }

    deinit {
        if watch >= 0 { close(watch) }
    }

    /// The file that a path names, if it exists: a directory's own path names its index file.
    package func file(for path: RequestPath) -> String? {
        if path.hasQuery && !site.ignoresQuery { return nil }
        let name = path.isDirectory ? (path.file.isEmpty ? site.index : "\(path.file)/\(site.index)") : path.file
        let (isKnown, isComplete) = state.withLock { ($0.files.contains(name), $0.isComplete) }
        if isKnown { return name }
        if isComplete { return nil }
        guard let document = Document(root: root, file: name) else { return nil }
        close(document.descriptor)
        return name
    }

    package var count: Int { state.withLock { $0.files.count } }
    package var isComplete: Bool { state.withLock { $0.isComplete } }
    package var rescans: Int { state.withLock { $0.rescans } }

    /// Reads the tree anew: at start, and when inotify has lost events.
    package func rescan() {
        state.withLock { state in
            for watched in state.directories.keys { inotify_rm_watch(watch, watched) }
            let rescans = state.rescans + 1
            state = State()
            state.rescans = rescans
            if watch < 0 { state.isComplete = false }
            scan("", into: &state)
        }
    }

    /// Adds a directory and all below it.
    private func scan(_ directory: String, into state: inout State) {
        var pending = [directory]
        while let current = pending.popLast() {
            let path = current.isEmpty ? root : "\(root)/\(current)"
            let interest = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF
            let watched = inotify_add_watch(watch, path, UInt32(interest) | UInt32(IN_ONLYDIR))
            if watched >= 0 { state.directories[watched] = current } else { state.isComplete = false }
            guard let stream = opendir(path) else { continue }
            defer { closedir(stream) }
            while let entry = readdir(stream) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name == "." || name == ".." { continue }
                let relative = current.isEmpty ? name : "\(current)/\(name)"
                switch kind(of: relative) {
                case .file: add(relative, to: &state)
                case .directory: pending.append(relative)
                case .linkedDirectory: state.isComplete = false
                case .none: continue
                }
            }
        }
    }

    private func add(_ file: String, to state: inout State) {
        guard state.files.count < site.indexEntries else {
            state.isComplete = false
            return
        }
        state.files.insert(file)
    }

    private enum Kind { case file, directory, linkedDirectory, none }

    private func kind(of relative: String) -> Kind {
        let path = "\(root)/\(relative)"
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return .none }
        switch facts.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .directory
        case S_IFLNK:
            guard stat(path, &facts) == 0, let real = canonicalPath(path), real.hasPrefix(root + "/") else {
                return .none
            }
            return facts.st_mode & S_IFMT == S_IFREG ? .file : .linkedDirectory
        default: return .none
        }
    }

    /// Takes the changes that inotify has told; at most a buffer's worth a call.
    package func takeChanges() {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = buffer.withUnsafeMutableBytes { read(watch, $0.baseAddress, $0.count) }
        guard count > 0 else { return }
        var mustRescan = false
        state.withLock { state in
            buffer.withUnsafeBytes { bytes in
                var offset = 0
                while offset + 16 <= count {
                    let watched = bytes.loadUnaligned(fromByteOffset: offset, as: CInt.self)
                    let mask = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
                    let length = Int(bytes.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
                    let name = bytes[offset + 16..<min(offset + 16 + length, count)].prefix { $0 != 0 }
                    offset += 16 + length
                    if mask & UInt32(IN_Q_OVERFLOW) != 0 {
                        mustRescan = true
                    } else {
                        take(mask, String(decoding: name, as: UTF8.self), of: watched, into: &state)
                    }
                }
            }
        }
        if mustRescan { rescan() }
    }

    private func take(_ mask: UInt32, _ name: String, of watched: CInt, into state: inout State) {
        guard let directory = state.directories[watched] else { return }
        if mask & UInt32(IN_IGNORED) != 0 {
            state.directories[watched] = nil
            return
        }
        guard !name.isEmpty else { return }
        let relative = directory.isEmpty ? name : "\(directory)/\(name)"
        if mask & UInt32(IN_ISDIR) != 0, mask & UInt32(IN_DELETE | IN_MOVED_FROM) != 0 {
            let prefix = relative + "/"
            state.files = state.files.filter { !$0.hasPrefix(prefix) }
            for (other, path) in state.directories where path == relative || path.hasPrefix(prefix) {
                inotify_rm_watch(watch, other)
                state.directories[other] = nil
            }
            return
        }
        switch kind(of: relative) {
        case .file: add(relative, to: &state)
        case .directory: scan(relative, into: &state)
        case .linkedDirectory: state.isComplete = false
        case .none: state.files.remove(relative)
        }
    }
}
