import Glibc

/// A connection between two requests that asks for what another proxy may have.
package struct HandBack: Sendable {
    package enum Outcome: Sendable {
        /// It is this agent's as before.
        case stays
        /// Another proxy has it: to be closed, which makes no packet.
        case moved
        /// Nobody can say whose it is: to be reset. If it is another proxy's, the director lets no reset through.
        case lost
    }

    package var number: UInt64
    /// The next request's head.
    package var request: [UInt8]
    /// A copy, closed by who gets it.
    package var descriptor: CInt
    /// Called once, on any thread.
    package var isOver: @Sendable (Outcome) -> Void
}
