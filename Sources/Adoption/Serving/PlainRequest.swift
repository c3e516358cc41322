internal import CRTP
internal import NIOHTTP1
internal import Wire

/// A request that this agent may answer itself: what else arrives on the connection is the origin's (rule 10, for the
/// requests after the first, which no director has looked at).
package enum PlainRequest {
    /// What may be done twice without harm (RFC 9110 section 9.2.2).
    package static func isIdempotent(_ method: String) -> Bool {
        ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].contains(method)
    }

    /// nil for a request that is the origin's.
    static func question(_ head: HTTPRequestHead, origin: Endpoint) -> CatalogueQuestion? {
        guard head.method == .GET || head.method == .HEAD, head.version.major == 1 else { return nil }
        let framed = ["content-length", "transfer-encoding", "expect", "upgrade", "http2-settings"]
        guard !framed.contains(where: head.headers.contains(name:)) else { return nil }
        let hosts = head.headers["host"]
        guard hosts.count == 1, let host = hostName(hosts[0]) else { return nil }
        guard let target = path(head.uri, host: hosts[0]) else { return nil }
        let hasCredentials = head.headers.contains(name: "authorization") || head.headers.contains(name: "cookie")
        var question = CatalogueQuestion(
            origin: origin, host: host, target: Array(target.utf8), application: .httpGet,
            hasCredentials: hasCredentials)
        question.isHead = head.method == .HEAD
        return question
    }

    /// Without the port, in lower case.
    private static func hostName(_ host: String) -> String? {
        guard !host.isEmpty, !host.contains(where: { $0 == "/" || $0 == "@" || $0 == "," || $0 == " " }) else {
            return nil
        }
        if host.hasPrefix("[") { return host.prefix { $0 != "]" }.lowercased() + "]" }
        return host.prefix { $0 != ":" }.lowercased()
    }

    /// Origin form as it is; absolute form when its authority is the Host.
    private static func path(_ uri: String, host: String) -> String? {
        if uri.hasPrefix("/") { return uri }
        guard uri.lowercased().hasPrefix("http://") else { return nil }
        let rest = uri.dropFirst("http://".count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard authority.lowercased() == host.lowercased() else { return nil }
        let path = rest.dropFirst(authority.count)
        return path.hasPrefix("/") ? String(path) : "/" + path
    }
}
