public import Wire

/// Whom a `StreamDialler` keeps a connection to.
public struct StreamPeer: Equatable, Sendable {
    public var endpoint: Endpoint
    public var security: Security?
    /// Frames travel in headers of HTTP requests.
    public var isHTTP = false

    /// TLS, and who the peer must prove to be.
    public struct Security: Equatable, Sendable {
        public var files: TLSFiles
        /// In the peer's certificate; nil: its address must be.
        public var serverName: String?

        public init(files: TLSFiles, serverName: String? = nil) {
            self.files = files
            self.serverName = serverName
        }
    }

    public init(_ endpoint: Endpoint, security: Security? = nil) {
        self.endpoint = endpoint
        self.security = security
    }

    public var kind: StreamKind { isHTTP ? .http : security == nil ? .bare : .secure }
}
