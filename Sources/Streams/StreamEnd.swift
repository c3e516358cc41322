/// Why a connection ended, or was not made.
public struct StreamEnd: Error, Equatable, Sendable {
    /// For counters: few, and never text of the peer's.
    public enum Reason: String, CaseIterable, Sendable {
        /// No connection could be made.
        case unreachable
        /// TLS was not agreed upon: a certificate, a name, a version.
        case refusedTLS = "tls"
        /// HTTP was answered with an error.
        case refusedHTTP = "http"
        /// The peer has closed, or the network has.
        case closed
        /// What came is no frame.
        case badFrame
        /// Frames came that nobody with the key has sent, or none that anybody has.
        case unauthenticated
        /// Nothing was answered.
        case silent
        /// More connections than are served at once.
        case tooMany
        /// This end has closed it.
        case stopped
    }

    public var reason: Reason
    /// For people: the error in words, what to do about it.
    public var detail: String

    public init(_ reason: Reason, _ detail: String = "") {
        self.reason = reason
        self.detail = detail
    }
}
