package import Control

extension Presentation {
    package static func origins(_ origins: [OriginStatus], _ style: PrintStyle) -> String {
        var table = Table([
            .text("SERVER", mayShrink: true), .text("DIALLED"), .text("ORIGIN", mayShrink: true), .text("ADDRESS"),
            .text("STATE"), .text("SINCE"), .text("MAC"), .text("LAST CHECK", mayShrink: true),
        ])
        for origin in origins {
            table.add([
                origin.server, origin.serverAddress, origin.origin, origin.address, origin.up ? "up" : "down",
                duration(origin.sinceSeconds), origin.mac, origin.reason,
            ])
        }
        return origins.isEmpty ? "no virtual servers are configured" : table.lines(style).joined(separator: "\n")
    }
}
