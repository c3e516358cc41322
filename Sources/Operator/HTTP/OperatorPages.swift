public import Control
public import Logging
import NIOCore
import Wire

/// What a director serves by HTTP: metrics and page, each where the configuration says; at one address when both are
/// meant to be there.
public struct OperatorPages: Sendable {
    public let servers: [ReadOnlyServer]

    public static func open(
        _ configuration: DirectorConfiguration, mailbox: OperatorMailbox, logger: Logger
    ) throws -> OperatorPages {
        let (metrics, page) = (configuration.metrics.listen, configuration.page.listen)
        let health: [String: HTTPPath] = ["/live": .live(mailbox), "/ready": .ready(mailbox)]
        var servers: [ReadOnlyServer] = []
        if let page {
            let feed = PageFeed(mailbox)
            var paths = health
            paths["/"] = .dashboard
            paths["/data.json"] = HTTPPath { reply in reply(feed.reply) }
            if page == metrics { paths["/metrics"] = .metrics(mailbox) }
            let server = try ReadOnlyServer.open(page, key: "page.listen", paths: paths, logger: logger)
            server.every(.seconds(1)) { feed.refresh() }
            servers.append(server)
        }
        if let metrics, metrics != page {
            var paths = health
            paths["/metrics"] = .metrics(mailbox)
            do {
                servers.append(try .open(metrics, key: "metrics.listen", paths: paths, logger: logger))
            } catch {
                for server in servers { server.close() }
                throw error
            }
        }
        return OperatorPages(servers: servers)
    }

    /// Blocks for a moment.
    public func close() { for server in servers { server.close() } }
}
