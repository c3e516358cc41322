import Glibc
package import Wire

/// State in, descriptor out: where the control loop gets adopted sockets from, and how it undoes or commits them.
/// `Adopter` does it itself; `DistantAdopter` asks a process that may.
package protocol Adopting: Sendable {
    func adopt(_ state: ConnectionState) throws(AdoptionFailure) -> CInt
    /// The same in the middle of an answer: mute until it is committed, and ready for `refill` until `seal`.
    func open(_ state: ConnectionState, room: UInt32) throws(AdoptionFailure) -> CInt
    func seal(_ descriptor: CInt) throws(AdoptionFailure)
    func commit(_ descriptor: CInt) throws(SystemFailure)
    /// Closes the descriptor too.
    func forget(_ descriptor: CInt)
    /// Makes a committed socket mute and tells what it has come to; `handle` names it until `resume` or `dismiss`.
    /// `isQuiet`: only where nothing is unread, and nothing unacknowledged.
    func suspend(
        _ descriptor: CInt, isQuiet: Bool
    ) throws(AdoptionFailure) -> (handle: UInt32, SuspendedSocket)
    /// All that a suspended socket has come to is known: who serves it may read from it again, which repair does not
    /// allow, and so learns that the client has ended its side. It stays mute.
    func letRead(_ handle: UInt32) throws(AdoptionFailure)
    func resume(_ handle: UInt32) throws(AdoptionFailure)
    /// Whoever has it open still may close it now, without a packet.
    func dismiss(_ handle: UInt32)
    /// Readable once no more connections can be adopted; nil where that does not happen.
    var end: CInt? { get }
    /// What a successor needs to commit or forget the sockets that wait: the adopting processes and their sockets.
    var passedOn: [AdopterPassedOn] { get }
    /// A successor has them now: closes what is open here, and changes nothing.
    func release()
}

extension Adopter: Adopting {
    package var end: CInt? { nil }
    /// By the descriptor itself.
    package func suspend(
        _ descriptor: CInt, isQuiet: Bool
    ) throws(AdoptionFailure) -> (handle: UInt32, SuspendedSocket) {
        let own = dup(descriptor)
        do { return (UInt32(bitPattern: own), try mute(own, isQuiet: isQuiet)) } catch {
            close(own)
            throw error
        }
    }
    package func resume(_ handle: UInt32) throws(AdoptionFailure) {
        let descriptor = CInt(bitPattern: handle)
        defer { close(descriptor) }
        do { try unmute(descriptor) } catch { throw AdoptionFailure.system(error) }
    }
    package func letRead(_ handle: UInt32) throws(AdoptionFailure) { try leaveRepair(CInt(bitPattern: handle)) }
    package func dismiss(_ handle: UInt32) { forget(CInt(bitPattern: handle)) }
    /// Its sockets are this process's own.
    package var passedOn: [AdopterPassedOn] { [] }
    package func release() {}
}

/// The channel to an adopting process that a successor gets, with the sockets that the process still has.
package struct AdopterPassedOn: Sendable {
    package var channel: DescriptorChannel
    /// Descriptor here → the adopting process's own name for the socket.
    package var handles: [CInt: UInt32] = [:]
}
