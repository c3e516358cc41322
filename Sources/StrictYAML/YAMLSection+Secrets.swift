import Foundation

extension YAMLSection {
    /// A path of the file made absolute: relative ones count from the configuration file's directory.
    public func resolve(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        let directory = (file as NSString).deletingLastPathComponent
        return directory.isEmpty ? path : "\(directory)/\(path)"
    }

    /// Reports a file that has a secret in whatever form and that others may read. One that is not there is not this
    /// function's matter.
    public func requirePrivate(_ path: String, at key: String) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & 0o007 != 0 else { return }
        report("key file \(path) can be read or written by everyone", remedy: "chmod 0600 \(path)", at: key)
    }

    /// Reads a secret: a file with one line of hexadecimal digits that others may not read. `path` is resolved first.
    /// nil, with a report at the path's place, when the file cannot serve.
    public func secret(at path: Marked<String>, minimumBytes: Int = 16) -> [UInt8]? {
        let file = resolve(path.value)
        func fail(_ message: String, _ remedy: String) -> [UInt8]? {
            report("key file \(file) \(message)", remedy: remedy, at: path.mark)
            return nil
        }
        let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let create = "create it: (umask 077; openssl rand -hex 32 > \(file))"
            let isMissing = errno == ENOENT
            return fail(
                "cannot be opened: \(String(cString: strerror(errno)))",
                isMissing ? create : "who reads it must be in its group: chmod 0640 \(file)")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return fail("is not a plain file", "name a file with the key in hexadecimal")
        }
        guard status.st_mode & 0o007 == 0 else {
            return fail("can be read or written by everyone", "chmod 0600 \(file)")
        }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { return fail("cannot be read: \(String(cString: strerror(errno)))", "check the disk") }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        guard let key = hexadecimal(text.trimmingCharacters(in: .whitespacesAndNewlines)) else {
            return fail("does not hold hexadecimal digits", "make a new key: openssl rand -hex 32")
        }
        guard key.count >= minimumBytes else {
            return fail(
                "is too short: \(key.count) bytes, at least \(minimumBytes) are needed",
                "make a new key: openssl rand -hex 32")
        }
        return key
    }
}

/// Bytes from pairs of hexadecimal digits; nil for anything else.
private func hexadecimal(_ text: String) -> [UInt8]? {
    let digits = text.utf8.map { Character(UnicodeScalar($0)).hexDigitValue }
    guard digits.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: digits.count, by: 2) {
        guard let high = digits[index], let low = digits[index + 1] else { return nil }
        bytes.append(UInt8(high << 4 | low))
    }
    return bytes
}
