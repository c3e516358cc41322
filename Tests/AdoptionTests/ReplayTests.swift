import Adoption
import Foundation
import Glibc
import Logging
import StrictYAML
import Synchronization
import Testing
import Wire

@Suite struct ReplayTests {
    private let connection = ConnectionState(
        key: FlowKey(
            client: IPAddress("2001:db8::1")!, clientPort: 50_000, server: IPAddress("2001:db8::80")!, serverPort: 80),
        psn: SequenceNumber(0xFFFF_FFFF), pan: SequenceNumber(5), clientWindow: 512_000,
        serverWindowEdge: SequenceNumber(70_000),
        options: NegotiatedOptions(
            clientMSS: 1_440, serverMSS: 0, clientWindowScale: 9, serverWindowScale: 7, windowScale: true, sack: true,
            timestamps: true),
        serverTimestamp: 99, clientTimestamp: 0xDEAD_BEEF, timestampAgeMicroseconds: 12, timeToLive: 61)

    private var all: [ReplayMessage] {
        [
            .hello(epoch: .max), .replay(number: 1, connection), .cancel(number: 2), .ready(number: 3),
            .refused(number: 4), .begun(number: 5), .ended(number: 6),
        ]
    }

    @Test func messagesComeAsTheyWent() {
        for message in all {
            #expect(message.encoded.count == ReplayMessage.bytes && ReplayMessage(message.encoded) == message)
        }
    }

