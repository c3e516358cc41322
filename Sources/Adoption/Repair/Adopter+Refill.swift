import Glibc
package import Wire

/// A connection that comes over in the middle of an answer: what its former server had sent, and the client has not
/// acknowledged, goes into the new socket's queue as sent. The kernel sends it again by its own timer, or takes it off
/// when the client acknowledges it.
extension Adopter {
    /// Restores the connection as `adopt` does, but mute until `commit` (the kernel would repeat what is unacknowledged)
    /// and still in repair: what is written to the socket now was sent before. `state.pan` is its first byte.
    /// - Parameter room: bytes that will be written, at most `longestRefill`.
    package func open(_ state: ConnectionState, room: UInt32) throws(AdoptionFailure) -> CInt {
        guard room <= Adopter.longestRefill else { throw .refused("\(room) bytes are too many") }
        let descriptor = try makeSocket(state)
        do throws(AdoptionFailure) {
            try restore(state, on: descriptor, mark: suspendedMark)
            do throws(SystemFailure) {
                if room > Adopter.modestRefill {
                    // The kernel doubles it, for what a packet costs beside its bytes.
                    try setOption(
                        descriptor, SOL_SOCKET, SocketOption.sendBufferForce, CInt(room) + 65_536, "SO_SNDBUFFORCE")
                }
                // Of the way to the client the kernel knows nothing, or what it has heard of other connections: it would wait
                // for three seconds, or more, before it repeats what it is given as sent. Kernels before 6.15 do.
                try? setOption(descriptor, SOL_TCP, SocketOption.longestRTO, 1_000, "TCP_RTO_MAX_MS")
                try setOption(descriptor, SOL_TCP, SocketOption.repairQueue, 2, "TCP_REPAIR_QUEUE")
            } catch { throw AdoptionFailure(error) }
            return descriptor
        } catch {
            forget(descriptor)
            throw error
        }
    }

    /// What was to be written has been: an ordinary socket, but mute.
    package func seal(_ descriptor: CInt) throws(AdoptionFailure) {
        try leaveRepair(descriptor)
        // So that the kernel fits the buffer to the connection again. Kernels before 5.15 leave it as it is.
        try? setOption(descriptor, SOL_SOCKET, SocketOption.bufferLock, 0, "SO_BUF_LOCK")
    }

    /// As much as a blob can carry.
    package static var longestRefill: UInt32 { 1_114_112 }
    /// What a fresh socket takes anyway.
    private static var modestRefill: UInt32 { 16_384 }
}

/// The kernel's usual bound counts again: 120 s (RFC 6298 section 2.5).
package func forgetHaste(_ descriptor: CInt) {
    try? setOption(descriptor, SOL_TCP, SocketOption.longestRTO, 120_000, "TCP_RTO_MAX_MS")
}

/// Writes what was sent before to a socket that is still in repair. False when the kernel does not take all of it.
package func refill(_ descriptor: CInt, _ bytes: [UInt8]) -> Bool {
    var written = 0
    while written < bytes.count {
        let count = bytes[written...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        written += count
    }
    return true
}

/// The bytes of a suspended socket's queue, without taking them; nil when they cannot be read.
/// - Parameter queue: `unread` or `unacknowledged`.
package func peek(_ descriptor: CInt, _ queue: SocketQueue) -> [UInt8]? {
    var name: CInt = queue == .unread ? 1 : 2
    let size = socklen_t(MemoryLayout<CInt>.size)
    guard setsockopt(descriptor, SOL_TCP, SocketOption.repairQueue, &name, size) == 0 else { return nil }
    defer { try? leaveQueues(descriptor) }
    let count = Int(pendingBytes(descriptor, queue))
    guard count > 0 else { return count == 0 ? [] : nil }
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        initialized = max(0, recv(descriptor, buffer.baseAddress, count, CInt(MSG_PEEK) | CInt(MSG_DONTWAIT)))
    }
    return bytes.isEmpty ? nil : bytes
}
