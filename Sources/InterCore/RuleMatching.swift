public import Wire

// Whether a rule is for a connection or a request, with the reason when it is not: the workers' question, and that of
// `batonctl explain`.

/// Which part of a rule a connection does not fit.
public enum ConnectionMismatch: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case port, server, client
}

/// Which part of a rule a request does not fit, as far as a worker looks.
public enum RequestMismatch: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case application, credentials
}

extension CandidateRule {
    /// nil when the rule is for the connection, whatever its mode.
    @inlinable @inline(__always)
    public func mismatch(_ key: FlowKey) -> ConnectionMismatch? {
        guard key.serverPort >= firstPort, key.serverPort <= lastPort else { return .port }
        guard server.contains(key.server) else { return .server }
        return client.contains(key.client) ? nil : .client
    }

    /// nil when the rule is for the request.
    @inlinable @inline(__always)
    public func mismatch(_ request: RecognisedRequest) -> RequestMismatch? {
        guard applications.contains(request.application) else { return .application }
        return isPublic || !request.hasCredentials ? nil : .credentials
    }
}

extension RuleMode {
    /// Whether the rule exists for a connection; a canary's lot is drawn from the flow's hash.
    @inlinable @inline(__always)
    public func takes(hash: UInt64) -> Bool {
        switch self {
        case .off: false
        case .observe, .on: true
        case .canary(let percent): isCanary(hash: hash, percent: percent)
        }
    }
}

extension RouteRule {
    @inlinable @inline(__always)
    public func mismatch(_ key: FlowKey) -> ConnectionMismatch? {
        guard key.serverPort >= firstPort, key.serverPort <= lastPort else { return .port }
        guard server.contains(key.server) else { return .server }
        return client.contains(key.client) ? nil : .client
    }
}
