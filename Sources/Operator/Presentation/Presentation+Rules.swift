package import Control

extension Presentation {
    package static func candidates(_ rules: [CandidateStatus], _ style: PrintStyle) -> String {
        var table = Table([
            .text("RULE", mayShrink: true), .text("MODE"), .text("APPLICATION"), .text("PORTS"),
            .text("CLIENTS", mayShrink: true), .text("SERVERS", mayShrink: true), .text("HOSTS", mayShrink: true),
            .text("PATHS", mayShrink: true), .text("ALGORITHM"), .text("PROXIES", mayShrink: true), .number("READY"),
        ])
        for rule in rules {
            table.add([
                rule.rule, rule.mode, rule.application, rule.ports, rule.clients, rule.servers,
                rule.hosts.joined(separator: " "), rule.paths.joined(separator: " "), rule.algorithm,
                rule.proxies.joined(separator: " "), "\(rule.proxiesReady)",
            ])
        }
        return rules.isEmpty ? "no rules are configured" : table.lines(style).joined(separator: "\n")
    }

    package static func routes(_ routes: [RouteStatus], _ style: PrintStyle) -> String {
        var table = Table([.text("PORTS"), .text("CLIENTS"), .text("SERVERS"), .text("TO", mayShrink: true)])
        for route in routes { table.add([route.ports, route.clients, route.servers, route.to]) }
        return routes.isEmpty ? "no routes are configured" : table.lines(style).joined(separator: "\n")
    }
}