    @Test func whatNobodyWouldSendIsRefused() {
        for message in all {
            for index in 0..<ReplayMessage.bytes {
                var bytes = message.encoded
                bytes[index] ^= 0x40
                if let other = ReplayMessage(bytes) { #expect(other.encoded == bytes && other != message) }
            }
            #expect(ReplayMessage(message.encoded.dropLast()) == nil && ReplayMessage(message.encoded + [0]) == nil)
        }
        var stranger = ReplayMessage.cancel(number: 1).encoded
        stranger[1] = 2
        #expect(ReplayMessage(stranger) == nil, "another version")
    }

    /// A replayer that comes, goes, and comes again.
    @Test func anAgentFindsTheReplayerThatIsThere() throws {
        let path = NSTemporaryDirectory() + "baton-replay-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let heard = Mutex<[ReplayMessage?]>([])
        let replayer = Replayer(path: path, epoch: 77, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(!replayer.send(.cancel(number: 1)), "nobody is there")
        replayer.start(
            received: { message in heard.withLock { $0.append(message) } },
            isGone: { heard.withLock { $0.append(nil) } })
        for round in 1...2 {
            let listener = try ReplaySocket.listen(at: path, owner: geteuid())
            var status = stat()
            #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
            var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            #expect(poll(&waiting, 1, 20_000) == 1)
            let accepted = accept(listener, nil, nil)
            let channel = DescriptorChannel(descriptor: accepted)
            #expect(try ReplayMessage(channel.receive(ReplayMessage.bytes).message) == .hello(epoch: 77))
            #expect(replayer.send(.replay(number: 9, connection)))
            #expect(try ReplayMessage(channel.receive(ReplayMessage.bytes).message) == .replay(number: 9, connection))
            try channel.send(ReplayMessage.ready(number: 9).encoded)
            close(accepted)
            close(listener)
            unlink(path)
            #expect(eventually { heard.withLock { $0.count } == 2 * round })
        }
        #expect(heard.withLock { $0 } == [.ready(number: 9), nil, .ready(number: 9), nil])
    }

    // MARK: configuration

    private func problems(_ catalogue: String, _ replay: String = "") throws -> [String] {
        let text = """
            name: p1
            interface: eth0
            crtp: { listen: ["10.0.0.11:7270"], directors: [10.0.0.0/24], keys: {} }
            catalogue:
            \(catalogue.split(separator: "\n").map { "  - { \($0) }" }.joined(separator: "\n"))
            \(replay)
            """
        return try YAMLFile.parse(text, name: "agent.yaml").decode(AgentConfiguration.read).problems.map(\.description)
            .filter { !$0.contains("no key") }
    }

    @Test func aReplayedOriginIsOneAddressWithOneServer() throws {
        let good = """
            origins: ["10.0.0.80:80"], hosts: [a.example], replay: "10.0.0.11:8080"
            origins: ["10.0.0.80:80"], hosts: [b.example], replay: "10.0.0.11:8080"
            origins: ["[2001:db8::80]:443"], replay: "[2001:db8::11]:443", tls: true
            """
        #expect(try problems(good).isEmpty)
        let wide = try problems(#"origins: ["10.0.0.0/24:80"], replay: "10.0.0.11:8080""#)
        #expect(wide.count == 1 && wide[0].contains("one address"))
        let mixed = try problems(#"origins: ["[2001:db8::80]:80"], replay: "10.0.0.11:8080""#)
        #expect(mixed.count == 1 && mixed[0].contains("of the family"))
        let shared = try problems(
            """
            origins: ["10.0.0.80:80"], replay: "10.0.0.11:8080"
            origins: ["10.0.0.81:80"], replay: "10.0.0.11:8080"
            """)
        #expect(shared.count == 1 && shared[0].contains("same server"))
        let two = try problems(
            """
            origins: ["10.0.0.80:80"], hosts: [a.example], replay: "10.0.0.11:8080"
            origins: ["10.0.0.80:80"], hosts: [b.example], replay: "10.0.0.11:8081"
            """)
        #expect(two.count == 1 && two[0].contains("two servers"))
        #expect(try problems(good, "replay: { device: 0123456789abcdef }").count == 1)
        #expect(try problems(good, "replay: { socket: \(String(repeating: "x", count: 108)) }").count == 1)
    }

    // MARK: the host's addresses

    @Test func routesAreGivenBackAsTheyWere() {
        let text = """
            default via 10.0.0.1 proto static metric 100 onlink
            10.0.0.0/24 proto kernel scope link src 10.0.0.11
            10.2.0.0/24 via 10.0.0.100 linkdown

            """
        #expect(
            HostInterface.routes(text) == [
                "default via 10.0.0.1 proto static metric 100", "10.2.0.0/24 via 10.0.0.100",
            ])
    }

    /// There and back in a host of its own; and back when the interface has gone with its process.
    @Test(arguments: [false, true])
    func addressesAndRoutesMoveThereAndBack(isKilled: Bool) throws {
        let space = try Namespace("br\(getpid() % 100_000)\(UInt32.random(in: 0..<10_000))")
        defer { space.remove() }
        try space.inside {
            try Command.run(
                ["ip", "-batch", "-"],
                input: """
                    link add n0 type veth peer name n1
                    link add h0 type veth peer name h1
                    link set n1 up
                    link set h1 up
                    link set n0 address 02:00:00:00:00:11 mtu 1400 up
                    address add 10.9.0.11/24 dev n0
                    address add fd00:9::11/64 dev n0 nodad
                    route add 10.8.0.0/16 via 10.9.0.1 dev n0
                    route add fd00:8::/64 via fd00:9::1 dev n0

                    """)
            let before = try HostInterface("n0")
            #expect(before.addresses.map(\.prefix) == ["10.9.0.11/24", "fd00:9::11/64"] && before.mtu == 1_400)
            #expect(before.routes.count == 1 && before.routesV6.count == 1)
            try before.move(to: "h0")
            let moved = try HostInterface("h0")
            #expect(moved.addresses == before.addresses && moved.mac == before.mac && moved.mtu == 1_400)
            #expect(moved.routes == before.routes && moved.routesV6 == before.routesV6)
            #expect(try HostInterface("n0").addresses.isEmpty)
            if isKilled { try Command.run(["ip", "link", "del", "h0"]) }
            try before.moveBack(from: "h0")
            #expect(try HostInterface("n0") == before)
        }
    }
}
