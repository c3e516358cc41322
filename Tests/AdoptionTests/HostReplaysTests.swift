import Adoption
import Foundation
import Glibc
import InterCore
import Testing
import Wire

/// What a director on a host does with its agent's wishes, and how it leaves.
@Suite struct HostReplaysTests {
    private let connection = ConnectionState(
        key: FlowKey(client: IPAddress(v4: 1), clientPort: 1, server: IPAddress(v4: 2), serverPort: 80),
        psn: SequenceNumber(1), pan: SequenceNumber(1), clientWindow: 1, serverWindowEdge: SequenceNumber(1),
        options: NegotiatedOptions(clientMSS: 1_460, serverMSS: 1_460))
    private let handle = FlowHandle(worker: 0, index: 7, generation: 1)
    private let path = NSTemporaryDirectory() + "baton-\(UUID().uuidString.prefix(8)).sock"

    /// An agent's end; what it is told.
    private struct Agent {
        let descriptor: CInt

        func say(_ message: ReplayMessage) { _ = send(descriptor, message.encoded, ReplayMessage.bytes, 0) }

        func hear() -> ReplayMessage? {
            var bytes = [UInt8](repeating: 0, count: ReplayMessage.bytes)
            let count = recv(descriptor, &bytes, bytes.count, CInt(MSG_DONTWAIT))
            return count == bytes.count ? ReplayMessage(bytes) : nil
        }
    }

    private func withAgent(_ body: (Held, Agent) throws -> Void) throws {
        let replays = Held(try HostReplays(socket: path, owner: geteuid()))
        defer { replays.close() }
        let agent = Agent(descriptor: try ReplaySocket.connect(to: path))
        defer { close(agent.descriptor) }
        agent.say(.hello(epoch: 1))
        try body(replays, agent)
    }

    /// One after the other: what the worker says of replays is the agent's, everything else the control core's.
    @Test func eventsFindWhoseTheyAre() throws {
        try withAgent { replays, agent in
            agent.say(.replay(number: 500, connection))
            #expect(replays.takeWishes(atMost: 16, now: 0) == 2)
            #expect(replays.takeCommands().count == 1 && replays.takeCommands().isEmpty)
            let order = try #require(replays.orders.pop())
            #expect(!replays.take(.committed(handle), now: 1), "not yet")
            #expect(!replays.take(.flowInstalled(handle, ticket: 1), now: 1), "a flow that an agent announced")
            #expect(replays.take(.flowInstalled(handle, ticket: order.ticket), now: 1))
            #expect(replays.take(.committed(handle), now: 2))
            #expect(!replays.take(.committed(FlowHandle(worker: 0, index: 8, generation: 1)), now: 2))
            #expect(replays.count == 1 && replays.take(.flowEnded(handle, .flowDone), now: 3) && replays.count == 0)
            #expect(!replays.take(.flowEnded(handle, .flowDone), now: 4), "the next connection in this place")
            replays.flush()
            #expect(
                [agent.hear(), agent.hear(), agent.hear(), agent.hear()]
                    == [.ready(number: 500), .begun(number: 500), .ended(number: 500), nil])
        }
    }

    @Test func nobodyIsTakenWhileItLeaves() throws {
        try withAgent { replays, agent in
            replays.leave()
            agent.say(.replay(number: 1, connection))
            _ = replays.takeWishes(atMost: 16, now: 0)
            replays.flush()
            #expect(
                agent.hear() == .refused(number: 1) && replays.orders.pop() == nil && replays.takeCommands().isEmpty)
        }
    }

    @Test func oneTurnTakesNoMoreThanItMay() throws {
        try withAgent { replays, agent in
            for number in 1...9 { agent.say(.cancel(number: UInt64(number))) }
            #expect(replays.takeWishes(atMost: 4, now: 0) == 4)
            #expect(replays.takeWishes(atMost: 16, now: 0) == 6)
        }
    }

    @Test func leavingTakesAsLongAsSomebodyIsThere() {
        let drain = HostDrain(began: 1_000_000, limit: 30_000_000)
        #expect(!drain.isOver(now: 1_050_000, isIdle: true, given: 0), "a verdict may be on its way")
        #expect(drain.isOver(now: 1_100_000, isIdle: true, given: 0))
        #expect(!drain.isOver(now: 5_000_000, isIdle: false, given: 0))
        #expect(!drain.isOver(now: 5_000_000, isIdle: true, given: 1))
        #expect(drain.isOver(now: 31_000_000, isIdle: false, given: 5))
    }
}

/// What macros may change.
private final class Held {
    private var replays: HostReplays
    init(_ replays: HostReplays) { self.replays = replays }
    var orders: Ring<ReplayOrder> { replays.orders }
    var count: Int { replays.count }
    func leave() { replays.isDraining = true }
    func takeWishes(atMost limit: Int, now: UInt64) -> Int { replays.takeWishes(atMost: limit, now: now) }
    func take(_ event: WorkerEvent, now: UInt64) -> Bool { replays.take(event, now: now) }
    func takeCommands() -> [WorkerCommand] { replays.takeCommands() }
    func flush() { replays.flush() }
    func close() { replays.close() }
}
