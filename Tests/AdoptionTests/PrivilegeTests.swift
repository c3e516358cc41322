import Adoption
import CRTP
import Foundation
import Glibc
import Testing
import Wire

/// The process that parses has no privilege; the one that has some takes nothing but well-formed requests for what it
/// was started for.
@Suite(.serialized, .enabled(if: Namespace.isPossible && TestAgent.isBuilt)) struct PrivilegeTests {
    @Test func theServingProcessHasNoPrivilegeAndAdoptionWorks() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let user = try #require(Privileges.User("nobody"))
        let identity = [user.user, user.user, user.user, user.user].map(String.init).joined(separator: "\t")
        let adopting = try #require(scene.agent.adoptingProcess)
        for (process, capabilities) in [(scene.agent.process.processIdentifier, "0"), (adopting, "1400")] {
            let status = try status(process)
            #expect(status["Uid"] == identity)
            #expect(status["NoNewPrivs"] == "1")
            for name in ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"] {
                #expect(UInt64(status[name] ?? "", radix: 16) == UInt64(capabilities, radix: 16), "\(name)")
            }
        }
        // Every thread, since capabilities are a thread's.
        let tasks = "/proc/\(scene.agent.process.processIdentifier)/task"
        for thread in try FileManager.default.contentsOfDirectory(atPath: tasks) {
            let text = try String(contentsOfFile: "\(tasks)/\(thread)/status", encoding: .utf8)
            #expect(text.contains("CapEff:\t0000000000000000\n"))
        }
        scene.director.plan(.commit)
        var client: TestClient? = try scene.connect()
        client?.send(scene.get("/big.bin"))
        let body = client?.response()?.body
        #expect(body == scene.agent.content)
        #expect(scene.director.answer == .transferACK)
        client = nil
        scene.agent.stop()
        // A connection has just ended: the rules stay while the kernel may still be sending.
        #expect(try scene.network.proxy.run(["nft", "list", "tables"]).contains("baton_agent"))
    }

    /// Transfers are refused, what was begun is ended, and the agent says why it ends.
    @Test func withoutItsAdoptingProcessTheAgentEnds() throws {
        let scene = try Scene(isV4: true)
        defer { scene.remove() }
        let client = try scene.beginDownload()
        kill(try #require(scene.agent.adoptingProcess), SIGKILL)
        #expect(eventually { scene.agent.log.contains("the adopting process is gone") })
        #expect(try scene.isRefusedAsDraining())
        let body = client.response()?.body
        #expect(body == scene.agent.content)
        scene.agent.process.waitUntilExit()
        #expect(scene.agent.process.terminationStatus == 1)
        #expect(try scene.network.proxy.run(["nft", "list", "tables"]).contains("baton_agent"))
    }

    @Test func theAdoptingProcessRefusesWhatItWasNotStartedFor() throws {
        let space = try Namespace("bq\(getpid() % 100_000)\(UInt32.random(in: 0..<10_000))")
        defer { space.remove() }
        let adopter = try launch(space)
        #expect(throws: AdoptionFailure.self) { try adopter.adopt(state(server: "127.0.0.2", port: 80)) }
        #expect(throws: AdoptionFailure.self) { try adopter.adopt(state(server: "127.0.0.1", port: 81)) }
        let first = try adopter.adopt(state(clientPort: 1))
        #expect(throws: AdoptionFailure.tupleInUse) { try adopter.adopt(state(clientPort: 1)) }
        let second = try adopter.adopt(state(clientPort: 2))
        #expect(throws: AdoptionFailure.refused("too many uncommitted sockets")) {
            try adopter.adopt(state(clientPort: 3))
        }
        #expect(try getOption(second, SOL_SOCKET, SocketOption.mark, "SO_MARK") == 0x1234)
        try adopter.commit(second)
        #expect(try getOption(second, SOL_SOCKET, SocketOption.mark, "SO_MARK") == 0x77)
        adopter.forget(first)
        adopter.forget(try adopter.adopt(state(clientPort: 4)))
        close(second)
        adopter.finish()
        #expect(throws: AdoptionFailure.self) { try adopter.adopt(state(clientPort: 5)) }
    }

    /// What can be asked of a socket depends on how it came to be held.
    @Test func aSocketIsAskedOnlyWhatItsKindIsFor() throws {
        let space = try Namespace("bq\(getpid() % 100_000)\(UInt32.random(in: 0..<10_000))")
        defer { space.remove() }
        let adopter = try launch(space)
        defer { adopter.finish() }
        // Handles are given in order.
        let descriptor = try adopter.adopt(state())
        #expect(throws: AdoptionFailure.refused("there is no socket 1 of that kind")) { try adopter.resume(1) }
        #expect(throws: AdoptionFailure.refused("there is no socket 1 of that kind")) { try adopter.letRead(1) }
        try adopter.commit(descriptor)
        let (handle, _) = try adopter.suspend(descriptor, isQuiet: true)
        var byte: UInt8 = 0
        #expect(recv(descriptor, &byte, 1, CInt(MSG_DONTWAIT)) == -1 && errno == EPERM)
        try adopter.letRead(handle)
        #expect(recv(descriptor, &byte, 1, CInt(MSG_DONTWAIT)) == -1 && errno == EAGAIN)
        #expect(try getOption(descriptor, SOL_SOCKET, SocketOption.mark, "SO_MARK") != 0x77)
        try adopter.resume(handle)
        #expect(try getOption(descriptor, SOL_SOCKET, SocketOption.mark, "SO_MARK") == 0x77)
        #expect(throws: AdoptionFailure.self) { try adopter.resume(handle) }
        close(descriptor)
    }

    /// Two descriptors where one is meant: none is taken, and none stays open.
    @Test func moreDescriptorsThanOneAreClosed() throws {
        let (near, far) = try DescriptorChannel.pair()
        defer {
            close(near.descriptor)
            close(far.descriptor)
        }
        for count in 1...3 {
            var pipes: [CInt] = [-1, -1, -1, -1]
            pipe(&pipes)
            pipe(&pipes[2])
            defer { for end in pipes { close(end) } }
            send(near, Array(pipes.prefix(count)))
            let (message, passed) = try far.receive(10, takesDescriptor: true)
            #expect(message == [7])
            #expect((passed != nil) == (count == 1))
            if let passed { close(passed) }
            for end in pipes.prefix(count) { #expect(copies(of: end) == 1, "of \(count)") }
        }
    }

    /// Adoption and its undoing, here and over there: printed, since a machine's speed is no test.
    @Test func theWayToTheOtherProcessIsShort() throws {
        let space = try Namespace("bq\(getpid() % 100_000)\(UInt32.random(in: 0..<10_000))")
        defer { space.remove() }
        let adopter = try launch(space)
        let near = try space.inside { try PrivilegeTests.measure(Adopter(uncommittedMark: 0x1234)) }
        let far = try PrivilegeTests.measure(adopter)
        adopter.finish()
        print("adoption, median of 2,000: \(near) us in this process, \(far) us by the adopting process")
    }

    @Test func requestsAreReadStrictly() {
        var options = NegotiatedOptions(clientMSS: 1_460, serverMSS: 0, clientWindowScale: 7, serverWindowScale: 9)
        options.windowScale = true
        options.timestamps = true
        var connection = state()
        connection.options = options
        connection.timeToLive = 64
        let requests: [AdopterRequest] = [
            .adopt(connection), .open(connection, room: 70_000), .leaveRepair(3), .commit(7), .forget(9),
            .suspend(isQuiet: true), .suspend(isQuiet: false), .resume(4), .finish,
        ]
        for request in requests {
            let good = request.encoded
            #expect(good.count == AdopterRequest.bytes)
            #expect(AdopterRequest(good) == request)
            #expect(AdopterRequest(Array(good.dropLast())) == nil)
            #expect(AdopterRequest(good + [0]) == nil)
            // Whatever is decoded is what was sent: no byte is without meaning or unread.
            for index in good.indices {
                for bit in 0..<8 {
                    var bad = good
                    bad[index] ^= 1 << bit
                    if let read = AdopterRequest(bad) { #expect(read.encoded == bad && read != request) }
                }
            }
        }
        connection.options.clientWindowScale = 15
        #expect(AdopterRequest(AdopterRequest.adopt(connection).encoded) == nil)
        connection.options.clientWindowScale = 7
        connection.key.client = IPAddress("::1")!
        #expect(AdopterRequest(AdopterRequest.adopt(connection).encoded) == nil)
    }

    @Test func answersSurviveTheWay() {
        let failure = SystemFailure("setting TCP_REPAIR_WINDOW", code: EINVAL)
        let failures: [AdoptionFailure] = [
            .tupleInUse, .noRoute, .resource(failure), .system(failure), .refused("it is not mine"),
        ]
        for reply in failures.map(AdopterReply.failed) + [.done(handle: 77)] {
            #expect(reply.encoded.count == AdopterReply.bytes)
            #expect(AdopterReply(reply.encoded) == reply)
        }
        #expect(AdopterReply([]) == nil)
    }

    // MARK: Parts

    private func status(_ process: pid_t) throws -> [String: String] {
        let text = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let pairs = text.split(separator: "\n").compactMap { line -> (String, String)? in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            return (String(line[..<colon]), value)
        }
        return Dictionary(pairs) { $1 }
    }

    /// An adopting process for 127.0.0.1:80, for two sockets at once, without a guard.
    private func launch(_ space: Namespace) throws -> DistantAdopter {
        let rules = GuardRules(
            instance: "test", services: [ServicePrefix("127.0.0.1:80")!], uncommittedMark: 0x1234,
            deliveryMark: 0x1235, routingTable: 7_270)
        let settings = AdoptingSettings(
            guardRules: rules, installsGuard: false, committedMark: 0x77, mtu: 1_500, uncommittedLimit: 2,
            user: "nobody")
        return try space.inside { try DistantAdopter.launch(settings, executable: TestAgent.path) }
    }

    /// A message of one byte with these descriptors.
    private func send(_ channel: DescriptorChannel, _ descriptors: [CInt]) {
        // struct cmsghdr: length, level, SCM_RIGHTS.
        var control: [CInt] = [CInt(16 + 4 * descriptors.count), 0, SOL_SOCKET, 1] + descriptors + [0]
        var byte: UInt8 = 7
        withUnsafeMutablePointer(to: &byte) { byte in
            var piece = iovec(iov_base: byte, iov_len: 1)
            withUnsafeMutablePointer(to: &piece) { piece in
                control.withUnsafeMutableBytes { control in
                    var header = msghdr()
                    header.msg_iov = piece
                    header.msg_iovlen = 1
                    header.msg_control = control.baseAddress
                    header.msg_controllen = (16 + 4 * descriptors.count + 7) & ~7
                    #expect(sendmsg(channel.descriptor, &header, 0) == 1)
                }
            }
        }
    }

    /// Descriptors of this process that mean the same as one; several ends of one pipe count apart.
    private func copies(of descriptor: CInt) -> Int {
        func identity(_ path: String) -> String? { try? FileManager.default.destinationOfSymbolicLink(atPath: path) }
        func mode(_ number: String) -> String? {
            (try? String(contentsOfFile: "/proc/self/fdinfo/\(number)", encoding: .utf8))?
                .split(separator: "\n").first { $0.hasPrefix("flags") }.map { String($0.suffix(1)) }
        }
        let wanted = (identity("/proc/self/fd/\(descriptor)"), mode("\(descriptor)"))
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return all.count { identity("/proc/self/fd/\($0)") == wanted.0 && mode($0) == wanted.1 }
    }

    private func state(server: String = "127.0.0.1", port: UInt16 = 80, clientPort: UInt16 = 9) -> ConnectionState {
        PrivilegeTests.state(server: server, port: port, clientPort: clientPort)
    }

    private static func state(
        server: String = "127.0.0.1", port: UInt16 = 80, clientPort: UInt16 = 9
    ) -> ConnectionState {
        let key = FlowKey(
            client: IPAddress("127.0.0.9")!, clientPort: clientPort, server: IPAddress(server)!, serverPort: port)
        let options = NegotiatedOptions(clientMSS: 1_460, serverMSS: 0, sack: true)
        return ConnectionState(
            key: key, psn: SequenceNumber(1_000), pan: SequenceNumber(2_000), clientWindow: 65_535,
            serverWindowEdge: SequenceNumber(66_535), options: options, timeToLive: 64)
    }

    private static func measure(_ adopter: some Adopting) throws -> UInt64 {
        var times: [UInt64] = []
        // Other ports each time: a program that another test starts holds on to this one's descriptors for a moment.
        for port in UInt16(1)...2_000 {
            let start = monotonicMicroseconds()
            let descriptor = try adopter.adopt(state(clientPort: port))
            times.append(monotonicMicroseconds() - start)
            adopter.forget(descriptor)
        }
        return times.sorted()[times.count / 2]
    }
}
