import Control
import InterCore
import StrictYAML
import Wire

extension ConfigurationReader {
    /// After the proxies: places are theirs and the origins'.
    mutating func readVirtualServers(_ file: YAMLSection) {
        let entries = file.sections("virtual-servers") { server($0) }
        configuration.virtualServers = entries.map(\.server)
        if entries.count > Self.virtualServerLimit {
            file.report(
                "\(entries.count) virtual servers are named; at most \(Self.virtualServerLimit) are possible",
                remedy: "remove some, or use another director", at: "virtual-servers")
        }
        let (proxies, origins) = (configuration.proxies.count, configuration.originCount)
        if proxies <= Self.placeLimit, proxies + origins > Self.placeLimit {
            file.report(
                "\(proxies) proxies and \(origins) origins are named; together at most \(Self.placeLimit) are possible",
                remedy: "remove some, or use another director", at: "virtual-servers")
        }
        // Beyond that there is a larger problem already.
        guard entries.count <= Self.virtualServerLimit, origins <= 4 * Self.placeLimit else { return }
        checkServers(entries, file)
        checkOrigins(entries, file)
    }

    static var virtualServerLimit: Int { 64 }

    private typealias Origin = Marked<DirectorConfiguration.Origin>

    private struct Entry {
        var server: DirectorConfiguration.VirtualServer
        var mark: YAMLMark
        var origins: [Origin]
    }

    private func server(_ section: YAMLSection) -> Entry? {
        let name = section.required("name", .name)
        let address = endpoint(section)
        let origins = origins(section)
        var server = DirectorConfiguration.VirtualServer(
            name: name ?? "?", address: address ?? Endpoint(.unspecified, port: 0))
        server.origins = origins.map(\.value)
        let headLimit = configuration.workers.headLimit
        server.window = section.value(
            "window", .integer(in: 536...65_535), default: UInt16(clamping: min(Int(server.window), headLimit)))
        if section.has("window"), Int(server.window) > headLimit {
            section.report(
                "'window' (\(server.window)) is more than 'workers.head-limit' (\(headLimit)): clients could send what "
                    + "nobody holds",
                remedy: "lower 'window' to at most \(headLimit), or raise 'head-limit'", at: "window")
        }
        server.maximumSegment = section.value(
            "maximum-segment", .integer(in: 536...9_216), default: server.maximumSegment)
        server.options = section.value("options", .list(of: .tcpOption), default: [.all]).reduce([]) { $0.union($1) }
        server.check = section.section("check", Self.check)
        for origin in origins where server.check.isOff && origin.value.mac == nil {
            section.report(
                "origin '\(origin.value.name)' is not checked, so nobody finds its Ethernet address",
                remedy: "add its 'mac', or let 'check.interval' be longer than 0", at: origin.mark)
        }
        guard name != nil, address != nil else { return nil }
        return Entry(server: server, mark: section.mark, origins: origins)
    }

    private func origins(_ section: YAMLSection) -> [Origin] {
        var hasNone = true
        if configuration.role == .forwarder {
            if section.has("origins") {
                section.report(
                    "a forwarder has no origins: what no proxy takes is the classifiers'", remedy: "remove 'origins'",
                    at: "origins")
            }
            return []
        }
        let origins = section.sections("origins") { section -> Origin? in
            hasNone = false
            let name = section.required("name", .name)
            let address = endpoint(section)
            let mac = section.optional("mac", .mac)
            guard let name, let address else { return nil }
            var origin = DirectorConfiguration.Origin(name: name, address: address)
            origin.mac = mac
            return Marked(origin, at: section.mark)
        }
        if hasNone {
            section.report(
                "a virtual server without origins would have nobody for what no proxy takes",
                remedy: "add origins: [{ name: o1, address: \"10.0.0.80:80\" }]", at: "origins")
        }
        return origins
    }

    private func endpoint(_ section: YAMLSection) -> Endpoint? {
        let address = section.required("address", .endpoint)
        let nobodys = [.unspecified, IPAddress(v4: 0)]
        guard let address, address.port == 0 || nobodys.contains(address.address) || address.address.isMulticast else {
            return address
        }
        section.report(
            "\(address) is not an address and port that anybody could dial",
            remedy: "write the address of a host and a port of at least 1", at: "address")
        return nil
    }

