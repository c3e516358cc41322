package import CRTP
import Glibc
package import Wire

extension ConnectionBlob {
    /// What a suspended connection consists of. nil when it cannot be told, or when the client has ended its side, which
    /// nobody but this host's kernel knows then.
    /// - Parameters:
    ///   - descriptor: Of the suspended socket, which is in repair.
    ///   - connection: Addresses and options; its numbers are the socket's own.
    ///   - generation: How often it has changed hands, this time included.
    package init?(
        _ socket: SuspendedSocket, of descriptor: CInt, _ connection: ConnectionState, generation: UInt32,
        _ continuation: Continuation?
    ) {
        guard let (received, end) = unreadBytes(descriptor), let written = peek(descriptor, .unacknowledged),
            isEstablished(descriptor)
        else { return nil }
        let unsent = min(Int(socket.unsent), written.count)
        var state = connection
        state.psn = end - UInt32(received.count)
        state.pan = socket.sent - UInt32(written.count)
        state.clientWindow = socket.clientWindow
        state.serverWindowEdge = socket.windowEdge
        state.serverTimestamp = socket.timestamp
        state.timestampAgeMicroseconds = 0
        self.init(
            connection: state, received: received, sent: Array(written.dropLast(unsent)),
            unsent: Array(written.suffix(unsent)), generation: generation, continuation: continuation)
    }
}

/// What has arrived on a socket that is in repair and was not read, and the number of the byte behind it. The kernel goes
/// on taking in what arrives, so both are read until they are of the same moment.
private func unreadBytes(_ descriptor: CInt) -> (bytes: [UInt8], end: SequenceNumber)? {
    for _ in 0..<8 {
        guard let before = queueSequence(descriptor, queue: 1), let bytes = peek(descriptor, .unread),
            let after = queueSequence(descriptor, queue: 1)
        else { return nil }
        if before == after { return (bytes, after) }
    }
    return nil
}
