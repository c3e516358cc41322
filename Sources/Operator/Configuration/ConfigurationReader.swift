import CRTP
import Control
import InterCore
import StrictYAML
import Wire

/// Reads a director's file section by section. Keeps the places of what later sections and checks refer to.
struct ConfigurationReader {
    var configuration = DirectorConfiguration()
    var keys: KeyRing?

    /// A proxy's name to the line of its entry.
    private(set) var proxyLines: [(name: String, line: Int)] = []

    mutating func read(_ file: YAMLSection) {
        configuration.name = file.value("name", .name, default: configuration.name)
        readRole(file)
        if file.has("host") {
            configuration.host = file.section("host", Self.host)
        }
        if !file.has("host") || file.has("ports") { configuration.ports = file.section("ports", Self.ports) }
        configuration.workers = file.section("workers", Self.workers)
        let crtp = file.section("crtp", Self.crtp)
        configuration.crtp = crtp.settings
        keys = crtp.keys
        configuration.timeout = file.section("timeout", Self.timeout)
        checkHold(file)
        let proxies = file.sections("proxies", Self.proxy)
        configuration.proxies = proxies.map(\.proxy)
        checkEncapsulations(proxies, file)
        checkProxies(proxies, file, isListenGiven: crtp.isListenGiven)
        if !proxies.isEmpty, !crtp.hasKeys {
            file.report(
                "proxies are named, but 'crtp.keys' has no key for their channels",
                remedy: "add crtp: { keys: { 1: /etc/baton/key1 } }", at: "proxies")
        }
        readVirtualServers(file)
        readRules(file)
        checkRole(file)
        checkClassifiers(file)
        checkHost(file)
        configuration.control = file.section("control", Self.control)
        configuration.metrics = file.section("metrics", Self.metrics)
        configuration.page = file.section("page", Self.page)
        configuration.logLevel = file.value("log", .choice(Self.logLevels), default: configuration.logLevel)
        configuration.logFormat = file.value("log-format", .choice(Self.logFormats), default: configuration.logFormat)
        configuration.logLinesPerSecond = file.value(
            "log-lines-per-second", .integer(in: 1...1_000_000), default: configuration.logLinesPerSecond)
    }

    private static let logLevels: KeyValuePairs<String, String> = [
        "debug": "debug", "info": "info", "warning": "warning", "error": "error",
    ]

    private static let logFormats: KeyValuePairs<String, String> = ["text": "text", "json": "json"]

    // MARK: Sections

    private static func ports(_ section: YAMLSection) -> DirectorConfiguration.Ports {
        var ports = DirectorConfiguration.Ports()
        let devices = YAMLKind<[Marked<String>]>.list(of: YAMLKind<String>.device.marked, minimum: 1)
        let client = section.required("client", devices) ?? []
        let server = section.required("server", devices) ?? []
        ports.client = client.map(\.value)
        ports.server = server.map(\.value)
        ports.queues = section.value("queues", .integer(in: 1...16), default: ports.queues)
        var lines: [Substring: Int] = [:]
        for device in client + server {
            let name = device.value.prefix { $0 != "," }
            if let line = lines[name] {
                section.report(
                    "port '\(name)' stands here again; the first is in line \(line)",
                    remedy: "give every port a name of its own, such as net_af_xdp1", at: device.mark)
            }
            lines[name] = lines[name] ?? device.mark.line
        }
        return ports
    }

    private static func workers(_ section: YAMLSection) -> DirectorConfiguration.Workers {
        var workers = DirectorConfiguration.Workers()
        workers.count = section.value("count", .integer(in: 1...64), default: workers.count)
        workers.flowCapacity = section.value(
            "flows", .integer(in: 1_024...134_217_728), default: workers.flowCapacity)
        workers.flowCapacityIPv6 = section.value(
            "flows-ipv6", .integer(in: 1_024...134_217_728), default: workers.flowCapacity)
        workers.datagramFlowCapacity = section.value(
            "udp-flows", .integer(in: 64...134_217_728), default: workers.datagramFlowCapacity)
        workers.heldPackets = section.value("held-packets", .integer(in: 1...1_048_576), default: workers.heldPackets)
        workers.heldFlows = section.value("held-flows", .integer(in: 1...1_048_576), default: workers.heldFlows)
        workers.headLimit = section.value("head-limit", .bytes(in: 256...65_536), default: workers.headLimit)
        workers.incompleteHeadMicroseconds = section.value(
            "incomplete-head", .duration(in: 100...90_000), default: workers.incompleteHeadMicroseconds)
        workers.idle = section.value(
            "idle", .choice(["adaptive": IdlePolicy.adaptive, "spin": .spin]), default: workers.idle)
        workers.transmitDelayMicroseconds = section.value(
            "transmit-delay", .duration(in: 0...1_000), default: workers.transmitDelayMicroseconds)
        workers.mbufs = section.value("mbufs", .integer(in: 2_047...16_777_215), default: workers.mbufs)
        if workers.heldPackets > (workers.mbufs + 1) / 4 {
            section.report(
                "'held-packets' \(workers.heldPackets) is more than a quarter of 'mbufs' \(workers.mbufs): holds could leave "
                    + "the ports without buffers",
                remedy: "raise 'mbufs' to \(4 * workers.heldPackets - 1) or lower 'held-packets'", at: "held-packets")
        }
        workers.maximumSegment = section.value("maximum-segment", .segment, default: workers.maximumSegment)
        workers.recoveryMicroseconds = section.value(
            "recovery", .duration(in: 0...60_000_000), default: workers.recoveryMicroseconds)
        section.section("lifetimes") { section in
            let day: UInt64 = 86_400_000_000
            workers.synOnlyMicroseconds = section.value(
                "syn-only", .duration(in: 100_000...300_000_000), default: workers.synOnlyMicroseconds)
            workers.idleMicroseconds = section.value(
                "idle", .duration(in: 1_000_000...day), default: workers.idleMicroseconds)
            workers.committedIdleMicroseconds = section.value(
                "committed", .duration(in: 1_000_000...7 * day), default: workers.committedIdleMicroseconds)
            workers.closedMicroseconds = section.value(
                "closed", .duration(in: 1_000_000...600_000_000), default: workers.closedMicroseconds)
            workers.datagramIdleMicroseconds = section.value(
                "udp", .duration(in: 1_000_000...day), default: workers.datagramIdleMicroseconds)
        }
        return workers
    }

