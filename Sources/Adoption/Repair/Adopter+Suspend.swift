import Glibc
package import Wire

/// What a connection has come to, by the kernel's own numbers.
package struct SuspendedSocket: Equatable, Sendable {
    /// Next byte that is expected from the client, and next byte to it.
    package var received: SequenceNumber
    package var sent: SequenceNumber
    package var clientWindow: UInt32
    /// Right edge of the window that the client was promised.
    package var windowEdge: SequenceNumber
    /// This host's clock of the connection.
    package var timestamp: UInt32
    /// Of the bytes before `sent`, those at the end that have not left yet: the window or the way had no room for them.
    package var unsent: UInt32 = 0
}

extension Adopter {
    /// Makes a committed socket mute, whatever comes, and reads what it has come to.
    ///
    /// The mark comes first. From then on the guard drops all that the socket sends, so nothing that it takes in
    /// afterwards is acknowledged: the client sends that again, to whoever is told of `received`.
    /// - Parameter isQuiet: Refuses one on which something waits to be read, or to be acknowledged by the client.
    package func mute(_ descriptor: CInt, isQuiet: Bool) throws(AdoptionFailure) -> SuspendedSocket {
        do throws(SystemFailure) {
            try setOption(descriptor, SOL_SOCKET, SocketOption.mark, CInt(bitPattern: suspendedMark), "SO_MARK")
        } catch { throw AdoptionFailure(error) }
        // In repair its owner cannot read, and would close it when the client has ended its side.
        guard isEstablished(descriptor) else {
            try? unmute(descriptor)
            throw AdoptionFailure(SystemFailure("suspending a connection whose client has ended its side", code: EBUSY))
        }
        // Before repair: with the send queue chosen there, the kernel counts what an acknowledgement lets it send as sent,
        // and sends nothing. What the guard drops stays unsent.
        let unsent = UInt32(max(0, pendingBytes(descriptor, .unsent)))
        do throws(SystemFailure) {
            try setOption(descriptor, SOL_TCP, SocketOption.repair, 1, "TCP_REPAIR")
            guard let received = queueSequence(descriptor, queue: 1), let sent = queueSequence(descriptor, queue: 2)
            else { throw SystemFailure("reading TCP_QUEUE_SEQ") }
            try leaveQueues(descriptor)
            var window = RepairWindow()
            var length = socklen_t(MemoryLayout<RepairWindow>.size)
            guard getsockopt(descriptor, SOL_TCP, SocketOption.repairWindow, &window, &length) == 0 else {
                throw SystemFailure("reading TCP_REPAIR_WINDOW")
            }
            let timestamp = try getOption(descriptor, SOL_TCP, SocketOption.timestamp, "TCP_TIMESTAMP")
            // Behind the sequence: what has come since then is unread too, and shows.
            guard isEstablished(descriptor), !isQuiet || isSettled(descriptor) else {
                throw SystemFailure("suspending a connection that is not quiet", code: EBUSY)
            }
            var socket = SuspendedSocket(
                received: received, sent: sent, clientWindow: window.sendWindow,
                windowEdge: SequenceNumber(window.receiveUpdate) + window.receiveWindow,
                timestamp: UInt32(bitPattern: timestamp))
            socket.unsent = unsent
            return socket
        } catch {
            try? unmute(descriptor)
            throw AdoptionFailure(error)
        }
    }

    /// As if nothing had happened.
    package func unmute(_ descriptor: CInt) throws(SystemFailure) {
        try setOption(descriptor, SOL_SOCKET, SocketOption.mark, CInt(bitPattern: committedMark), "SO_MARK")
        try setOption(descriptor, SOL_TCP, SocketOption.repair, -1, "TCP_REPAIR")
        try setOption(descriptor, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
    }

    private func isSettled(_ descriptor: CInt) -> Bool {
        pendingBytes(descriptor, .unread) == 0 && pendingBytes(descriptor, .unacknowledged) == 0
    }
}

/// The next byte that is expected from the client (queue 1), or that is written to it (queue 2), of a socket in repair.
func queueSequence(_ descriptor: CInt, queue: CInt) -> SequenceNumber? {
    do throws(SystemFailure) {
        try setOption(descriptor, SOL_TCP, SocketOption.repairQueue, queue, "TCP_REPAIR_QUEUE")
        return SequenceNumber(
            UInt32(bitPattern: try getOption(descriptor, SOL_TCP, SocketOption.queueSequence, "TCP_QUEUE_SEQ")))
    } catch {
        return nil
    }
}

/// Chooses neither queue of a socket in repair.
func leaveQueues(_ descriptor: CInt) throws(SystemFailure) {
    try setOption(descriptor, SOL_TCP, SocketOption.repairQueue, 0, "TCP_REPAIR_QUEUE")
}

/// The first byte of TCP_INFO is the state.
func isEstablished(_ descriptor: CInt) -> Bool {
    var information = [UInt8](repeating: 0, count: 8)
    var length = socklen_t(information.count)
    return getsockopt(descriptor, SOL_TCP, 11, &information, &length) == 0 && information[0] == 1
}

extension Endpoint {
    /// Where a socket is bound; nil for what is none.
    init?(localOf descriptor: CInt) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { return nil }
        self.init(storage)
    }
}
