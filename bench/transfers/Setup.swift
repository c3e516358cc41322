import CRTP
import Control
import InterCore
import Wire

/// The director and its agents, alike in both stages.
struct Setup {
    var director = DirectorConfiguration()
    let protection: Protection
    /// Of the loopback, where sockets can have them.
    let address = Endpoint(IPAddress(v4: 0x7F00_0001), port: 47_300)
    private let keys = KeyRing(keys: [1: (0..<32).map { UInt8($0) }], current: 1)

    init(agents count: Int, protection: Protection, logLevel: String) {
        self.protection = protection
        director.logLevel = logLevel
        director.crtp.channel.protection = protection
        director.proxies = (0..<count).map {
            .init(name: "p\($0)", address: Endpoint(IPAddress(v4: 0x7F00_0001), port: 47_301 + UInt16($0)))
        }
        var rule = DirectorConfiguration.Rule(name: "files")
        rule.match.firstPort = 80
        rule.match.lastPort = 80
        rule.hosts = ["*.example.org"]
        rule.paths = ["/files/*"]
        director.rules = [rule]
    }

    func core() -> ControlCore { ControlCore(configuration: director, keys: keys, workerCount: 1, epoch: 7) }

    func agents() -> [AnsweringAgent] {
        director.proxies.map { AnsweringAgent(endpoint: $0.address, keys: keys, protection: protection) }
    }
}
