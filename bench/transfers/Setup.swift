import CRTP
import Control
import InterCore
import Wire

/// The director and its agents, alike in both stages.
struct Setup {
    var director = DirectorConfiguration()
    let protection: Protection
    let address = Endpoint(IPAddress(v4: 0x0A00_0002), port: 5_000)
    private let keys = KeyRing(keys: [1: (0..<32).map { UInt8($0) }], current: 1)

    init(agents count: Int, protection: Protection, logLevel: String) {
        self.protection = protection
        director.logLevel = logLevel
        director.crtp.channel.protection = protection
        director.proxies = (0..<count).map {
            .init(name: "p\($0)", address: Endpoint(IPAddress(v4: 0x0A00_0010 + UInt32($0)), port: 6_000))
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
