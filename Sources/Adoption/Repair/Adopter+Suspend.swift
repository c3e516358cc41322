import Glibc
package import Wire

/// What a connection has come to between two requests, by the kernel's own numbers.
package struct SuspendedSocket: Equatable, Sendable {
    /// Next byte that is expected from the client, and next byte to it.
    package var received: SequenceNumber
    package var sent: SequenceNumber
    package var clientWindow: UInt32
    /// Right edge of the window that the client was promised.
    package var windowEdge: SequenceNumber
    /// This host's clock of the connection.
    package var timestamp: UInt32
}

extension Adopter {
    /// Makes a committed socket mute, whatever comes, and reads what it has come to. Refuses one that is not quiet: on
    /// which something waits to be read, or to be acknowledged by the client.
    ///
    /// The mark comes first. From then on the guard drops all that the socket sends, so nothing that it takes in
    /// afterwards is acknowledged: the client sends that again, to whoever is told of `received`.
    package func mute(_ descriptor: CInt) throws(AdoptionFailure) -> SuspendedSocket {
        do throws(SystemFailure) {
            try setOption(descriptor, SOL_SOCKET, SocketOption.mark, CInt(bitPattern: suspendedMark), "SO_MARK")
        } catch { throw AdoptionFailure(error) }
        do throws(SystemFailure) {
            try setOption(descriptor, SOL_TCP, SocketOption.repair, 1, "TCP_REPAIR")
            let received = try queueSequence(descriptor, queue: 1)
            let sent = try queueSequence(descriptor, queue: 2)
            var window = RepairWindow()
            var length = socklen_t(MemoryLayout<RepairWindow>.size)
            guard getsockopt(descriptor, SOL_TCP, SocketOption.repairWindow, &window, &length) == 0 else {
                throw SystemFailure("reading TCP_REPAIR_WINDOW")
            }
            let timestamp = try getOption(descriptor, SOL_TCP, SocketOption.timestamp, "TCP_TIMESTAMP")
            // Behind the sequence: what has come since then is unread too, and shows.
            guard isEstablished(descriptor), pending(descriptor, FIONREAD) == 0, pending(descriptor, SIOCOUTQ) == 0
            else { throw SystemFailure("suspending a connection that is not quiet", code: EBUSY) }
            return SuspendedSocket(
                received: received, sent: sent, clientWindow: window.sendWindow,
                windowEdge: SequenceNumber(window.receiveUpdate) + window.receiveWindow,
                timestamp: UInt32(bitPattern: timestamp))
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

    private func queueSequence(_ descriptor: CInt, queue: CInt) throws(SystemFailure) -> SequenceNumber {
        try setOption(descriptor, SOL_TCP, SocketOption.repairQueue, queue, "TCP_REPAIR_QUEUE")
        return SequenceNumber(
            UInt32(bitPattern: try getOption(descriptor, SOL_TCP, SocketOption.queueSequence, "TCP_QUEUE_SEQ")))
    }

    /// The first byte of TCP_INFO is the state.
    private func isEstablished(_ descriptor: CInt) -> Bool {
        var information = [UInt8](repeating: 0, count: 8)
        var length = socklen_t(information.count)
        return getsockopt(descriptor, SOL_TCP, 11, &information, &length) == 0 && information[0] == 1
    }

    private func pending(_ descriptor: CInt, _ question: CInt) -> CInt {
        var bytes: CInt = -1
        return ioctl(descriptor, UInt(question), &bytes) == 0 ? bytes : -1
    }

    private var FIONREAD: CInt { 0x541B }
    private var SIOCOUTQ: CInt { 0x5411 }

    /// `struct tcp_repair_window`.
    private struct RepairWindow {
        var updateSequence: UInt32 = 0
        var sendWindow: UInt32 = 0
        var largestSendWindow: UInt32 = 0
        var receiveWindow: UInt32 = 0
        var receiveUpdate: UInt32 = 0
    }
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
