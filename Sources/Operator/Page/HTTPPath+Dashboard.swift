extension HTTPPath {
    /// The page: one file that needs nothing else. Its script and style run because they bear the number that this answer's
    /// policy names; whatever else a page might be made to contain does not.
    static var dashboard: HTTPPath {
        let parts = String(decoding: PackageResources.dashboard_html, as: UTF8.self).split(
            separator: "{{nonce}}", omittingEmptySubsequences: false)
        return HTTPPath { reply in
            let nonce = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 36) }.joined()
            var page = HTTPReply(parts.joined(separator: nonce))
            page.type = "text/html; charset=utf-8"
            page.headers = [
                (
                    "Content-Security-Policy",
                    "default-src 'none'; script-src 'nonce-\(nonce)'; style-src 'nonce-\(nonce)'; connect-src 'self'; "
                        + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                ),
                ("Referrer-Policy", "no-referrer"), ("Cross-Origin-Resource-Policy", "same-origin"),
            ]
            reply(page)
        }
    }
}
