public import Foundation

/// A host's addresses and routes on one interface, and how another interface gets them: the replayer takes a network
/// interface from the kernel, and gives it one of its own instead. Connections do not notice, since they are bound to
/// addresses.
public struct HostInterface: Codable, Equatable, Sendable {
    public struct Address: Codable, Equatable, Sendable {
        /// With its length.
        public var prefix: String
        public var isV6: Bool
    }

    /// Where they were found.
    public var name: String
    public var mac: String
    public var mtu: Int
    public var addresses: [Address]
    /// As `ip route show` prints them, without those that come with the addresses.
    public var routes: [String]
    public var routesV6: [String]

    /// What `ip -json address show` says, as far as it is of interest.
    private struct Description: Decodable {
        struct Entry: Decodable {
            var family: String
            var local: String
            var prefixlen: Int
            var scope: String
        }
        var address: String
        var mtu: Int
        var addr_info: [Entry]
    }

    /// Asks the kernel.
    public init(_ name: String) throws {
        let text = try Command.run(["ip", "-json", "address", "show", "dev", name])
        let found = try JSONDecoder().decode([Description].self, from: Data(text.utf8))
        guard let description = found.first else { throw CocoaError(.fileReadUnknown) }
        self.name = name
        mac = description.address
        mtu = description.mtu
        // A link-local IPv6 address comes with the interface.
        addresses = description.addr_info.filter { $0.scope != "link" || $0.family == "inet" }
            .map { Address(prefix: "\($0.local)/\($0.prefixlen)", isV6: $0.family == "inet6") }
        routes = HostInterface.routes(try Command.run(["ip", "-4", "route", "show", "dev", name]))
        routesV6 = HostInterface.routes(try Command.run(["ip", "-6", "route", "show", "dev", name]))
    }

    /// Lines of `ip route show` that can be given back to `ip route replace`.
    package static func routes(_ text: String) -> [String] {
        text.split(separator: "\n").map { line in
            line.split(separator: " ").filter { !["linkdown", "dead", "onlink"].contains($0) }.joined(separator: " ")
        }.filter { !$0.contains("proto kernel") }
    }

    /// Lines for `ip -batch`, and what that is told of the family beforehand.
    struct Batch: Equatable {
        var family: [String]
        var lines: [String]
    }

    /// By which `target` gets everything. Both interfaces exist.
    func moving(to target: String) -> [Batch] {
        var lines = ["link set dev \(target) address \(mac)", "link set dev \(target) mtu \(mtu) up"]
        lines += addresses.map { "address del \($0.prefix) dev \(name)" }
        lines += addresses.map { "address add \($0.prefix) dev \(target)\($0.isV6 ? " nodad" : "")" }
        return [Batch(family: [], lines: lines)] + routing(to: target)
    }

    /// The reverse: also after `target` has gone, with all that it had.
    func returning(from target: String, isThere: Bool) -> [Batch] {
        var lines = isThere ? addresses.map { "address del \($0.prefix) dev \(target)" } : []
        lines += addresses.map { "address replace \($0.prefix) dev \(name)\($0.isV6 ? " nodad" : "")" }
        return [Batch(family: [], lines: lines)] + routing(to: name)
    }

    private func routing(to target: String) -> [Batch] {
        [
            Batch(family: ["-4"], lines: routes.map { "route replace \($0) dev \(target)" }),
            Batch(family: ["-6"], lines: routesV6.map { "route replace \($0) dev \(target)" }),
        ]
    }

    /// Gives `target` the addresses and routes. It is a new interface: it answers what comes by it like `name` did.
    public func move(to target: String) throws {
        // Answers leave by another interface than the one that the kernel thinks of at first.
        HostInterface.set("net/ipv4/conf/\(target)/rp_filter", "0")
        HostInterface.set("net/ipv6/conf/\(target)/accept_dad", "0")
        try HostInterface.carryOut(moving(to: target))
    }

    public func moveBack(from target: String) throws {
        try HostInterface.carryOut(returning(from: target, isThere: HostInterface.exists(target)))
    }

    /// All of it, also when a line fails.
    private static func carryOut(_ batches: [Batch]) throws {
        var failure: (any Error)?
        for batch in batches where !batch.lines.isEmpty {
            let input = batch.lines.joined(separator: "\n") + "\n"
            do { try Command.run(["ip"] + batch.family + ["-force", "-batch", "-"], input: input) } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    public static func exists(_ name: String) -> Bool { NetworkInterface(name) != nil }

    private static func set(_ key: String, _ value: String) {
        try? Data(value.utf8).write(to: URL(fileURLWithPath: "/proc/sys/\(key)"))
    }

    // MARK: what is left behind by a replayer that was killed

    /// What `save` has written; nothing that anybody else has put there, since root carries out what it says.
    public static func saved(at path: String) -> HostInterface? {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_uid == geteuid(), status.st_mode & S_IFMT == S_IFREG else {
            return nil
        }
        return (try? Data(contentsOf: URL(fileURLWithPath: path))).flatMap {
            try? JSONDecoder().decode(HostInterface.self, from: $0)
        }
    }

    public func save(at path: String) throws {
        try JSONEncoder().encode(self).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    public static func forget(at path: String) { unlink(path) }
}