    static func check(_ section: YAMLSection) -> DirectorConfiguration.Check {
        var check = DirectorConfiguration.Check()
        let given = section.optional("interval", .interval)
        check.intervalMicroseconds = given ?? check.intervalMicroseconds
        check.timeoutMicroseconds = section.value(
            "timeout", .duration(in: 10_000...60_000_000),
            default: check.isOff
                ? check.timeoutMicroseconds : min(check.timeoutMicroseconds, check.intervalMicroseconds))
        check.rise = section.value("rise", .integer(in: 1...100), default: check.rise)
        check.fall = section.value("fall", .integer(in: 1...100), default: check.fall)
        if !check.isOff, check.timeoutMicroseconds > check.intervalMicroseconds {
            section.report(
                "a check could take \(durationText(check.timeoutMicroseconds)), and the next one is due after "
                    + "\(durationText(check.intervalMicroseconds))",
                remedy: "lower 'timeout' to at most \(durationText(check.intervalMicroseconds)), or raise 'interval'",
                at: section.has("timeout") ? "timeout" : "interval")
        }
        return check
    }

    // MARK: What only several entries together can get wrong

    private func checkServers(_ entries: [Entry], _ file: YAMLSection) {
        for (index, entry) in entries.enumerated() {
            let (server, earlier) = (entry.server, entries[..<index])
            if let first = earlier.first(where: { $0.server.name == server.name }) {
                file.report(
                    "virtual server '\(server.name)' stands here again; the first is in line \(first.mark.line)",
                    remedy: "give it another name", at: entry.mark)
            } else if let first = earlier.first(where: { $0.server.address == server.address }) {
                file.report(
                    "virtual server '\(server.name)' has the address and port of '\(first.server.name)' in line "
                        + "\(first.mark.line)",
                    remedy: "let each address and port stand once", at: entry.mark)
            }
            let crtp = configuration.crtp
            if crtp.via == .serverPort, crtp.listen.address == server.address.address {
                file.report(
                    "virtual server '\(server.name)' has the address of 'crtp.listen'",
                    remedy: "choose another address for one of them", at: entry.mark)
            }
        }
    }

    private func checkOrigins(_ entries: [Entry], _ file: YAMLSection) {
        var seen: [Endpoint: (server: String, origin: String, line: Int)] = [:]
        for entry in entries {
            var names: Set<String> = []
            for origin in entry.origins {
                let (name, address) = (origin.value.name, origin.value.address)
                if !names.insert(name).inserted {
                    file.report(
                        "'\(entry.server.name)' has an origin '\(name)' already", remedy: "give it another name",
                        at: origin.mark)
                }
                if address.address.isV4 != entry.server.address.address.isV4 {
                    file.report(
                        "origin '\(name)' (\(address)) and its virtual server (\(entry.server.address)) are of different "
                            + "families",
                        remedy: "make a virtual server for each family", at: origin.mark)
                }
                if let virtual = entries.first(where: { $0.server.address.address == address.address }) {
                    file.report(
                        "origin '\(name)' has the address of the virtual server '\(virtual.server.name)' in line "
                            + "\(virtual.mark.line), which is the director's own",
                        remedy: "write the origin's own address", at: origin.mark)
                }
                if let first = seen[address] {
                    file.report(
                        "origin '\(name)' has the address and port of '\(first.origin)' of '\(first.server)' in line "
                            + "\(first.line)",
                        remedy: "let it listen on another port for each virtual server", at: origin.mark)
                }
                seen[address] = seen[address] ?? (entry.server.name, name, origin.mark.line)
            }
        }
    }
}

extension YAMLKind<DirectorConfiguration.TCPOptions> {
    static var tcpOption: YAMLKind {
        .choice(["window-scale": .windowScale, "sack": .sack, "timestamps": .timestamps])
    }
}

extension YAMLKind<UInt64> {
    /// Between two checks; 0 for none.
    static var interval: YAMLKind { .duration(in: 0...3_600_000_000).map { $0 == 0 || $0 >= 10_000 ? $0 : nil } }
}
