import Glibc
import Synchronization
package import Wire

/// An adopter in another process, asked over a channel: one request, one answer. Each costs a round trip between two
/// processes, some microseconds (docs/decisions/0003-adoption-by-repair.md).
package final class DistantAdopter: Adopting {
    private struct State {
        /// What the other process calls the uncommitted sockets, by their descriptors here.
        var handles: [CInt: UInt32] = [:]
        var isLost = false
        /// Another process uses the channel now.
        var isReleased = false
    }

    private let channel: DescriptorChannel
    private let process: pid_t
    private let state = Mutex(State())

    package init(_ channel: DescriptorChannel, process: pid_t) {
        self.channel = channel
        self.process = process
    }

    /// One that a predecessor has started; it ends when its channel is closed.
    package init(inherited channel: DescriptorChannel, handles: [CInt: UInt32]) {
        self.channel = channel
        process = 0
        state.withLock { $0.handles = handles }
    }

    deinit { if !state.withLock({ $0.isReleased }) { close(channel.descriptor) } }

    package func holds(_ descriptor: CInt) -> Bool { state.withLock { $0.handles[descriptor] != nil } }
    /// No socket waits for its request.
    package var isIdle: Bool { state.withLock { $0.handles.isEmpty } }

    package var passedOn: [AdopterPassedOn] {
        state.withLock { $0.isLost ? [] : [AdopterPassedOn(channel: channel, handles: $0.handles)] }
    }

    /// Not shut down: that would end it for the successor too.
    package func release() {
        state.withLock { state in
            state.isLost = true
            state.isReleased = true
            state.handles.removeAll()
        }
        close(channel.descriptor)
    }

    package var end: CInt? { channel.descriptor }

    package func adopt(_ connection: ConnectionState) throws(AdoptionFailure) -> CInt {
        try makeSocket(by: .adopt(connection))
    }

    package func open(_ connection: ConnectionState, room: UInt32) throws(AdoptionFailure) -> CInt {
        try makeSocket(by: .open(connection, room: room))
    }

    package func seal(_ descriptor: CInt) throws(AdoptionFailure) {
        try state.withLock { state throws(AdoptionFailure) in
            if let handle = state.handles[descriptor] { _ = try ask(.leaveRepair(handle), &state) }
        }
    }

    private func makeSocket(by request: AdopterRequest) throws(AdoptionFailure) -> CInt {
        try state.withLock { state throws(AdoptionFailure) in
            let (handle, passed) = try ask(request, &state)
            guard let passed else { throw .system(SystemFailure("taking the socket over", code: EBADF)) }
            state.handles[passed] = handle
            return passed
        }
    }

    package func commit(_ descriptor: CInt) throws(SystemFailure) {
        try state.withLock { state throws(SystemFailure) in
            guard let handle = state.handles.removeValue(forKey: descriptor) else { return }
            do throws(AdoptionFailure) { _ = try ask(.commit(handle), &state) } catch {
                if case .system(let failure) = error { throw failure }
                throw SystemFailure("\(error)", code: EINVAL)
            }
        }
    }

    package func suspend(
        _ descriptor: CInt, isQuiet: Bool
    ) throws(AdoptionFailure) -> (handle: UInt32, SuspendedSocket) {
        try state.withLock { state throws(AdoptionFailure) in
            guard !state.isLost else { throw DistantAdopter.lost(EPIPE) }
            let request = AdopterRequest.suspend(isQuiet: isQuiet)
            do throws(SystemFailure) { try channel.send(request.encoded, passing: descriptor) } catch {
                throw lose(&state, error.code)
            }
            let (reply, _) = try reply(&state)
            guard case .suspended(let handle, let socket) = reply else { throw lose(&state, EPROTO) }
            return (handle, socket)
        }
    }

    package func letRead(_ handle: UInt32) throws(AdoptionFailure) {
        try state.withLock { state throws(AdoptionFailure) in _ = try ask(.leaveRepair(handle), &state) }
    }

    package func resume(_ handle: UInt32) throws(AdoptionFailure) {
        try state.withLock { state throws(AdoptionFailure) in _ = try ask(.resume(handle), &state) }
    }

    package func dismiss(_ handle: UInt32) {
        state.withLock { state in _ = try? ask(.forget(handle), &state) }
    }

    /// First there, which makes it silent, then here.
    package func forget(_ descriptor: CInt) {
        state.withLock { state in
            if let handle = state.handles.removeValue(forKey: descriptor) { _ = try? ask(.forget(handle), &state) }
        }
        close(descriptor)
    }

    /// Everything undone, the guard's rules taken away, and the other process ended.
    /// - Parameter keepsRules: it ends as it does when this process dies, and leaves the packet filter as it is.
    package func finish(keepsRules: Bool = false) {
        state.withLock { state in
            if !keepsRules {
                if !state.isLost { try? channel.limitWaiting(seconds: 30) }
                _ = try? ask(.finish, &state)
            }
            state.isLost = true
        }
        var status: CInt = 0
        // It ends by itself as soon as the channel does.
        shutdown(channel.descriptor, CInt(SHUT_RDWR))
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
    }

    /// Waits until the other process is ready.
    package func waitUntilReady() throws(AdoptionFailure) {
        try state.withLock { state throws(AdoptionFailure) in
            do throws(SystemFailure) { try channel.limitWaiting(seconds: 30) } catch { throw .system(error) }
            _ = try answer(&state)
            do throws(SystemFailure) { try channel.limitWaiting(seconds: 2) } catch { throw .system(error) }
        }
    }

    private func ask(
        _ request: AdopterRequest, _ state: inout State
    ) throws(AdoptionFailure) -> (handle: UInt32, passed: CInt?) {
        guard !state.isLost else { throw DistantAdopter.lost(EPIPE) }
        do throws(SystemFailure) { try channel.send(request.encoded) } catch {
            throw lose(&state, error.code)
        }
        return try answer(&state)
    }

    /// An answer that does not come, or cannot be read, ends it: the next one would be taken for this one.
    private func answer(_ state: inout State) throws(AdoptionFailure) -> (handle: UInt32, passed: CInt?) {
        let (reply, passed) = try reply(&state)
        guard case .done(let handle) = reply else { throw lose(&state, EPROTO) }
        return (handle, passed)
    }

    private func reply(_ state: inout State) throws(AdoptionFailure) -> (AdopterReply, passed: CInt?) {
        let received: (message: [UInt8], passed: CInt?)
        do throws(SystemFailure) {
            received = try channel.receive(AdopterReply.bytes, takesDescriptor: true)
        } catch {
            throw lose(&state, error.code)
        }
        guard let reply = AdopterReply(received.message) else {
            if let passed = received.passed { close(passed) }
            throw lose(&state, EPIPE)
        }
        if case .failed(let failure) = reply {
            if let passed = received.passed { close(passed) }
            throw failure
        }
        return (reply, received.passed)
    }

    /// The control loop looks at the channel: it is to see the end there in any case.
    private func lose(_ state: inout State, _ code: CInt) -> AdoptionFailure {
        state.isLost = true
        shutdown(channel.descriptor, CInt(SHUT_RDWR))
        return DistantAdopter.lost(code)
    }

    private static func lost(_ code: CInt) -> AdoptionFailure {
        .system(SystemFailure("asking the adopting process", code: code))
    }
}
