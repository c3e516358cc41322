import Glibc
import Synchronization
internal import Wire

/// This agent's adopting process, and those of its predecessors for as long as they hold sockets that wait for their
/// request: each process undoes or commits what it has made.
final class SucceedingAdopter: Adopting {
    private let own: DistantAdopter
    private let inherited: Mutex<[DistantAdopter]>

    init(_ own: DistantAdopter, inherited: [AdopterPassedOn]) {
        self.own = own
        // One that holds nothing ends when its channel is closed, here and now.
        self.inherited = Mutex(
            inherited.map { DistantAdopter(inherited: $0.channel, handles: $0.handles) }.filter { !$0.isIdle })
    }

    var end: CInt? { own.end }

    func adopt(_ state: ConnectionState) throws(AdoptionFailure) -> CInt { try own.adopt(state) }

    func commit(_ descriptor: CInt) throws(SystemFailure) {
        try maker(of: descriptor).commit(descriptor)
        dismissIdle()
    }

    func forget(_ descriptor: CInt) {
        maker(of: descriptor).forget(descriptor)
        dismissIdle()
    }

    func open(_ state: ConnectionState, room: UInt32) throws(AdoptionFailure) -> CInt {
        try own.open(state, room: room)
    }
    func seal(_ descriptor: CInt) throws(AdoptionFailure) { try own.seal(descriptor) }

    func suspend(
        _ descriptor: CInt, isQuiet: Bool
    ) throws(AdoptionFailure) -> (handle: UInt32, SuspendedSocket) {
        try own.suspend(descriptor, isQuiet: isQuiet)
    }
    func letRead(_ handle: UInt32) throws(AdoptionFailure) { try own.letRead(handle) }
    func resume(_ handle: UInt32) throws(AdoptionFailure) { try own.resume(handle) }
    func dismiss(_ handle: UInt32) { own.dismiss(handle) }

    var passedOn: [AdopterPassedOn] { own.passedOn + inherited.withLock { $0.flatMap(\.passedOn) } }

    func release() {
        own.release()
        inherited.withLock { adopters in
            for adopter in adopters { adopter.release() }
            adopters.removeAll()
        }
    }

    private func maker(of descriptor: CInt) -> DistantAdopter {
        inherited.withLock { $0.first { $0.holds(descriptor) } } ?? own
    }

    private func dismissIdle() {
        inherited.withLock { $0.removeAll(where: \.isIdle) }
    }
}
