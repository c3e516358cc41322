import Glibc
package import Logging
import Synchronization
package import Wire

/// The agent's end of the way to its host's replayer. A thread connects, again and again while there is none: the
/// replayer comes and goes as the operator likes.
package final class Replayer: Sendable {
    private let path: String
    private let epoch: UInt64
    private let logger: Logger
    /// The connection; nil while there is none.
    private let descriptor = Mutex<CInt?>(nil)

    package init(path: String, epoch: UInt64, logger: Logger) {
        self.path = path
        self.epoch = epoch
        self.logger = logger
    }

    /// Connects for as long as the process lives. `isGone` comes after the last message of each connection.
    package func start(received: @escaping @Sendable (ReplayMessage) -> Void, isGone: @escaping @Sendable () -> Void) {
        Thread.detach("replay") { [self] in
            while true {
                if let connected = try? ReplaySocket.connect(to: path) {
                    follow(connected, received)
                    isGone()
                }
                usleep(200_000)
            }
        }
    }

    private func follow(_ connected: CInt, _ received: (ReplayMessage) -> Void) {
        descriptor.withLock { $0 = connected }
        logger.notice("replayer connected", metadata: ["socket": "\(path)"])
        _ = send(.hello(epoch: epoch))
        let channel = DescriptorChannel(descriptor: connected)
        while let (bytes, _) = try? channel.receive(ReplayMessage.bytes), !bytes.isEmpty {
            guard let message = ReplayMessage(bytes) else {
                logger.error("the replayer speaks another version", metadata: ["socket": "\(path)"])
                break
            }
            received(message)
        }
        descriptor.withLock {
            $0 = nil
            close(connected)
        }
        logger.notice("replayer gone", metadata: ["socket": "\(path)"])
    }

    /// False when there is nobody to take it.
    package func send(_ message: ReplayMessage) -> Bool {
        descriptor.withLock { descriptor in
            guard let descriptor else { return false }
            let bytes = message.encoded
            return Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)) == bytes.count
        }
    }
}
