package import Wire

/// State in, descriptor out: where the control loop gets adopted sockets from, and how it undoes or commits them.
/// `Adopter` does it itself; `DistantAdopter` asks a process that may.
package protocol Adopting: Sendable {
    func adopt(_ state: ConnectionState) throws(AdoptionFailure) -> CInt
    func commit(_ descriptor: CInt) throws(SystemFailure)
    /// Closes the descriptor too.
    func forget(_ descriptor: CInt)
    /// Readable once no more connections can be adopted; nil where that does not happen.
    var end: CInt? { get }
    /// What a successor needs to commit or forget the sockets that wait: the adopting processes and their sockets.
    var passedOn: [AdopterPassedOn] { get }
    /// A successor has them now: closes what is open here, and changes nothing.
    func release()
}

extension Adopter: Adopting {
    package var end: CInt? { nil }
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
