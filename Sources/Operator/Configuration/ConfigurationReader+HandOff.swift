import CRTP
import Control
import StrictYAML

extension ConfigurationReader {
    /// A proxy that is not asked must be the one that is responsible, and whatever needs its word has no meaning.
    func checkHandOff(_ rule: DirectorConfiguration.Rule, _ section: YAMLSection) {
        guard rule.handOff == .oneWay else { return }
        let algorithm = rule.algorithm ?? configuration.crtp.algorithm
        if algorithm != .enforced && algorithm != .applicationHash {
            section.report(
                "'handoff: one-way' is for rules that know which proxy is responsible, and '\(algorithm.name)' does not",
                remedy: "add algorithm: enforced or application-hash, or remove 'handoff'", at: "handoff")
        }
        if rule.resetBy == .proxy {
            section.report(
                "'reset-by: proxy' waits for the proxy's word, and with 'handoff: one-way' there is none",
                remedy: "remove one of the two", at: "reset-by")
        }
        if !rule.requirements.isEmpty {
            section.report(
                "'requirements' are the proxy's to promise, and with 'handoff: one-way' it is not asked",
                remedy: "remove one of the two", at: "requirements")
        }
        let used = configuration.proxies.filter { rule.proxies.isEmpty || rule.proxies.contains($0.name) }
        if let proxy = used.first(where: { $0.transport.isStream }) {
            section.report(
                "'handoff: one-way' is one datagram, and the channel of '\(proxy.name)' is over \(proxy.transport.rawValue)",
                remedy: "use transport: udp there, or name other proxies in 'proxies'", at: "handoff")
        }
    }
}
