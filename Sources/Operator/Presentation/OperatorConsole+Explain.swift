import Control

extension OperatorConsole {
    /// `subject`: a URL, the ends of a connection, or both.
    public func explain(
        _ subject: [String], client end: String?, server: String?, method: String?, credentials: Bool, alpn: String?
    ) throws(ControlClientProblem) -> String {
        var parameters: [String: JSONValue] = [:]
        let (urls, ends) = (subject.filter { $0.contains("://") }, subject.filter { !$0.contains("://") })
        parameters["url"] = urls.first.map { .string($0) }
        if !ends.isEmpty { parameters["flow"] = .string(ends.joined(separator: " ")) }
        for (name, text) in [("client", end), ("server", server), ("method", method), ("alpn", alpn)] {
            parameters[name] = text.map { .string($0) }
        }
        if credentials { parameters["credentials"] = .bool(true) }
        if isJSON { return try raw("explain", parameters) }
        return Presentation.explanation(try client.call(Explanation.self, "explain", parameters), style)
    }
}
