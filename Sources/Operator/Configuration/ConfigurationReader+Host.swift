import Control
import InterCore
import StrictYAML
import Wire

extension ConfigurationReader {
    static func host(_ section: YAMLSection) -> DirectorConfiguration.HostSettings? {
        section.required("agent", .string).map { .init(agent: section.resolve($0)) }
    }

    /// Places of proxies and of the host's replayed servers are counted together.
    private static var hostProxyLimit: Int { 128 }

    /// A host's director has the ports that it makes, one worker, and nobody but the host on the servers' side.
    func checkHost(_ file: YAMLSection) {
        guard file.has("host") else { return }
        func refuse(_ key: String, _ why: String, _ remedy: String) {
            file.report("'\(key)' and 'host' do not go together: \(why)", remedy: remedy, at: key)
        }
        if file.has("ports") {
            refuse(
                "ports", "the host's interface is one port, and the director makes the other", "remove one of the two")
        }
        if configuration.workers.count != 1 {
            refuse("workers", "a host's interface has one queue for its only worker", "remove 'workers.count'")
        }
        if !configuration.virtualServers.isEmpty {
            refuse("virtual-servers", "the servers are the host's own", "remove one of the two")
        }
        if configuration.crtp.via == .serverPort {
            refuse("crtp", "with 'via: server-port' the other side is the host's", "remove 'crtp.via'")
        }
        if configuration.proxies.count > Self.hostProxyLimit {
            refuse("proxies", "at most \(Self.hostProxyLimit) are possible there", "remove some")
        }
        if configuration.routes.contains(where: { $0.proxy != nil }) {
            refuse("routes", "a host's director could not leave before they have ended", "use rules")
        }
        if let rule = configuration.rules.first(where: { $0.match.applications.isOverUDP }) {
            refuse(
                "rules", "'\(rule.name)' is about datagrams, which a host's director does not give away", "remove it")
        }
        if let proxy = configuration.proxies.first(where: { $0.encapsulation != nil }) {
            refuse(
                "proxies", "'\(proxy.name)' is beyond layer 2, where a host's director cannot send",
                "remove its 'encapsulation'")
        }
    }
}
