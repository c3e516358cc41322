import Adoption
import ArgumentParser
import Logging
import Operator
import Wire

/// The agent's adopting part, started by the agent itself: its arguments are `AdoptingSettings.arguments`.
struct AdoptForParent: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: AdoptingSettings.subcommand, abstract: "Started by the agent itself.", shouldDisplay: false)

    @Option var channel: Int32
    @Option var logLevel: String
    @Option var instance: String
    @Option var uncommittedMark: UInt32
    @Option var deliveryMark: UInt32
    @Option var committedMark: UInt32
    @Option var suspendedMark: UInt32
    @Option var routingTable: UInt32
    @Option var mtu: UInt16
    @Option var limit: Int
    @Option var user: String?
    @Option var interface: [String] = []
    @Option var origin: [String] = []
    @Option var udpOrigin: [String] = []
    @Option var udpServer: [String] = []
    @Flag var installGuard = false

    mutating func run() throws {
        LineLogHandler.bootstrap(level: logLevel)
        let services = origin.compactMap { ServicePrefix($0) }
        guard services.count == origin.count else { throw ValidationError("an origin is no address and port") }
        let datagramServers = zip(udpOrigin, udpServer).compactMap { origin, server in
            ServicePrefix(origin).flatMap { origin in
                Endpoint(server).map { DatagramServer(service: origin, server: $0) }
            }
        }
        var rules = GuardRules(
            instance: instance, services: services, interfaces: interface, uncommittedMark: uncommittedMark,
            deliveryMark: deliveryMark, routingTable: routingTable, datagramServers: datagramServers)
        rules.suspendedMark = suspendedMark
        let settings = AdoptingSettings(
            guardRules: rules, installsGuard: installGuard, committedMark: committedMark, mtu: mtu,
            uncommittedLimit: limit, user: user)
        var process = AdoptingProcess(
            settings, descriptor: channel, logger: Logger(label: "baton-agent-adopting"))
        throw ExitCode(process.run())
    }
}
