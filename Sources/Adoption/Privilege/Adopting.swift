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
}

extension Adopter: Adopting {
    package var end: CInt? { nil }
}
