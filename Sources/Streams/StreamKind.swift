/// How frames follow one another to a peer that is reached by TCP.
public enum StreamKind: Sendable {
    /// From the first byte on.
    case bare
    /// In TLS.
    case secure
    /// In headers of HTTP requests and their answers.
    case http
}
