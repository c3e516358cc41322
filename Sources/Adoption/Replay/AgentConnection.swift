import Glibc

/// The agent, as the replayer of its host sees it: one at a time, the newest, and it may be away.
final class AgentConnection {
    private let path: String
    private let listener: CInt
    private var descriptor: CInt = -1
    /// What it has not taken yet.
    private var waiting: [ReplayMessage] = []

    init(at path: String, owner: uid_t) throws(SystemFailure) {
        self.path = path
        listener = try ReplaySocket.listen(at: path, owner: owner)
    }

    /// What becomes readable when it says something, or comes.
    var descriptors: [CInt] { descriptor >= 0 ? [listener, descriptor] : [listener] }

    /// The next message; nil when there is none at present.
    func receive() -> ReplayMessage? {
        let newer = accept(listener, nil, nil)
        if newer >= 0 {
            drop()
            descriptor = newer
        }
        guard descriptor >= 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: ReplayMessage.bytes + 1)
        let count = recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return nil }
        guard count > 0, let message = ReplayMessage(Array(bytes.prefix(count))) else {
            drop()
            return nil
        }
        return message
    }

    /// One that does not listen is left: it comes again, and hears of what happens then.
    func send(_ message: ReplayMessage) {
        guard descriptor >= 0 else { return }
        guard waiting.count < AgentConnection.patience else { return drop() }
        waiting.append(message)
    }

    private static var patience: Int { 65_536 }

    func flush() {
        var sent = 0
        while sent < waiting.count {
            let bytes = waiting[sent].encoded
            guard Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)) >= 0 else {
                break
            }
            sent += 1
        }
        waiting.removeFirst(sent)
    }

    private func drop() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
        waiting.removeAll()
    }

    func close() {
        drop()
        Glibc.close(listener)
        unlink(path)
    }
}