    private static func timeout(_ section: YAMLSection) -> DirectorConfiguration.TimeoutSettings {
        var timeout = DirectorConfiguration.TimeoutSettings()
        timeout.k = section.value("k", .number(in: 0...100), default: timeout.k)
        timeout.granularityMicroseconds = section.value(
            "granularity", .duration(in: 1...100_000), default: timeout.granularityMicroseconds)
        timeout.floorMicroseconds = section.value(
            "floor", .duration(in: 1...100_000), default: timeout.floorMicroseconds)
        timeout.ceilingMicroseconds = section.value(
            "ceiling", .duration(in: 1...100_000), default: timeout.ceilingMicroseconds)
        let initial = section.optional("initial", .duration(in: 1...100_000))
        let (floor, ceiling) = (timeout.floorMicroseconds, timeout.ceilingMicroseconds)
        if ceiling < floor {
            section.report(
                "'ceiling' (\(durationText(ceiling))) is below 'floor' (\(durationText(floor)))",
                remedy: "set 'floor' to at most \(durationText(ceiling)), or raise 'ceiling'", at: "ceiling")
        } else if let initial, !(floor...ceiling).contains(initial) {
            section.report(
                "'initial' (\(durationText(initial))) is not between 'floor' and 'ceiling'",
                remedy: "set it between \(durationText(floor)) and \(durationText(ceiling))", at: "initial")
        }
        timeout.initialMicroseconds = initial ?? min(max(timeout.initialMicroseconds, floor), max(floor, ceiling))
        return timeout
    }

    private static func control(_ section: YAMLSection) -> DirectorConfiguration.ControlSocketSettings {
        var control = DirectorConfiguration.ControlSocketSettings()
        control.path = section.value("socket", .socketPath, default: control.path)
        control.group = section.optional("group", .string)
        return control
    }

    private static func metrics(_ section: YAMLSection) -> DirectorConfiguration.MetricsSettings {
        var metrics = DirectorConfiguration.MetricsSettings()
        metrics.listen = section.optional("listen", .endpoint)
        return metrics
    }

    private static func page(_ section: YAMLSection) -> DirectorConfiguration.PageSettings {
        var page = DirectorConfiguration.PageSettings()
        page.listen = section.optional("listen", .endpoint)
        return page
    }

    // MARK: What only several keys together can get wrong

    /// Rule 4 of a transfer: recognition and waiting together stay below every client's retransmission timeout.
    private func checkHold(_ file: YAMLSection) {
        let head = configuration.workers.incompleteHeadMicroseconds
        let ceiling = configuration.timeout.ceilingMicroseconds
        guard head + ceiling >= Self.holdLimitMicroseconds else { return }
        file.report(
            "a request could be held for \(durationText(head + ceiling)): 'workers.incomplete-head' "
                + "(\(durationText(head))) and 'timeout.ceiling' (\(durationText(ceiling))) reach 100ms, when clients "
                + "begin to send again",
            remedy: "lower 'timeout.ceiling' or 'workers.incomplete-head'",
            at: file.has("timeout") ? "timeout" : "workers")
    }

    static var holdLimitMicroseconds: UInt64 { 100_000 }

    private mutating func checkProxies(
        _ proxies: [(proxy: DirectorConfiguration.Proxy, mark: YAMLMark)], _ file: YAMLSection, isListenGiven: Bool
    ) {
        let listen = configuration.crtp.listen
        for (index, (proxy, mark)) in proxies.enumerated() {
            let earlier = proxies[..<index]
            if let first = earlier.first(where: { $0.proxy.name == proxy.name }) {
                file.report(
                    "proxy '\(proxy.name)' stands here again; the first is in line \(first.mark.line)",
                    remedy: "give it another name", at: mark)
            } else if let first = earlier.first(where: { $0.proxy.address == proxy.address }) {
                file.report(
                    "proxy '\(proxy.name)' has the address of '\(first.proxy.name)' in line \(first.mark.line)",
                    remedy: "name each agent once", at: mark)
            }
            if isListenGiven, listen.address.isV4 != proxy.address.address.isV4, listen.address != .unspecified {
                file.report(
                    "proxy '\(proxy.name)' (\(proxy.address)) and 'crtp.listen' (\(listen)) are of different families",
                    remedy: "use IPv4 for both or IPv6 for both, or listen on [::]:0", at: mark)
            }
            proxyLines.append((proxy.name, mark.line))
        }
        if proxies.count > Self.placeLimit {
            file.report(
                "\(proxies.count) proxies are named; at most \(Self.placeLimit) are possible",
                remedy: "remove some, or use another director", at: "proxies")
        }
    }

    /// `ProxyIndex` counts from 0 to 254: of proxies and origins together.
    static var placeLimit: Int { 255 }
}
