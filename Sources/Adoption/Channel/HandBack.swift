package import CRTP
import Glibc

/// A connection that another proxy is to have.
package struct HandBack: Sendable {
    package enum Cargo: Sendable {
        /// It stands between two requests, and asks for what is not here.
        case request
        /// Its director wants it elsewhere, with whatever is under way: the answer that is being sent, if there is one.
        case everything(Continuation?)
    }

    package enum Outcome: Sendable {
        /// It is this agent's as before.
        case stays
        /// Another proxy has it: to be closed, which makes no packet.
        case moved
        /// Nobody can say whose it is: to be reset. If it is another proxy's, the director lets no reset through; where
        /// there are forwarders instead, the reset makes no packet.
        case lost
    }

    package var number: UInt64
    /// The next request's head; with `everything` the last one's, by which its director chooses.
    package var request: [UInt8]
    /// A copy, closed by who gets it.
    package var descriptor: CInt
    package var cargo = Cargo.request
    /// Called once, on any thread.
    package var isOver: @Sendable (Outcome) -> Void
}
